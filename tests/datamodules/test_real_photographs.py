"""Photographs of installed packages: no pixel in two splits, no network, the same images every time."""

import socket
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import datamodules.real_photographs
from datamodules.real_photographs import PHOTOGRAPHS, RealPhotographs, split_regions
from datamodules.sampling import Draw
from tests.images import real_photographs

SMALL: dict[str, Any] = {"size": 32, "train_crops": 3, "test_crops": 4}


def number_every_pixel(monkeypatch: pytest.MonkeyPatch, sizes: dict[str, tuple[int, int]]) -> None:
    """Photographs in which every pixel has a colour of its own, over all of them; squares are not resized."""

    def numbered(name: str) -> Tensor:
        height, width = sizes[name]
        start = list(sizes).index(name) * 200_000
        number = torch.arange(start, start + height * width).reshape(height, width)
        return torch.stack([number >> 16, number >> 8 & 255, number & 255]).to(torch.uint8)

    monkeypatch.setattr(datamodules.real_photographs, "PHOTOGRAPHS", dict.fromkeys(sizes, numbered))
    monkeypatch.setattr(datamodules.real_photographs.transforms, "resize", lambda image, *_, **__: image)


def numbers(image: Tensor) -> set[int]:
    red, green, blue = image.long()
    return set((red << 16 | green << 8 | blue).flatten().tolist())


def test_no_pixel_is_in_two_splits_and_neighbours_are_of_different_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"wide": (300, 451), "tall": (401, 300), "square": (333, 333), "wide2": (301, 420), "last": (400, 300)}
    number_every_pixel(monkeypatch, sizes)
    data = real_photographs(list(sizes), **SMALL | {"sides": [64, 300], "test_crops": 12})
    seen: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    sides = set()
    for name in ("val", "test"):
        split = data.split(name)
        of_photographs = []
        for index in range(len(split)):
            image, label, position = split[index]
            (photograph,) = {number // 200_000 for number in numbers(image)}
            assert (label, position, photograph) == (0, index, split.group(index))
            of_photographs.append(photograph)
            sides.add(image.shape[-1])
            seen[name] |= numbers(image)
        assert all(one != other for one, other in pairwise(of_photographs))
    train = data.split("train")
    for index in range(len(train)):
        for seed in range(20):
            image = train[Draw(index, seed)][0]
            assert {number // 200_000 for number in numbers(image)} == {train.group(index)}
            seen["train"] |= numbers(image)
    for one, other in combinations(seen, 2):
        assert not seen[one] & seen[other]
    assert min(sides) < 70
    assert max(sides) > 140  # quarters have 150 to 167 pixels
    pixels = sum(height * width for height, width in sizes.values())
    assert sum(map(len, seen.values())) > 0.8 * pixels  # nearly every pixel is used


@pytest.mark.parametrize("turn", range(4))
def test_half_of_a_photograph_is_trained_on_and_a_quarter_tested_on(turn: int) -> None:
    image = torch.arange(3 * 40 * 60).reshape(3, 40, 60)
    regions = split_regions(image, turn)
    assert {name: tuple(region.shape[-2:]) for name, region in regions.items()} == {
        "train": (40, 30), "val": (20, 30), "test": (20, 30),
    }  # fmt: skip
    assert sorted(torch.cat([region.flatten() for region in regions.values()]).tolist()) == list(range(3 * 40 * 60))


def test_every_quarter_is_tested_on_in_turn() -> None:
    image = torch.arange(16).reshape(1, 4, 4)
    corners = {(int(split_regions(image, turn)["test"].min())) for turn in range(4)}
    assert corners == {0, 2, 8, 10}


def test_images_are_the_same_every_time_and_differ_from_each_other() -> None:
    data, again = real_photographs(**SMALL), real_photographs(**SMALL)
    assert len(data.split("train")) == 3 * len(PHOTOGRAPHS)
    assert len(data.split("test")) == len(data.split("val")) == 4 * len(PHOTOGRAPHS)
    images = [data.split("test")[index][0] for index in range(0, 48, 5)]
    assert all(image.shape == (3, 32, 32) and image.dtype == torch.uint8 for image in images)
    assert all(torch.equal(image, again.split("test")[5 * at][0]) for at, image in enumerate(images))
    assert all(not torch.equal(one, other) for one, other in combinations(images, 2))
    draw, other = Draw(7, 1), Draw(7, 2)
    assert torch.equal(data.split("train")[draw][0], again.split("train")[draw][0])
    assert not torch.equal(data.split("train")[draw][0], data.split("train")[other][0])


def test_about_half_of_the_training_images_are_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    number_every_pixel(monkeypatch, {"one": (200, 300), "other": (200, 300)})
    train = real_photographs(["one", "other"], **SMALL | {"sides": [96, 96]}).split("train")
    images = [train[Draw(0, seed)][0] for seed in range(100)]
    mirrored = sum(int(image[2, 0, 0]) == (int(image[2, 0, 1]) + 1) % 256 for image in images)
    assert 35 < mirrored < 65


def test_photographs_load_without_network_and_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    images = {name: load(name) for name, load in PHOTOGRAPHS.items()}
    assert all(image.dtype == torch.uint8 and image.shape[0] == 3 for image in images.values())
    assert all(min(image.shape[1:]) >= 300 for image in images.values())
    colour = {name for name, image in images.items() if not torch.equal(image[0], image[1])}
    assert colour == set(PHOTOGRAPHS) - {"camera", "brick", "gravel"}


def test_whole_photographs_are_shown_and_fingerprints_tell_data_apart() -> None:
    data = real_photographs(**SMALL)
    shown = data.showcase(2)
    assert list(shown) == ["chelsea", "coffee"]
    assert shown["chelsea"].shape == (3, 300, 451)
    assert 0 <= shown["chelsea"].min() < shown["chelsea"].max() <= 1
    assert not data.labelled
    assert data.fingerprint() == real_photographs(**SMALL).fingerprint()
    assert data.fingerprint() != real_photographs(**SMALL | {"sides": [96, 200]}).fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["chelsea", "lena"]}, r"data.names: no photograph 'lena'; choose from chelsea, coffee"),
        ({"names": ["chelsea"]}, r"data.names=\['chelsea'\]: name two photographs or more"),
        ({"names": ["chelsea", "chelsea"]}, r"each once"),
        ({"sides": [300, 96]}, r"data.sides=\[300, 96\]: give the smallest and the largest side"),
        ({"sides": [96]}, r"data.sides=\[96\]"),
        ({"sides": [151, 300]}, r"data.sides=\[151, 300\]: parts of the photograph chelsea have 150 pixels: lower"),
        ({"test_crops": 0}, r"data.test_crops=0 must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RealPhotographs(**options_with(change))


def options_with(change: dict[str, Any]) -> dict[str, Any]:
    """The settings of conf/data, smaller and changed."""
    loading = {"batch_size": 2, "seed": 0, "workers": 0, "augmentation": "crop_flip"}
    return {"names": ["chelsea", "coffee"], "sides": [96, 300], **SMALL, **loading, **change}
