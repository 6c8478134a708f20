"""Tar shards: every image once, in an order of the seed, from any place on."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules import ImageShards
from datamodules.cropped import Failures
from datamodules.image_files import read_image
from datamodules.shard_streams import TrainingStream, View
from tests.datamodules.trees import jpeg
from tests.images import image_shards

COUNTS = (7, 5, 9, 6, 4)

pytest.importorskip("webdataset")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five shards whose images know their number by their contents; other files among them."""
    (tmp_path / "shards").mkdir()
    number = 0
    for place, count in enumerate(COUNTS):
        with tarfile.open(tmp_path / "shards" / f"{place:03d}.tar", "w") as tar:
            for _ in range(count):
                for suffix, content in (("jpg", jpeg(number, 30, 30)), ("json", b"{}"), ("txt", b"a caption")):
                    member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
                number += 1
    return tmp_path / "shards"


def shards(root: Path, **options: Any) -> ImageShards:
    settings: dict[str, Any] = {"size": 30, "resize": None, "held_out_shards": 1, "cache": str(root.parent / "cache")}
    return image_shards(root, **settings | options)


def training(
    root: Path, rank: int = 0, ranks: int = 1, streams: int = 1, start: int = 0, seed: int = 0
) -> TrainingStream:
    return TrainingStream(
        shards(root)._shards[:-1],
        View(30, None, Failures(0, "raise")),
        batch_size=2,
        seed=seed,
        rank=rank,
        world_size=ranks,
        streams=streams,
        start=start,
    )


def test_images_are_those_of_the_shards(root: Path) -> None:
    data = shards(root)
    for image, label, index in data.split("train"):
        expected = read_image(io.BytesIO(jpeg(index, 30, 30)))
        assert label == 0
        assert torch.equal(image, expected) or torch.equal(image.flip(-1), expected)
    held_out = [(index, image) for image, _, index in data.split("val")]
    assert [index for index, _ in held_out] == list(range(COUNTS[-1]))
    assert torch.equal(held_out[2][1], read_image(io.BytesIO(jpeg(27 + 2, 30, 30))))


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("streams", [1, 2])
def test_every_image_is_seen_once(root: Path, ranks: int, streams: int) -> None:
    seen: list[int] = []
    for rank in range(ranks):
        stream = training(root, rank, ranks, streams)
        for number in range(streams):
            seen += [index for _, _, index in stream.stream(number, 0)]
    assert sorted(seen) == list(range(sum(COUNTS[:-1])))
    assert seen != sorted(seen)


def batches(data: ImageShards, consumed: int = 0) -> list[tuple[list[int], Tensor]]:
    data.consumed_batches = consumed
    return [(index.tolist(), images) for images, _, index in data.train_dataloader()]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_pass_goes_on_from_any_place(root: Path, workers: int) -> None:
    whole = batches(shards(root, workers=workers, batch_size=2))
    assert len({index for indices, _ in whole for index in indices}) == 2 * len(whole)
    assert len(whole) == len(shards(root, workers=workers, batch_size=2).split("train")) // 2
    for consumed in (1, 4, 7, len(whole) - 1):
        rest = batches(shards(root, workers=workers, batch_size=2), consumed)
        assert [indices for indices, _ in rest] == [indices for indices, _ in whole[consumed:]]
        assert all(torch.equal(one, other) for (_, one), (_, other) in zip(rest, whole[consumed:], strict=True))


def test_the_order_is_the_seeds(root: Path) -> None:
    def order(seed: int) -> list[int]:
        return [index for _, _, index in training(root, seed=seed)]

    assert order(3) == order(3)
    assert order(3) != order(4)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_held_out_images_are_seen_once_in_pairs(root: Path, ranks: int) -> None:
    data = shards(root, held_out_shards=2)
    shares = []
    for rank in range(ranks):
        stream = data.split("val")
        stream.rank, stream.world_size = rank, ranks
        shares.append([index for _, _, index in stream])
        assert len(shares[-1]) == len(stream)
    assert sorted(index for share in shares for index in share) == list(range(COUNTS[-1] + COUNTS[-2]))
    assert all(index // 2 % ranks == rank for rank, share in enumerate(shares) for index in share)


def test_counts_come_from_the_file_the_cache_or_the_shards(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [shard.count for shard in shards(root)._shards] == list(COUNTS)
    monkeypatch.setattr("datamodules.shards.members", lambda _: pytest.fail("counted again"))
    assert [shard.count for shard in shards(root)._shards] == list(COUNTS)
    (root / "sizes.json").write_text(json.dumps({f"{place:03d}.tar": 3 for place in range(5)}))
    assert [shard.count for shard in shards(root)._shards] == [3] * 5
    (root / "sizes.json").write_text(json.dumps({"000.tar": 3}))
    with pytest.raises(ValueError, match=r"sizes.json does not name 001.tar"):
        shards(root)


def test_what_is_wrong_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no \*.tar"):
        shards(tmp_path)
    with pytest.raises(ValueError, match=r"data.held_out_shards=5 must be at least 1 and fewer than the 5 shards"):
        shards(root, held_out_shards=5)
    with tarfile.open(root / "000.tar", "w") as tar:
        member = tarfile.TarInfo("broken.jpg")
        member.size = 6
        tar.addfile(member, io.BytesIO(b"broken"))
    with pytest.raises(ValueError, match=r"000.tar: broken.jpg cannot be read as an image"):
        list(shards(root).split("train"))
    data = shards(root, on_error="skip", batch_size=2)
    kept = [index for batch in data.train_dataloader() for index in batch[2][batch[1] >= 0].tolist()]
    assert 0 not in kept
    assert data.unreadable() == [root / "000.tar" / "0"]
