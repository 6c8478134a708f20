"""Arrays in files of their own (``.npy``), of which nothing is taken for granted."""

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

# NumPy reads a file's header as Python source, and allocates what it says
UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, TokenError, TypeError, OverflowError, MemoryError, KeyError)


def read_array(path: Path, dtype: npt.DTypeLike, dimensions: int, mapped: bool = False) -> npt.NDArray[Any]:
    """Read an array.

    Args:
        path: The file.
        dtype: The type that its elements must have.
        dimensions: How many dimensions it must have.
        mapped: Whether it stays on the disk, as a memory map.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds something else; names it.
    """
    try:
        array: npt.NDArray[Any]
        if mapped:
            array = np.lib.format.open_memmap(path, "r")
        else:
            with path.open("rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise
    except UNREADABLE as error:
        raise ValueError(f"{path} is damaged ({' '.join(str(error).split())[:100]})") from error
    if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
        raise ValueError(f"{path} is damaged: it holds no array of {np.dtype(dtype)} with {dimensions} dimensions")
    return array
