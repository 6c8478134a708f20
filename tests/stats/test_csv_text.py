"""Tables of a study as CSV: what a spreadsheet would run is guarded, and every name comes back."""

import csv
import io

import numpy as np
import pandas as pd
import pytest

from stats.csv_text import csv_bytes, guard, table_of_csv, unguard
from tests.report.hostile import PAYLOADS

FURTHER = (
    "''=x", "'=x", "'+", "'", "=", "＝1", "\r\n", "\n=1", "-5", "1e5", "True", "\\N", '"', "a,b", "\ufeffx", "#x",
)  # fmt: skip
NAMES = list(dict.fromkeys([*PAYLOADS, *FURTHER]))


@pytest.mark.parametrize("name", NAMES)
def test_a_guarded_name_is_no_formula_and_comes_back(name: str) -> None:
    cell = guard(name)
    assert unguard(cell) == name
    try:
        float(cell)
    except ValueError:
        assert cell[0] not in "=+-@\t\r\n＝＋－＠"
    assert cell.endswith(name)


def test_no_two_names_become_the_same_cell() -> None:
    assert len({guard(name) for name in NAMES}) == len(NAMES)


def test_names_come_back_from_cells_from_rows_and_from_columns() -> None:
    values = np.random.default_rng(0).normal(size=(len(NAMES), len(NAMES)))
    square = pd.DataFrame(values, pd.Index(NAMES, name="autoencoder"), NAMES)
    read = table_of_csv(csv_bytes(square), index=0)
    pd.testing.assert_frame_equal(read, square, check_exact=True, check_index_type=False, check_column_type=False)
    long = pd.DataFrame({"class": NAMES, "=share": values[0], "count": range(len(NAMES)), "note": NAMES})
    read = table_of_csv(csv_bytes(long), "note")
    assert read.to_dict("list") == long.to_dict("list")
    assert read.columns.tolist() == long.columns.tolist()


def test_python_itself_reads_the_same_cells() -> None:
    long = pd.DataFrame({"class": NAMES, "share": 0.5})
    text = csv_bytes(long).decode("utf-8", "surrogateescape")
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert [[unguard(cell) for cell in line] for line in lines[1:]] == [[name, "0.5"] for name in NAMES]


def test_tables_without_formulas_are_as_pandas_writes_them() -> None:
    random = np.random.default_rng(1)
    names, floats = ["a_b", "c d", "e, f"], random.normal(size=3)
    table = pd.DataFrame({"class": names, "x": floats, "y": [1, -2, 3], "z": [True] * 3})
    table.loc[1, "x"] = np.nan
    for one in (table, table.set_index("class"), table.assign(mixed=[1, "a", 0.5])):
        assert csv_bytes(one) == one.to_csv(index=one.index.name is not None).encode()
    read = table_of_csv(csv_bytes(table))
    pd.testing.assert_frame_equal(read, table)


def test_what_looks_missing_or_like_a_number_stays_a_name() -> None:
    read = table_of_csv(b"class,share\n007,0.5\nnull,\nNA,1\n")
    assert read["class"].tolist() == ["007", "null", "NA"]
    assert read["share"].isna().tolist() == [False, True, False]
    assert table_of_csv(b"parent,x\n1,2\n", index="parent").index.tolist() == ["1"]
    assert table_of_csv(b",x\n1,2\n", index=0).index.name is None
