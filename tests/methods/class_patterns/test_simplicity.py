"""The simplicity of patterns: known shapes, SciPy, and slow words."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import ndimage  # type: ignore[import-untyped]

from methods.class_patterns.simplicity import (
    connected_components,
    edge_density,
    mask_variation,
    pixel_variation,
    simplicity,
)

EIGHT = np.ones((3, 3), dtype=int)


def scattered(seed: int, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.random((13, 11)) < share, generator.random((3, 13, 11))


def values(numbers: dict[str, float]) -> tuple[float, ...]:
    return tuple(numbers.values())


def pairs(height: int, width: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for row in range(height):
        for column in range(width):
            if row + 1 < height:
                yield (row, column), (row + 1, column)
            if column + 1 < width:
                yield (row, column), (row, column + 1)


@pytest.mark.parametrize("seed", range(4))
def test_variations_are_those_of_every_pair_in_turn(seed: int) -> None:
    mask, image = scattered(seed)
    outline = sum(bool(mask[one] != mask[other]) for one, other in pairs(13, 11))
    inner = [
        abs(image[channel][one] - image[channel][other])
        for one, other in pairs(13, 11)
        if mask[one] and mask[other]
        for channel in range(3)
    ]
    assert mask_variation(mask) == outline
    assert pixel_variation(mask, image) == pytest.approx(sum(inner) / len(inner))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.9])
def test_components_are_scipys(share: float) -> None:
    for seed in range(5):
        mask, _ = scattered(seed, share)
        labels, count = ndimage.label(mask, EIGHT)
        sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
        assert connected_components(mask) == (count, pytest.approx(max(sizes) / mask.sum()))


def test_edges_are_those_of_a_convolution_in_words() -> None:
    mask, image = scattered(7)
    smooth = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    padded, found = np.pad(smooth, 1, mode="edge"), []
    kernel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 4
    for row, column in zip(*np.nonzero(mask), strict=True):
        window = padded[row : row + 3, column : column + 3]
        size = math.sqrt(((kernel * window).sum() ** 2 + (kernel.T * window).sum() ** 2) / 2)
        found.append(size > 0.25)
    assert edge_density(mask, image, threshold=0.25) == pytest.approx(np.mean(found))
    assert 0.1 < np.mean(found) < 0.9


def test_known_shapes() -> None:
    flat = np.full((3, 12, 12), 0.5)
    square = np.zeros((12, 12), dtype=bool)
    square[3:8, 4:9] = True
    assert values(simplicity(square, flat)) == (25, 20 / 25, 0.0, 0.0, 1, 1.0)
    whole = np.ones((12, 12), dtype=bool)
    assert values(simplicity(whole, flat)) == (144, 0.0, 0.0, 0.0, 1, 1.0)
    chequer = np.indices((12, 12)).sum(axis=0) % 2 == 0
    found = simplicity(chequer, flat)  # touching at corners, it is one piece; no two neighbours are both in it
    assert (found["pixels"], found["components"], found["largest_share"]) == (72, 1, 1.0)
    assert found["mask_variation"] == 264 / 72
    assert math.isnan(found["pixel_variation"])
    apart = np.zeros((12, 12), dtype=bool)
    apart[1::3, 1::3] = True
    found = simplicity(apart, flat)
    assert (found["pixels"], found["components"], found["largest_share"], found["mask_variation"]) == (
        16,
        16,
        1 / 16,
        4.0,
    )


def test_an_empty_mask_has_no_pieces_and_nothing_else_to_tell() -> None:
    found = simplicity(np.zeros((6, 7), dtype=bool), np.zeros((3, 6, 7), dtype=np.uint8))
    assert (found["pixels"], found["components"]) == (0, 0)
    rest = (found["mask_variation"], found["pixel_variation"], found["edge_density"], found["largest_share"])
    assert all(math.isnan(value) for value in rest)


def test_a_step_in_the_image_is_an_edge_and_varies_once() -> None:
    image = np.zeros((3, 10, 10))
    image[:, :, 5:] = 1
    mask = np.ones((10, 10), dtype=bool)
    assert edge_density(mask, image) == pytest.approx(0.2)  # the columns on both sides
    assert pixel_variation(mask, image) == pytest.approx(10 / 180)


def test_turned_mirrored_and_dark_patterns_are_as_simple() -> None:
    mask, image = scattered(3)
    expected = values(simplicity(mask, image))
    assert values(simplicity(mask.T, image.transpose(0, 2, 1))) == pytest.approx(expected)
    assert values(simplicity(mask[:, ::-1], image[:, :, ::-1])) == pytest.approx(expected)
    assert values(simplicity(mask, 1 - image)) == pytest.approx(expected)


def test_bytes_and_tensors_are_taken() -> None:
    mask, image = scattered(5)
    levels = (image * 255).round().astype(np.uint8)
    expected = values(simplicity(mask, levels / 255))
    assert values(simplicity(mask, levels)) == expected
    assert values(simplicity(torch.from_numpy(mask), torch.from_numpy(levels))) == expected


@pytest.mark.parametrize(
    ("mask", "canvas", "message"),
    [
        (np.ones((4, 4)), np.zeros((3, 4, 4)), r"the mask is float64 of shape \(4, 4\); expected booleans"),
        (np.ones((1, 4, 4), dtype=bool), np.zeros((3, 4, 4)), r"expected booleans \(H, W\)"),
        (np.ones((4, 4), dtype=bool), np.zeros((3, 4, 5)), r"shape \(3, 4, 5\); expected \(3, 4, 4\)"),
        (np.ones((4, 4), dtype=bool), np.full((3, 4, 4), 2.0), r"neither uint8 nor in \[0, 1\]"),
        (np.ones((4, 4), dtype=bool), np.full((3, 4, 4), np.nan), r"neither uint8 nor in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(mask: np.ndarray, canvas: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simplicity(mask, canvas)
