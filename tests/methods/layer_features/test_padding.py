"""Continued edges of images against loops over single pixels."""

import torch

from methods.layer_features import regularizers
from tests.replicas import replicates


@replicates(regularizers.pad_edges)
def literal_padding(image: list[list[float]], around: list[int]) -> list[list[float]]:
    left, right, top, bottom = around
    height, width = len(image), len(image[0])
    return [
        [image[min(max(y, 0), height - 1)][min(max(x, 0), width - 1)] for x in range(-left, width + right)]
        for y in range(-top, height + bottom)
    ]


def test_edges_are_continued() -> None:
    images = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    padded = regularizers.pad_edges(images, [7, 2, 0, 6])
    for made, image in zip(padded.flatten(0, 1), images.flatten(0, 1), strict=True):
        assert made.tolist() == literal_padding(image.tolist(), [7, 2, 0, 6])
