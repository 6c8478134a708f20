"""Prepared splits: the same images, whatever happens while and after they are written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import datamodules.prepared
from datamodules import ImageFolder
from datamodules.prepared import prepare, prepared_folder
from tests.datamodules.trees import WNIDS, jpeg, make_tree
from tests.images import image_folder


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datamodules.prepared, "IMAGES_PER_SHARD", 4)
    monkeypatch.setattr(datamodules.prepared, "IMAGES_PER_BATCH", 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree", train=1, val=3)


def images(root: Path, **options: Any) -> ImageFolder:
    return image_folder(root, size=24, resize=30, cache=str(root.parent / "cache"), **options)


def prepared(data: ImageFolder) -> tuple[Path, int]:
    folder = prepared_folder(root_cache(data), data.transform("val"))
    transform = data.transform("val")
    count = prepare(data.split("val"), folder, data.split_fingerprint("val"), transform, 0, lambda batches, _: batches)
    return folder, count


def root_cache(data: ImageFolder) -> Path:
    assert data.cache is not None
    return data.cache


def all_images(data: ImageFolder) -> list[torch.Tensor]:
    return [data.split("val")[place][0] for place in range(len(data.split("val")))]


def test_prepared_images_are_the_images(root: Path) -> None:
    plain = images(root)
    assert plain.use_prepared() == []
    folder, count = prepared(images(root))
    assert count == 9
    data = images(root)
    assert data.use_prepared() == [folder, folder]  # val serves as test, too
    for path in (root / "val").rglob("*.JPEG"):
        path.write_bytes(b"not read any more" + b"." * (path.stat().st_size - 17))
    assert len(list(folder.glob("*.npy"))) == 4  # three shards and the checksums
    for place in range(9):
        assert data.split("val")[place][1:] == (data.split("val").label(place), place)
    read = all_images(data)
    with pytest.raises(ValueError, match="cannot be read as an image"):
        all_images(plain)
    make_tree(root.parent / "again", train=1, val=3)
    expected = all_images(images(root.parent / "again"))
    assert all(torch.equal(one, other) for one, other in zip(read, expected, strict=True))


def test_an_interrupted_preparation_continues(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = images(root)
    written: list[Path] = []
    original = datamodules.prepared.write_json

    def stop_at_the_second(path: Path, content: dict[str, Any]) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        original(path, content)

    monkeypatch.setattr(datamodules.prepared, "write_json", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        prepared(data)
    monkeypatch.setattr(datamodules.prepared, "write_json", original)
    assert data.use_prepared() == []
    folder, count = prepared(data)
    assert count == 5
    assert not list(folder.glob("*.partial"))
    assert prepared(data)[1] == 0
    fresh = images(root)
    assert fresh.use_prepared()
    assert all(torch.equal(one, other) for one, other in zip(all_images(fresh), all_images(data), strict=True))


@pytest.mark.parametrize("damage", ["a bit", "cut", "gone"])
def test_a_damaged_shard_is_named_and_mended(root: Path, damage: str) -> None:
    folder, _ = prepared(images(root))
    shard = folder / "00001.npy"
    content = bytearray(shard.read_bytes())
    if damage == "gone":
        shard.unlink()
    elif damage == "cut":
        shard.write_bytes(content[:-100])
    else:
        content[-7] ^= 4
        shard.write_bytes(content)
    data = images(root)
    data.use_prepared()
    with pytest.raises(ValueError, match=r"00001.npy is damaged .*: run task=prepare again"):
        all_images(data)
    assert prepared(images(root))[1] == 4
    mended = images(root)
    mended.use_prepared()
    assert all(torch.equal(one, other) for one, other in zip(all_images(mended), all_images(images(root)), strict=True))


def test_a_stale_preparation_is_named_and_made_anew(root: Path) -> None:
    folder, _ = prepared(images(root))
    (root / "val" / WNIDS[0] / "new.JPEG").write_bytes(jpeg(99))
    data = images(root)
    with pytest.raises(
        ValueError, match=rf"{folder} was prepared from other images than there are now: run task=prepare"
    ):
        data.use_prepared()
    assert prepared(data)[1] == 10
    data.use_prepared()
    assert len(all_images(data)) == 10


def test_another_transform_or_library_is_kept_apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = prepared(images(root))
    subset = images(root, per_class=1)
    assert subset.use_prepared() == []
    assert prepared_folder(root_cache(subset), subset.transform("val")) != folder
    monkeypatch.setattr(datamodules.prepared, "version", lambda package: f"{package} of tomorrow")
    assert images(root).use_prepared() == []
    described = json.loads((folder / "prepared.json").read_text())
    assert described["count"] == 9
    assert described["transform"]["size"] == 24


def test_images_that_could_not_be_read_stay_left_out(root: Path) -> None:
    broken = (root / "val" / WNIDS[1] / "broken.JPEG").resolve()
    broken.write_bytes(b"no image")
    data = images(root, on_error="skip")
    folder, _ = prepared(data)
    assert data.unreadable() == [broken]
    assert (np.load(folder / "checksums.npy") == -1).sum() == 1
    again = images(root, on_error="skip", batch_size=4)
    again.use_prepared()
    seen = [index for batch in again.val_dataloader() for index in again.on_after_batch_transfer(batch, 0)[2].tolist()]
    assert len(seen) == 9
    assert again.unreadable() == [broken]
