"""The tables of a study, as tasks have written them."""

from pathlib import Path

import pandas as pd

from stats.csv_text import table_of_csv


def read_table(path: Path, *texts: str, index: str | int | None = None) -> pd.DataFrame:
    """Read a table of a study.

    Args:
        path: The CSV.
        texts: Columns of texts that may look like numbers, beside those of ``stats.csv_text.NAMES``.
        index: Name or position of the column of row names; ``None`` for none.
    """
    return table_of_csv(path.read_bytes(), *texts, index=index)
