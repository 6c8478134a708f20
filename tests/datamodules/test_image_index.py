"""The index of a tree: what it holds, when it is read anew, and what a process pays for it."""

import json
import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

import datamodules.image_index
from datamodules.digests import with_digest
from datamodules.image_index import ImageIndex, image_index, load_index, scan


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Images at several depths, files that are none, hidden entries, names that are not ASCII; all an hour old."""
    root = tmp_path / "tree"
    for name in ("b/2.JPEG", "b/10.png", "a/z.jpg", "a/deep/er/x.webp", "a/é ü.jpeg", "top.bmp", "a/notes.txt",
                 ".hidden/1.jpg", "b/.hidden.jpg", "c/empty.txt"):  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    grow_old(root)
    return root


def grow_old(root: Path, seconds: float = 3600) -> None:
    moment = time.time() - seconds
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        os.utime(folder, (moment, moment))


def names(index: ImageIndex) -> list[str]:
    return [str(index.path(place).relative_to(index.root)) for place in range(len(index))]


def test_it_holds_what_a_plain_walk_finds(tree: Path) -> None:
    index = scan(tree)
    found = [
        path.relative_to(tree)
        for path in tree.rglob("*")
        if path.suffix.lower() in {".jpeg", ".jpg", ".png", ".webp", ".bmp"}
        and not any(part.startswith(".") for part in path.relative_to(tree).parts)
    ]
    assert sorted(names(index)) == sorted(map(str, found))
    assert names(index) == ["top.bmp", "a/z.jpg", "a/é ü.jpeg", "a/deep/er/x.webp", "b/10.png", "b/2.JPEG"]
    assert index.sizes.tolist() == [len(name.encode()) for name in names(index)]
    assert index.others == {".txt": 2}
    assert index.top_folders() == ["a", "b", "c"]
    assert index.top_folder_of(["b", "a"]).tolist() == [-1, 1, 1, 1, 0, 0]


def test_the_second_time_the_tree_is_not_read(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = image_index(tree, tmp_path / "cache")

    def refuse(_: Path) -> None:
        raise AssertionError("the tree was read again")

    monkeypatch.setattr(datamodules.image_index, "read_folder", refuse)
    second = image_index(tree, tmp_path / "cache")
    assert names(second) == names(first)
    assert second.others == first.others
    assert second.digest == first.digest == scan_digest(tree, monkeypatch)
    assert isinstance(second.names, np.memmap)


def scan_digest(tree: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.undo()
    return scan(tree).digest


@pytest.mark.parametrize("change", ["add", "remove", "rename", "new folder", "deep"])
def test_a_changed_tree_is_read_again(tree: Path, tmp_path: Path, change: str) -> None:
    before = image_index(tree, tmp_path / "cache")
    if change == "add":
        (tree / "a" / "new.jpg").write_bytes(b"new")
    elif change == "remove":
        (tree / "b" / "2.JPEG").unlink()
    elif change == "rename":
        (tree / "a" / "z.jpg").rename(tree / "a" / "y.jpg")
    elif change == "new folder":
        (tree / "d").mkdir()
        (tree / "d" / "1.jpg").write_bytes(b"new")
    else:
        (tree / "a" / "deep" / "er" / "y.webp").write_bytes(b"new")
    after = image_index(tree, tmp_path / "cache")
    assert names(after) == names(scan(tree)) != names(before)
    assert after.digest != before.digest


def test_an_index_of_a_tree_in_motion_is_not_kept(tree: Path, tmp_path: Path) -> None:
    (tree / "a" / "new.jpg").write_bytes(b"new")  # a second image may follow in the same tick of the clock
    image_index(tree, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy"))


@pytest.mark.parametrize("damage", ["index.json", "names.npy", "ends.npy"])
def test_a_damaged_cache_is_only_a_cache(tree: Path, tmp_path: Path, damage: str) -> None:
    image_index(tree, tmp_path / "cache")
    [path] = (tmp_path / "cache").rglob(damage)
    path.write_bytes(b"damaged")
    assert names(image_index(tree, tmp_path / "cache")) == names(scan(tree))
    path.unlink()
    assert names(image_index(tree, tmp_path / "cache")) == names(scan(tree))


def test_an_index_of_an_earlier_version_is_made_anew(tree: Path, tmp_path: Path) -> None:
    first = image_index(tree, tmp_path / "cache")
    assert first.store is not None
    described = json.loads((first.store / "index.json").read_text())
    del described["others"]
    (first.store / "index.json").write_text(json.dumps(with_digest(described)))
    again = image_index(tree, tmp_path / "cache")
    assert [again.path(n) for n in range(len(again))] == [first.path(n) for n in range(len(first))]
    assert again.others == first.others


def test_a_cache_that_cannot_be_written_costs_only_time(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert names(image_index(tree, tmp_path / "cache")) == names(scan(tree))


def test_a_started_process_gets_a_path_and_not_the_arrays(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "a").mkdir(parents=True)
    for number in range(3000):
        (root / "a" / f"a_rather_long_name_{number:06d}.jpg").touch()
    grow_old(root)
    index = image_index(root, tmp_path / "cache")
    sent = pickle.dumps(index)
    assert len(sent) < 1000 < index.names.nbytes
    received = pickle.loads(sent)  # noqa: S301 - our own
    assert names(received) == names(index)
    assert index.store is not None
    assert names(load_index(index.store)) == names(index)
