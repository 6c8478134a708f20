"""Networks of other studies at the end of a page."""

import re
import shutil
from pathlib import Path

import pytest

import run
from methods.band_tolerance.further import missing_file, read
from tests.methods.band_tolerance.made_bands import CONTROL, write_bands
from tests.report.rendered import rendered
from tests.studies import compose


def test_bits_pictures_and_the_link_are_those_of_the_other_study(tmp_path: Path) -> None:
    write_bands(tmp_path / "other", ["a", "b"])
    part = read(tmp_path / "other", lambda name: f"Net {name}", tmp_path / "mine" / "report", 1)
    assert part.values["names"] == ["Net a", "Net b"]  # without the control
    assert CONTROL not in str(part.values["table"])
    assert part.values["table"].loc["Net b", "bits per image"].startswith("2,000")
    page = rendered(part)
    assert 'href="../../other/report/index.html"' in page
    assert set(re.findall(r'figures/(\w+)\.png"', page)) == set(part.figures)
    assert all(name.startswith("further_1_") for name in part.figures)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    assert missing_file(tmp_path / "other") == tmp_path / "other" / "band_tolerance" / "bits.csv"
    write_bands(tmp_path / "other", ["a"])
    page = tmp_path / "other" / "report" / "index.html"
    assert missing_file(tmp_path / "other") == page
    page.parent.mkdir()
    page.touch()
    assert missing_file(tmp_path / "other") is None


def test_a_page_shows_another_study_but_not_its_damaged_tables(copied: Path) -> None:
    shutil.copytree(copied / "smoke", copied / "other")
    page = copied / "smoke" / "report" / "index.html"
    run.run(compose(copied, "task=report", "report.further_studies=[other]"))
    text = page.read_text()
    assert 'id="further_0"' in text
    assert 'href="../../other/band_tolerance/bits.csv"' in text
    assert (page.parent / "figures" / "further_0_0.png").exists()
    table = copied / "other" / "band_tolerance" / "bits.csv"
    table.write_text(table.read_text() + "\n")
    with pytest.raises(ValueError, match="is damaged or was changed"):
        run.run(compose(copied, "task=report", "report.further_studies=[other]"))


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "nowhere.*finish the study nowhere"), ("smoke", "name other ones")]
)
def test_a_study_that_cannot_be_shown_is_refused_before_any_work(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        run.run(compose(tmp_path, "task=study", f"report.further_studies=[{name}]"))
    assert not list(tmp_path.rglob("*.safetensors"))
