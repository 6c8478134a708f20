"""The built-in photographs: no pixel in two splits, no network, the same images every time."""

import socket
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import datamodules.photographs
from datamodules.photographs import PHOTOGRAPHS, EvaluationTiles, Photographs, cut_tiles, photograph
from datamodules.sampling import Draw
from tests.images import photographs

SETTINGS: dict[str, Any] = {"tile": 64, "crop": 48, "tiles_per_class": 60, "held_out": 0.2, "grid": 2}


def numbered(name: str) -> Tensor:
    """A photograph in which every pixel has a colour of its own, over all photographs."""
    start = PHOTOGRAPHS.index(name) * 200_000
    number = torch.arange(start, start + 330 * 400).reshape(330, 400)
    return torch.stack([number >> 16, number >> 8 & 255, number & 255]).to(torch.uint8)


def numbers(image: Tensor) -> set[int]:
    red, green, blue = image.long()
    return set((red << 16 | green << 8 | blue).flatten().tolist())


@pytest.fixture
def data() -> Photographs:
    return photographs(PHOTOGRAPHS, **SETTINGS)


def test_no_pixel_is_in_two_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datamodules.photographs, "photograph", numbered)
    data = photographs(PHOTOGRAPHS[:4], **SETTINGS)
    seen: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    for split in ("val", "test"):
        for image, label, _ in (data.split(split)[index] for index in range(len(data.split(split)))):
            assert {number // 200_000 for number in numbers(image)} == {label}
            seen[split] |= numbers(image)
    train = data.split("train")
    for index in range(len(train)):
        for seed in range(4):
            seen["train"] |= numbers(train[Draw(index, seed)][0])
    for one, other in pairwise(["train", "val", "test", "train"]):
        assert not seen[one] & seen[other]


def test_all_possible_training_crops_stay_in_their_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datamodules.photographs, "photograph", numbered)
    data = photographs(PHOTOGRAPHS[:1], **SETTINGS)
    tile = numbers(data._tiles["train"][0][0])
    corners = set()
    for seed in range(300):
        image = data.split("train")[Draw(0, seed)][0]
        assert numbers(image) <= tile
        corners.add(min(numbers(image)))
    assert len(corners) > 150  # of 289 places


def test_neighbours_in_evaluation_share_no_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datamodules.photographs, "photograph", numbered)
    split = photographs(PHOTOGRAPHS[:4], **SETTINGS).split("test")
    images = [numbers(split[index][0]) for index in range(len(split))]
    assert not [position for position, (one, other) in enumerate(pairwise(images)) if one & other]


def test_tiles_are_the_grid_of_the_photograph() -> None:
    image = photograph("chelsea")
    tiles = cut_tiles(image, 64)
    assert len(tiles) == (300 // 64) * (451 // 64)
    assert torch.equal(tiles[8], image[:, 64:128, 64:128])


def test_the_evaluation_grid_reaches_all_corners() -> None:
    tiles = torch.arange(3 * 64 * 64).reshape(1, 3, 64, 64)
    split = EvaluationTiles(tiles, torch.tensor([0]), crop=48, grid=2)
    assert [int(split[index][0][0, 0, 0]) for index in range(4)] == [0, 16, 16 * 64, 16 * 64 + 16]


def test_every_photograph_loads_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    for name in PHOTOGRAPHS:
        image = photograph(name)
        assert image.dtype == torch.uint8
        assert image.shape[0] == 3


def test_training_crops_depend_on_the_draw_alone(data: Photographs) -> None:
    other = photographs(PHOTOGRAPHS, **SETTINGS)
    draws = [Draw(index, seed) for index in (0, 100, 400) for seed in (1, 2)]
    images = [data.split("train")[draw][0] for draw in draws]
    assert all(torch.equal(image, other.split("train")[draw][0]) for image, draw in zip(images, draws, strict=True))
    assert not torch.equal(images[0], images[1])
    assert images[0].shape == (3, 48, 48)


def test_fingerprints_tell_data_apart(data: Photographs) -> None:
    assert data.fingerprint() == photographs(PHOTOGRAPHS, **SETTINGS).fingerprint()
    assert data.fingerprint() != photographs(PHOTOGRAPHS, **SETTINGS | {"crop": 40}).fingerprint()
    assert data.fingerprint() != photographs(PHOTOGRAPHS[1:], **SETTINGS).fingerprint()


def test_whole_photographs_are_shown_in_colour_first(data: Photographs) -> None:
    shown = data.showcase(3)
    assert list(shown) == ["astronaut", "chelsea", "coffee"]
    assert shown["chelsea"].shape == (3, 300, 451)
    assert 0 <= shown["chelsea"].min() < shown["chelsea"].max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 65}, r"data.crop=65 must be at least 1 and at most data.tile=64"),
        ({"tile": 180}, r"gives \d tiles of 180 pixels, too few for three splits"),
        ({"grid": 0}, r"data.grid=0"),
        ({"held_out": 0.5}, r"data.held_out=0.5"),
        ({"names": []}, r"data.names is empty"),
        ({"names": ["lena"]}, r"no photograph 'lena'; choose from astronaut"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    settings = {"names": PHOTOGRAPHS} | SETTINGS | change
    with pytest.raises(ValueError, match=message):
        photographs(**settings)
