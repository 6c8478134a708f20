"""The images of a configuration."""

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from datamodules.augmentation import Augmentation
from datamodules.base import ImageDataModule
from datamodules.poison import read_poison
from datamodules.views.poisoned import PoisonedImages
from study.autoencoders import has_autoencoders, make_autoencoder
from study.configuration.instantiation import instantiate
from study.console import say_once
from study.decisions.files import confident_images, with_decisions


def make_data(
    cfg: DictConfig, batch_size: int = 2, augmentation: Augmentation = "crop_flip", node: str = "data"
) -> ImageDataModule:
    """The images, in batches of ``batch_size`` over all devices.

    Args:
        cfg: The configuration.
        batch_size: Images per step over all devices.
        augmentation: What happens to training images.
        node: The part of the configuration that describes the images: ``data`` or ``pretrain_data``.

    Raises:
        FileNotFoundError: If they have decisions as labels, and these were not made.
        ValueError: If the labels of images without labels are wanted, or the autoencoder cannot take the images.
    """
    if OmegaConf.is_missing(cfg[node], "root"):
        raise ValueError(f"{node}.root is not set: name the folder that holds the images, as {node}.root=/data/pets")
    described: Any = OmegaConf.to_container(cfg[node], resolve=True)
    poison, decided = described.pop("poison", None), described.pop("decisions", None)
    data: ImageDataModule = instantiate(
        described, node, "images", batch_size=batch_size, seed=cfg.seed, augmentation=augmentation
    )
    for note in data.notes():
        say_once(note)
    if cfg.task != "prepare":
        data.use_prepared()
    if has_autoencoders(cfg):
        check_size(cfg, data)
    if node == "data" and not data.labelled and cfg.labels.source == "given" and cfg.task != "pretrain":
        raise ValueError(
            "labels=given, but these images have no labels: use labels=decisions, or data with labels, and name these "
            "as data@pretrain_data=unlabelled pretrain_data.root=..."
        )
    if decided is not None:
        if decided["confident"]:
            data = confident_images(cfg, data, decided["confident"])
        if decided["classifier"] is not None:
            data = with_decisions(cfg, data, decided["classifier"], decided["confident"])
    return data if poison is None else PoisonedImages(data, read_poison(poison))


def images_at_once(chunk: int | None, pixels: int, most_pixels: int) -> int:
    """How many images pass through a network at once: ``chunk``, or as many as have ``most_pixels`` together."""
    return chunk or max(1, most_pixels // pixels)


def check_size(cfg: DictConfig, data: ImageDataModule) -> None:
    """Refuse images that the autoencoder cannot take."""
    with torch.device("meta"):  # its sizes, not its weights
        smallest = make_autoencoder(cfg).smallest_image
    if data.smallest_side < smallest:
        raise ValueError(
            f"images of {data.smallest_side} pixels are too small for the autoencoder, which needs {smallest} or more: "
            "enlarge them (data.crop or data.size), or choose autoencoder=segnet_compact"
        )
