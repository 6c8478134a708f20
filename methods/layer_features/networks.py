"""The networks whose layers ``task=layer_features`` looks into: classifiers, and autoencoders up to their code."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from datamodules.base import ImageDataModule
from methods.layer_features.layer_inputs import last_convolution, last_of_stages
from methods.layer_features.presets import PRESETS
from methods.layer_features.without_resizing import PREFIX, WithoutResizing
from networks.activations import Layer, find_layer, list_layers
from stats.names import PRETRAINED
from study import classifiers
from study.artifact import require
from study.autoencoders import make_autoencoder, require_autoencoders
from study.files import sha256
from study.folder import study_folder
from study.networks import study_autoencoders


@dataclass(frozen=True)
class FeatureNetwork:
    """A network, and which of its layers are looked into.

    Attributes:
        name: Of its files.
        fingerprint: What tells its weights from others.
        size: Side of the images that it gets, in pixels.
        load: Makes it, with its weights.
        wanted: Names of layers; ``None``: those that end its last stages.
    """

    name: str
    fingerprint: str
    size: int
    load: Callable[[], WithoutResizing]
    wanted: Sequence[str] | None

    def layers(self, network: WithoutResizing) -> dict[str, str]:
        """The layers, by their names, each with what feeds it; an unknown one is an error that says the nearest."""
        image = torch.zeros(1, 3, self.size, self.size)
        names = self.wanted
        if names is None:
            names = last_of_stages(self.listed(network))
        for name in names:
            try:
                find_layer(network.network, name)
            except ValueError as error:
                raise ValueError(f"layer={name}: {self.name}: {error}".replace("(list", "(layer=list")) from error
        return {PREFIX + name: last_convolution(network, PREFIX + name, image) for name in names}

    def listed(self, network: WithoutResizing) -> list[Layer]:
        """Every layer, with names that leave out where this project keeps the network."""
        found = list_layers(network, torch.zeros(1, 3, self.size, self.size))
        return [
            Layer(layer.name.removeprefix(PREFIX), layer.kind, layer.shape)
            for layer in found
            if layer.name.startswith(PREFIX)
        ]


def feature_networks(cfg: DictConfig, data: ImageDataModule) -> list[FeatureNetwork]:
    """The study's classifiers, then the autoencoders that ``layer_features.autoencoders`` names."""
    options = cfg.layer_features
    configs = classifiers.study_classifiers(cfg)
    found = [classifier_network(cfg, config, data) for config in configs.values()]
    for name in options.autoencoders:
        require_autoencoders(cfg, f"layer_features.autoencoders={list(options.autoencoders)}")
        found.append(autoencoder_network(cfg, str(name), data))
    return found


def classifier_network(cfg: DictConfig, config: DictConfig, data: ImageDataModule) -> FeatureNetwork:
    """A classifier, with images of the size that it resizes them to, unless another is wanted."""
    swapped, name = swaps(cfg), str(config.name)
    size = cfg.layer_features.size or classifiers.preprocessing(config).size or data.smallest_side

    def load() -> WithoutResizing:
        return WithoutResizing(classifiers.load_classifier(cfg, config, with_classes(data, config.classes)), swapped)

    return FeatureNetwork(name, classifiers.weights_fingerprint(cfg, config), int(size), load, wanted(cfg, name))


def with_classes(data: ImageDataModule, count: int | None) -> ImageDataModule:
    """Images with as many classes as a classifier has logits: which they are does not matter to its layers."""
    if count is None or count <= len(data.classes):
        return data
    widened = copy.copy(data)
    widened.classes = [*data.classes, *(f"class {number}" for number in range(len(data.classes), count))]
    return widened


def autoencoder_network(cfg: DictConfig, name: str, data: ImageDataModule) -> FeatureNetwork:
    """A_S or the A_i of a classifier."""
    folder, swapped = study_folder(cfg), swaps(cfg)
    if name == PRETRAINED:
        path = require(folder.pretrained, cfg, "pretrain")
    else:
        path = next(iter(study_autoencoders(cfg, name).values()))

    def load() -> WithoutResizing:
        return WithoutResizing(make_autoencoder(cfg, path).eval(), swapped)

    size = cfg.layer_features.size or data.smallest_side
    layers = [str(layer) for layer in cfg.layer_features.autoencoder_layers]
    return FeatureNetwork("A_S" if name == PRETRAINED else f"A_{name}", sha256(path), int(size), load, layers)


def swaps(cfg: DictConfig) -> bool:
    """Whether networks get blue, green, red, as in the published code."""
    return PRESETS[cfg.layer_features.preset].swapped


def wanted(cfg: DictConfig, name: str) -> list[str] | None:
    """The layers that ``layer`` names: one, several, or some for each network; ``None``: choose."""
    chosen: Any = OmegaConf.to_container(cfg.layer, resolve=True) if OmegaConf.is_config(cfg.layer) else cfg.layer
    if isinstance(chosen, dict):
        chosen = chosen.get(name)
    if chosen is None or chosen == "list":
        return None
    return [str(chosen)] if isinstance(chosen, str | int) else [str(layer) for layer in chosen]
