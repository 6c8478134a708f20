"""Files of classifiers are composed once, until one changes; a user's own folders are always read."""

import os
import shutil
from pathlib import Path

import hydra
import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from omegaconf import open_dict

from study.configuration import classifier_files, shared_files
from study.configuration.classifier_files import composed, composed_once, read_config
from study.folder import CONF


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    GlobalHydra.instance().clear()
    composed_once.cache_clear()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's files of classifiers, which is read instead of them."""
    shutil.copytree(CONF / "classifier", tmp_path / "conf" / "classifier")
    for module in (classifier_files, shared_files):
        monkeypatch.setattr(module, "CONF", tmp_path / "conf")
    return tmp_path / "conf" / "classifier"


def change(file: Path, old: str, new: str) -> None:
    before, text = file.stat().st_mtime_ns, file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    os.utime(file, ns=(before + 1, before + 1))  # nothing but the time tells, if the length is the same


@pytest.mark.parametrize(("path", "overrides"), [
    ("classifier/vgg_compact", ()), ("classifier/colour_a", ()), ("classifier/timm", ("classifier.name=resnet18",)),
])  # fmt: skip
def test_what_is_kept_equals_what_hydra_composes(path: str, overrides: tuple[str, ...]) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        expected = hydra.compose(path, list(overrides))
        for _ in range(3):
            assert composed(path, overrides) == expected
    assert (composed_once.cache_info().misses, composed_once.cache_info().hits) == (1, 2)


def test_what_a_caller_changes_is_its_own() -> None:
    before = read_config("vgg_compact")
    changed = read_config("vgg_compact", {"weights": "random"})
    with open_dict(changed):
        changed.network.bits = 3
    assert read_config("vgg_compact") == before != changed
    assert composed_once.cache_info().misses == 1


def test_a_file_that_changes_is_read_again(own: Path) -> None:
    assert "network" in read_config("colour_a")
    title = str(read_config("vgg_compact").title)
    change(own / "vgg_compact.yaml", title, title[::-1])
    assert read_config("vgg_compact").title == title[::-1]


def test_a_file_that_another_is_based_on_is_read_again(own: Path) -> None:
    assert not read_config("vgg_backdoored").get("note")
    change(own / "vgg_compact.yaml", "name:", "note: changed\nname:")
    with pytest.raises(ValueError, match="note"):
        read_config("vgg_backdoored")


def test_files_of_a_users_folder_are_always_read(tmp_path: Path) -> None:
    folder = tmp_path / "classifier"
    folder.mkdir()
    text = (CONF / "classifier" / "vgg_compact.yaml").read_text()
    title = str(read_config("vgg_compact").title)
    search = create_automatic_config_search_path(None, None, str(CONF))
    search.prepend("command-line", f"file://{tmp_path}", anchor=SearchPathQuery(provider="main"))
    Hydra.create_main_hydra2("run", search)
    for other in ("one", "two"):
        (folder / "vgg_compact.yaml").write_text(text.replace(title, other))
        assert read_config("vgg_compact").title == other
    GlobalHydra.instance().clear()
    assert read_config("vgg_compact").title == title
