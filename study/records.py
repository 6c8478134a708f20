"""Records of arrays: dataclasses that are kept as npz files."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

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
        ValueError: If the file lacks an array; names it.
    """
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in names if name not in file.files]
        if missing:
            raise ValueError(f"{path} has no {', '.join(missing)}: remove it, and the same command makes it again")
        return kind(**{name: file[name] for name in names})
