"""CONTRIBUTING.md works literally: its classifier, its measurement and its registry line, in a copy of the checkout."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.images import fake_images
from tests.studies import REPOSITORY

pytestmark = pytest.mark.slow
STUDY = (
    "experiment=smoke", "autoencoder=none", "classifiers=[vgg_compact,wide_vgg]", "train_classifier.epochs=1",
    "analyses=[brightness]",
)  # fmt: skip
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^<!-- registry line -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def call(checkout: Path, *arguments: str) -> str:
    """What a Python program prints that is run in a checkout."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=checkout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The files of the example, by their paths."""
    return dict(FILE.findall((REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def checkout(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, to which the example was added as the text says."""
    copy = tmp_path_factory.mktemp("checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in listed.rstrip("\0").split("\0"):
        if (REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, copy / name)
    for name, content in files.items():
        assert not (copy / name).exists(), f"the example would overwrite {name}"
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(content, encoding="utf-8")
    [line] = LINE.findall((REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    registry, end = copy / "tasks" / "registry.py", ")  # fmt: skip\nBY_NAME"
    assert registry.read_text().count(end) == 1
    registry.write_text(registry.read_text().replace(end, line + end))
    return copy


@pytest.fixture(scope="module")
def study(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was made with the example."""
    studies = tmp_path_factory.mktemp("studies")
    call(checkout, "run.py", *STUDY, f"studies={studies}")
    return studies / "smoke"


def test_the_measurement_writes_the_right_numbers(study: Path) -> None:
    table = pd.read_csv(study / "brightness" / "classes.csv", index_col=0)
    data = fake_images(class_count=6, size=32, images=24)
    images = data.split("test")
    assert table.index.tolist() == data.classes
    assert table["images"].tolist() == [4] * 6
    for label, name in enumerate(data.classes):
        values = np.stack([images[index][0].numpy() for index in range(24) if images.label(index) == label])
        assert float(table["brightness"][name]) == pytest.approx(values.astype(float).mean() / 255, rel=1e-12)


def test_the_classifier_is_trained(study: Path) -> None:
    weights, other = (study / "classifiers" / f"{name}.safetensors" for name in ("wide_vgg", "vgg_compact"))
    assert weights.stat().st_size > 2 * other.stat().st_size


def test_the_page_has_the_section_and_the_classifier(study: Path) -> None:
    page = (study / "report" / "index.html").read_text(encoding="utf-8")
    table = pd.read_csv(study / "brightness" / "classes.csv", index_col=0)
    brightest = table["brightness"].idxmax()
    assert '<section id="brightness">' in page
    assert f"The class {brightest} is the brightest,\nwith {table['brightness'].max():.3f}." in page
    assert "wide VGG" in page
    assert (study / "report" / "figures" / "brightness.png").exists()


def test_the_help_pages_list_the_task_its_keys_and_the_classifier(checkout: Path) -> None:
    help_page = call(checkout, "run.py", "--help")
    assert re.search(r"^  brightness +mean brightness of the test images of each class$", help_page, re.MULTILINE)
    keys = call(checkout, "run.py", "task=brightness", "--help")
    assert re.search(r"^brightness\.images=null +test images that are measured, the first ones", keys, re.MULTILINE)


def test_the_example_keeps_the_rules_of_the_project(checkout: Path, files: dict[str, str]) -> None:
    sources = [name for name in files if name.endswith(".py")]
    call(checkout, "-m", "ruff", "check", "--no-cache", *sources, "tasks/registry.py")
    call(checkout, "-m", "ruff", "format", "--no-cache", "--check", *sources, "tasks/registry.py")
    call(checkout, "-m", "pytest", "-p", "no:xdist", "tests/methods/brightness", "tests/test_house.py")
