"""Tables of accuracies in CSV files: read bit for bit, or refused with cause and fix."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.accuracy_csv import read_accuracy_table


def test_a_table_is_read_bit_for_bit(tmp_path: Path) -> None:
    names = ["alexnet", "vgg16_bn", "resnet50", "inception, v3"]
    values = np.random.default_rng(1).random((4, 4))
    written = pd.DataFrame(values, index=names, columns=names)
    written.to_csv(tmp_path / "accuracy.csv")
    read = read_accuracy_table(tmp_path / "accuracy.csv")
    np.testing.assert_array_equal(read.to_numpy(), values)
    assert list(read.index) == list(read.columns) == names


def test_rows_follow_the_columns_and_baselines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.csv"
    path.write_text(
        "\ufeffautoencoder, b, a\noriginal,.9,.9\r\npretrained,.8,n/a\n\na,0.1,0.2\nb,3e-1,4e-1\n,,\n", encoding="utf-8"
    )
    table = read_accuracy_table(path)
    assert table.to_dict() == {"b": {"b": 0.3, "a": 0.1}, "a": {"b": 0.4, "a": 0.2}}
    assert list(table.index) == ["b", "a"]


BAD_TABLES = {
    "no content": ("", "is empty; expected a line of classifier names"),
    "blank lines": ("\n,,\n", "is empty; expected a line of classifier names"),
    "header only": (",a,b\n", "is empty: no row of an autoencoder; expected one row per column"),
    "baselines only": (",a,b\noriginal,.5,.5\n", "is empty: no row of an autoencoder"),
    "row too few": (
        ",a,b\na,.5,.5\n",
        r"not square: no row \(autoencoder\) for the column b; name rows and columns alike",
    ),
    "row too many": (",a\na,.5\nb,.5\n", r"not square: no column \(classifier\) for the row b; name"),
    "other names": (
        ",a,b,c\na,.5,.5,.5\nx,.5,.5,.5\ny,.5,.5,.5\n",
        r"not square: no row \(autoencoder\) for the column b, c; no column \(classifier\) for the row x, y; name",
    ),
    "no header": ("a,.5,.4\nb,.3,.6\n", "column 1 is called '.5', a number; the first line must name the classifiers"),
    "numbers only": ("0.83,0.5\n0.4,0.7\n", "column 1 is called '0.5', a number; the first line must name"),
    "positions as names": (",0,1\n0,.5,.4\n1,.4,.5\n", "column 1 is called '0', a number; the first line must name"),
    "no row names": ("x,a,b\n0.83,.5,.4\n0.7,.4,.5\n", "row 1 is called '0.83', a number; the first column must name"),
    "blank column name": (",a,\na,.5,.5\nb,.5,.5\n", "column 2 has no name; the first line must name"),
    "blank row name": (",a,b\na,.5,.5\n,.5,.5\n", "row 2 has no name; the first column must name the autoencoders"),
    "column twice": (",a,a\na,.5,.5\nb,.5,.5\n", "more than one column named 'a'; give every column a name of its own"),
    "row twice": (",a,b\na,.5,.5\na,.5,.5\n", "more than one row named 'a'; give every row a name of its own"),
    "reserved name": (
        ",a,original\na,.5,.5\noriginal,.5,.5\n",
        "no column may be named 'original'.*; rename the column",
    ),
    "no corner": (
        "a,b\na,.5,.5\nb,.5,.5\n",
        "row 'a' has 2 values for 1 columns; give every row .* the first line a cell",
    ),
    "short row": (",a,b\na,.5\nb,.5,.5\n", "row 'a' has 1 values for 2 columns; give every row its name and one value"),
    "one column": ("a\nb\n", "has one column only; expected the autoencoders' names, then one column per classifier"),
    "semicolons": (";a;b\na;0,5;0,4\nb;0,5;0,4\n", "separated by semicolons; save it with commas, and points"),
    "tabs": ("x\ta\tb\na\t.5\t.4\nb\t.5\t.4\n", "separated by tabs; save it with commas"),
    "missing cell": (
        ",a,b\na,.5,\nb,.5,.5\n",
        "value in row 'a', column 'b' is missing; fill in an accuracy from 0 to 1",
    ),
    "no number": (",a,b\na,.5,.5\nb,n/a,.5\n", "'n/a' in row 'b', column 'a' is not a number; write an accuracy"),
    "nan": (",a,b\na,.5,.5\nb,nan,.5\n", "'nan' in row 'b', column 'a' is not a number"),
    "per cent sign": (",a,b\na,50%,.5\nb,.5,.5\n", "'50%' in row 'a', column 'a' is not a number"),
    "digit groups": (",a,b\na,0_1,.5\nb,.5,.5\n", "'0_1' in row 'a', column 'a' is not a number"),
    "percentages": (",a,b\na,56.5,12\nb,8,71\n", r"56.5 in row 'a', column 'a' is outside \[0, 1\]; .*divide by 100"),
    "one slip": (
        ",a,b\na,.5,.5\nb,8.3,.5\n",
        r"8.3 in row 'b', column 'a' is outside \[0, 1\]; write accuracies from 0",
    ),
    "negative": (",a,b\na,.5,-.5\nb,.5,.5\n", r"-0.5 in row 'a', column 'b' is outside \[0, 1\]; write accuracies"),
    "just above one": (",a\na,1.0000000000000002\n", r"1.0000000000000002 in row 'a', column 'a' is outside"),
    "zero diagonal": (
        ",a,b\na,.5,.5\nb,.5,0\n",
        "accuracy of 'b' on its own autoencoder is 0.*leave this classifier out",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_a_bad_table_is_refused_with_its_cause_and_fix(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "my_matrix.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_accuracy_table(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv does not exist; give the path of a CSV table"):
        read_accuracy_table(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="is not a file; give the path of a CSV table"):
        read_accuracy_table(tmp_path)
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04\xff\xfe\x80")
    with pytest.raises(ValueError, match=r"book\.xlsx is not a text table; save it as comma-separated values in UTF-8"):
        read_accuracy_table(tmp_path / "book.xlsx")
