"""The networks of ``task=layer_features``: classifiers, and autoencoders up to their code."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from datamodules.base import ImageDataModule
from methods.layer_features.layer_inputs import last_convolution, last_of_stages
from networks.activations import Layer, find_layer, list_layers
from networks.classifier import Classifier
from stats.names import PRETRAINED
from study import classifiers
from study.artifact import require
from study.autoencoders import make_autoencoder, require_autoencoders
from study.files import sha256
from study.folder import study_folder
from study.networks import study_autoencoders

PREFIX = "network."  # of layer names within WithoutResizing; people do not see it


class WithoutResizing(nn.Module):
    """A classifier's network after its normalisation, without its resizing and cropping; or any other network.

    Args:
        network: A :class:`~networks.classifier.Classifier`, or a network that takes images in [0, 1].
        swapped: Whether the network gets the channels as blue, green, red.
    """

    def __init__(self, network: nn.Module, swapped: bool) -> None:
        super().__init__()
        self.network = network
        self.normalization: nn.Module = nn.Identity()
        if isinstance(network, Classifier):
            self.network, self.normalization = network.network, network.normalization
        self.swapped = swapped

    def forward(self, images: Tensor) -> Tensor:
        """The output of the network for images ``(N, 3, H, W)`` in [0, 1]."""
        return self.network(self.normalization(images.flip(1) if self.swapped else images))


@dataclass(frozen=True)
class FeatureNetwork:
    """A network whose layers are examined.

    Attributes:
        name: Its name in files and tables.
        fingerprint: A hash of its weights.
        size: Side of its images, in pixels.
        load: Makes the network with its weights.
        chosen: Names of layers; ``None``: the last layers of its last stages.
    """

    name: str
    fingerprint: str
    size: int
    load: Callable[[], nn.Module]
    chosen: Sequence[str] | None

    def layers(self, network: WithoutResizing) -> dict[str, str]:
        """The name of the input of each layer's last convolution, by the name of the layer.

        Raises:
            ValueError: If there is no such layer; names the nearest.
        """
        image = torch.zeros(1, 3, self.size, self.size)
        names = last_of_stages(self.list_layers(network)) if self.chosen is None else self.chosen
        for name in names:
            try:
                find_layer(network.network, name)
            except ValueError as error:
                raise ValueError(f"layer={name}: {self.name}: {error}".replace("(list", "(layer=list")) from error
        return {PREFIX + name: last_convolution(network, PREFIX + name, image) for name in names}

    def list_layers(self, network: WithoutResizing) -> list[Layer]:
        """Every layer, by its name within the original network."""
        layers = list_layers(network, torch.zeros(1, 3, self.size, self.size))
        ours = [layer for layer in layers if layer.name.startswith(PREFIX)]
        return [replace(layer, name=layer.name.removeprefix(PREFIX)) for layer in ours]


def feature_networks(cfg: DictConfig, data: ImageDataModule) -> list[FeatureNetwork]:
    """The study's classifiers, then the autoencoders that ``layer_features.autoencoders`` names."""
    configs = classifiers.study_classifiers(cfg)
    networks = [classifier_network(cfg, config, data) for config in configs.values()]
    for name in cfg.layer_features.autoencoders:
        require_autoencoders(cfg, f"layer_features.autoencoders={list(cfg.layer_features.autoencoders)}")
        networks.append(autoencoder_network(cfg, str(name), data))
    return networks


def classifier_network(cfg: DictConfig, config: DictConfig, data: ImageDataModule) -> FeatureNetwork:
    """A classifier; its images have the size that it resizes them to, unless ``layer_features.size`` is set."""
    size = cfg.layer_features.size or classifiers.preprocessing(config).size or data.smallest_side
    name, fingerprint = str(config.name), classifiers.weights_fingerprint(cfg, config)

    def load() -> nn.Module:
        return classifiers.load_classifier(cfg, config, with_classes(data, config.classes))

    return FeatureNetwork(name, fingerprint, int(size), load, chosen_layers(cfg, name))


def with_classes(data: ImageDataModule, count: int | None) -> ImageDataModule:
    """Data with as many classes as a classifier has logits; the names of the classes have no effect on layers."""
    if count is None or count <= len(data.classes):
        return data
    widened = copy.copy(data)  # the other networks of the task share the data
    widened.classes = [*data.classes, *(f"class {number}" for number in range(len(data.classes), count))]
    return widened


def autoencoder_network(cfg: DictConfig, name: str, data: ImageDataModule) -> FeatureNetwork:
    """A_S, or the A_i of a classifier."""
    if name == PRETRAINED:
        path = require(study_folder(cfg).pretrained, cfg, "pretrain")
    else:
        path = next(iter(study_autoencoders(cfg, name).values()))
    size = cfg.layer_features.size or data.smallest_side
    layers = [str(layer) for layer in cfg.layer_features.autoencoder_layers]
    shown = "A_S" if name == PRETRAINED else f"A_{name}"
    return FeatureNetwork(shown, sha256(path), int(size), lambda: make_autoencoder(cfg, path).eval(), layers)


def chosen_layers(cfg: DictConfig, name: str) -> list[str] | None:
    """The layers of a network that ``layer`` names: one, several, or some for each network; ``None``: choose."""
    layers: Any = OmegaConf.to_container(cfg.layer, resolve=True) if OmegaConf.is_config(cfg.layer) else cfg.layer
    if isinstance(layers, dict):
        layers = layers.get(name)
    if layers is None or layers == "list":
        return None
    return [str(layers)] if isinstance(layers, str | int) else [str(layer) for layer in layers]
