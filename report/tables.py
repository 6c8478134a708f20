"""The tables of a study, as tasks have written them."""

from pathlib import Path

import pandas as pd

from stats.csv_text import table_of_csv
from stats.names import ACCURACY, RETENTION

MEASURED = ("noise", "probe", "robustness")  # folders of tables on accuracy, or on retention


def read_table(path: Path, *texts: str, index: str | int | None = None) -> pd.DataFrame:
    """Read a table of a study; where it is on retention, columns are named as on accuracy.

    Args:
        path: The CSV.
        texts: Columns of texts that may look like numbers, beside those of ``stats.csv_text.NAMES``.
        index: Name or position of the column of row names; ``None`` for none.
    """
    table = table_of_csv(path.read_bytes(), *texts, index=index)
    if path.parent.name not in MEASURED:
        return table
    return table.rename(columns=lambda name: str(name).replace(RETENTION, ACCURACY))
