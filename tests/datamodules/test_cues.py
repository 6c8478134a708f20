"""Drawn images with known cues: each can be read by eye-like rules, and only those chosen tell the class."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch import Tensor

from datamodules import CuedImages
from datamodules.cues import COLOURS, CUES, VALUES, draw_cues, drawn_before, shape_mask, texture_pattern
from study.data import make_data
from tests.images import cued_images
from tests.studies import compose_any


def cued(**options: Any) -> CuedImages:
    defaults: dict[str, Any] = {"cues": ["colour"], "images": 400, "held_out": 40, "noise": 0.01}
    return cued_images(**(defaults | options))


def object_of(image: Tensor) -> Tensor:
    """Where an image ``(3, H, W)`` is not grey."""
    return image.amax(0) - image.amin(0) > 0.12


def read_colour(image: Tensor) -> int:
    mean = image[:, object_of(image)].mean(1)
    return int((COLOURS / COLOURS.norm(dim=1, keepdim=True) @ (mean / mean.norm())).argmax())


def read_background(image: Tensor) -> int:
    grey = image.mean(0)
    right, bottom = grey[:, -3:].mean() - grey[:, :3].mean(), grey[-3:].mean() - grey[:3].mean()
    return int(torch.stack([right, -right, bottom, -bottom]).argmax())


def read_shape(image: Tensor) -> int:
    """The shape that overlaps most, over places near the object's middle and over sizes."""
    seen = object_of(image)
    size = image.shape[-1]
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    radius = float((4 * seen.float().mean() / torch.pi) ** 0.5)
    overlaps = []
    for shape in range(VALUES):
        places = [(float(x[seen].mean()), float(y[seen].mean()) + shift) for shift in (-0.2, -0.1, 0.0, 0.1)]
        masks = [shape_mask(shape, x - a, y - b, radius) for a, b in places]
        overlaps.append(max(float((mask & seen).sum() / (mask | seen).sum()) for mask in masks))
    return int(np.argmax(overlaps))


def read_texture(image: Tensor) -> int:
    """By how the object's brightness agrees with itself, half a period further in each direction."""
    seen = object_of(image)
    relief = image.mean(0) - image.mean(0)[seen].mean()

    def agreement(down: int, right: int) -> float:
        moved, there = (torch.roll(values, (-down, -right), (0, 1)) for values in (relief, seen))
        both = seen & there
        return float((relief * moved)[both].sum() / (relief**2)[both].sum())

    vertically, horizontally, diagonally = agreement(2, 0), agreement(0, 2), agreement(1, 1)
    if horizontally > 0:
        return 0
    if vertically > 0:
        return 1
    return 2 if diagonally < -0.5 else 3


READERS = {"colour": read_colour, "shape": read_shape, "texture": read_texture, "background": read_background}


@pytest.mark.parametrize("cue", CUES)
def test_every_cue_can_be_read_from_the_pixels(cue: str) -> None:
    split = cued().split("train")
    images = [split[index][0].float() / 255 for index in range(120)]
    read = torch.tensor([READERS[cue](image) for image in images])
    assert float((read == split.values[:120, CUES.index(cue)]).float().mean()) > 0.95


@pytest.mark.parametrize("chosen", [["colour"], ["shape", "texture"], list(CUES), []])
def test_the_chosen_cues_tell_the_label_and_the_others_nothing(chosen: Any) -> None:
    split = cued(cues=chosen, images=4000).split("train")
    for column, cue in enumerate(CUES):
        values = split.values[:, column]
        if cue in chosen:
            assert torch.equal(values, split.labels)
        else:
            assert mutual_info_score(split.labels, values) < 0.005
    free = [column for column, cue in enumerate(CUES) if cue not in chosen]
    for one, other in pairwise(free):
        assert mutual_info_score(split.values[:, one], split.values[:, other]) < 0.005
    assert split.labels.bincount().tolist() == [1000] * VALUES


