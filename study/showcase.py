"""The images that the page shows: which, and their reconstructions by every autoencoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from datamodules.base import ImageDataModule
from networks.classifier import freeze
from stats.names import ORIGINAL
from study.autoencoders import make_autoencoder

Columns = dict[str, list[np.ndarray]]


def choose_test_images(data: ImageDataModule, count: int) -> list[tuple[str, Tensor]]:
    """The first test image ``(3, H, W)`` of each of ``count`` classes spread evenly, with the name of the class.

    Of images without labels, ``count`` test images spread evenly, without names.
    """
    split = data.split("test")
    if not data.labelled:
        spread = np.linspace(0, len(split) - 1, min(count, len(split))).round().astype(int).tolist()
        return [("", split[position][0].float() / 255) for position in spread]
    first: dict[int, int] = {}
    for position in range(len(split)):
        first.setdefault(split.label(position), position)
    labels = sorted(first)
    chosen = np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int).tolist()
    return [
        (data.classes[labels[number]].replace("_", "\n"), split[first[labels[number]]][0].float() / 255)
        for number in chosen
    ]


@torch.inference_mode()
def reconstruct(cfg: DictConfig, weights: Mapping[str, Path], images: Sequence[Sequence[Tensor]]) -> list[Columns]:
    """Images and their reconstructions by every autoencoder.

    Args:
        cfg: The configuration.
        weights: Weights of each autoencoder, by its name.
        images: Groups of images ``(3, H, W)`` in [0, 1]; sizes may differ.

    Returns:
        For each group, arrays ``(3, H, W)`` by source: ``original``, then each autoencoder. Reconstructions may leave
        [0, 1].
    """
    columns = [{ORIGINAL: [image.numpy() for image in group]} for group in images]
    for name, path in weights.items():
        autoencoder = freeze(make_autoencoder(cfg, path))
        for group, shown in zip(images, columns, strict=True):
            shown[name] = [autoencoder(image[None])[0].numpy() for image in group]
    return columns
