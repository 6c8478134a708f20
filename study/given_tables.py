"""Tables that a user gives as CSV files."""

from pathlib import Path
from typing import Any

import pandas as pd


def read_given_table(path: Path, key: str, expected: str, **options: Any) -> pd.DataFrame:
    """Read a table.

    Args:
        path: The file.
        key: The key of the configuration that names it.
        expected: What it must be, in words.
        **options: Further arguments of ``pandas.read_csv``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table; names key and file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{key}={path} does not exist: give {expected}")
    try:
        return pd.read_csv(path, **options)
    except (ValueError, OSError, OverflowError) as error:  # also of no UTF-8, no columns or uneven rows
        reason = " ".join(str(error).split())
        raise ValueError(f"{key}={path} cannot be read as a table ({reason}): give {expected}") from error