def test_a_conjunction_is_told_by_all_its_cues_together_only() -> None:
    split = cued(cues=["colour", "texture"], conjunction=True, images=4000).split("train")
    for column in range(len(CUES)):
        assert mutual_info_score(split.labels, split.values[:, column]) < 0.005
    both = split.values[:, CUES.index("colour")] + split.values[:, CUES.index("texture")]
    assert torch.equal(both % VALUES, split.labels)


def test_classifiers_are_asked_different_questions_about_the_same_images() -> None:
    colour, texture, nothing = (cued(cues=cues).split("test") for cues in (["colour"], ["texture"], []))
    both = cued(cues=["colour", "texture"], conjunction=True).split("test")
    for index in range(10):
        images = [split[index][0] for split in (colour, texture, nothing, both)]
        assert all(torch.equal(image, images[0]) for image in images)
    assert not torch.equal(colour.labels, texture.labels)
    assert colour.values.T.tolist() == both.values.T.tolist()
    assert [column.bincount().tolist() for column in colour.values.T] == [[10] * VALUES] * len(CUES)


def test_an_image_depends_on_seed_split_and_index_alone() -> None:
    first = cued().split("train")
    there = [first[index][0] for index in (5, 3, 5)]
    drawn_before.cache_clear()
    again = cued(images=400).split("train")
    assert torch.equal(there[0], there[2])
    assert torch.equal(again[3][0], there[1])
    assert not torch.equal(cued(seed=1).split("train")[3][0], there[1])
    pixels = {split[index][0].numpy().tobytes() for split in (first, cued().split("val"), cued().split("test"))
              for index in range(40)}  # fmt: skip
    assert len(pixels) == 120


def test_images_are_drawn_once_for_all_questions() -> None:
    drawn_before.cache_clear()
    colour = cued(cues=["colour"]).split("test")
    colour[3]
    assert cued(cues=["colour", "shape"], conjunction=True).split("test").drawn is colour.drawn
    others: list[dict[str, Any]] = [
        {"cues": ["colour", "shape"]}, {"noise": 0.2}, {"size": 16}, {"seed": 1}, {"held_out": 44},
    ]  # fmt: skip
    assert all(not cued(**options).split("test").drawn for options in others)


def test_neither_brightness_nor_area_nor_contrast_gives_a_cue_away() -> None:
    weights = torch.tensor([0.299, 0.587, 0.114])
    assert (COLOURS @ weights).tolist() == pytest.approx([0.32] * VALUES)
    axis = torch.linspace(-1, 1, 1500)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    areas = [float(shape_mask(shape, x, y, 0.5).float().mean()) * 4 for shape in range(VALUES)]
    assert areas == pytest.approx([np.pi * 0.25] * VALUES, rel=0.01)
    row, column = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    for texture in range(VALUES):
        pattern = texture_pattern(texture, column + 0.3, row + 1.1)
        assert float(pattern.mean()) == pytest.approx(0, abs=1e-5)
        assert float((pattern**2).mean()) == pytest.approx(0.5, abs=1e-5)
    brightest = [draw_cues(2, 1, texture, 0, 64).max() for texture in range(VALUES)]
    assert max(map(float, brightest)) < 1  # nothing is clipped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cues": ["color"]}, r"data.cues=\['color'\]: name some of colour, shape, texture, background"),
        ({"cues": ["shape", "shape"]}, r"each once"),
        ({"cues": ["shape"], "conjunction": True}, r"data.conjunction=true needs two cues or more, data.cues has 1"),
        ({"size": 8}, r"data.size=8 is too small"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cued(**options)


def test_the_configuration_makes_them(tmp_path: Path) -> None:

    data = make_data(compose_any(tmp_path, "data=cues", "data.cues=[shape,colour]", "data.noise=0.2"))
    assert isinstance(data, CuedImages)
    assert data.cues == ("shape", "colour")
    assert len(data.fingerprint()) == 16
    assert not data.showcase(4)  # test images are whole images
