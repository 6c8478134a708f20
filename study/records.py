"""Records of arrays: dataclasses that are kept as npz files."""

import dataclasses
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from datamodules.arrays import UNREADABLE

# ZIP archives may ask for a password or a method of compression that there is not
OF_ARCHIVES = (zipfile.BadZipFile, zlib.error, AttributeError, RuntimeError, struct.error)
Record = TypeVar("Record")


def arrays_of(record: Any) -> dict[str, Any]:
    """The arrays of a record, by the name of the field: what its file holds."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def read_record(kind: type[Record], path: Path) -> Record:
    """Read a record.

    Args:
        kind: A dataclass of arrays.
        path: Its file.

    Raises:
        ValueError: If the file is damaged or lacks an array; names it.
    """
    names, arrays = [field.name for field in dataclasses.fields(kind)], read_arrays(path)  # type: ignore[arg-type]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}: remove it, and the same command makes it again")
    return kind(**{name: arrays[name] for name in names})


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read every array of an npz file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged; names it.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except (*UNREADABLE, *OF_ARCHIVES) as error:
        reason = f"{type(error).__name__} {' '.join(str(error).split())[:100]}"
        raise ValueError(f"{path} is damaged ({reason}): remove it, and the same command makes it again") from error
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{path} is damaged: {others[0]} is no array")
    if others := [name for name, array in arrays.items() if array.dtype.kind == "U" and not is_text(array)]:
        raise ValueError(f"{path} is damaged: {others[0]} holds no text")
    return arrays


def is_text(array: npt.NDArray[np.str_]) -> bool:
    """Whether every character of an array of text is one: NumPy does not check, and Python then fails anywhere."""
    numbers = np.frombuffer(array.tobytes(), dtype=np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    return bool((numbers <= sys.maxunicode).all())
