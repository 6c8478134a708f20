"""Settings of ``task=layer_features``; conf/presets/layer_features has the published procedure."""

from dataclasses import dataclass
from typing import Any

from study.settings.fields import Settings, setting

PAIR = "first and last iteration, linear between"


@dataclass
class LayerFeatures(Settings):
    """Images that show what a layer finds most informative in a set of images."""

    iterations: int = setting(200, "optimiser steps", low=1)
    optimizer: str = setting(
        "adam", "adam: on pixels in [0, 1]; sgd: Nesterov 0.9 on normalised pixels", choices=("adam", "sgd")
    )
    lr: list[float] = setting([0.02, 0.004], f"learning rate: {PAIR}", above=0)
    comparable: bool = setting(True, "whether the terms have no unit, so that the same weights fit every layer")
    activation: float = setting(0.05, "weight of the pull on the largest channels", low=0)
    distance: float = setting(1.0, "weight of the distance to the target", low=0)
    sparsity: list[float] = setting([0.2, 0.2], f"weight of the input of the last convolution: {PAIR}", low=0)
    start: str = setting(
        "blend",
        "start images: blend of the target's images, grey, noise, or fourier (noise with the spectrum of photographs)",
        choices=("blend", "grey", "noise", "fourier"),
    )
    blur: list[float] = setting([0.5, 0.2], f"σ of a Gaussian, in pixels: {PAIR}", low=0)
    denoise: list[float] | None = setting(
        [20.0, 60.0], f"weight of total-variation denoising, large is weak: {PAIR}", above=0
    )
    every: int = setting(10, "iterations from one blur and denoising to the next; 0: neither", low=0)
    until: float = setting(0.9, "share of the iterations that blur and denoise", low=0, high=1)
    mask: list[float] | None = setting(None, f"σ of the radial mask of the gradient, in image sides: {PAIR}", above=0)
    brightness: float = setting(0.0, "constant added to every pixel in [0, 1]", low=-1, high=1)
    brighten_every: int = setting(0, "iterations from one addition of brightness to the next; 0: none", low=0)
    shift: int = setting(1, "largest shift of the network's images, in pixels, drawn in every iteration", low=0)
    zoom: float = setting(1.0, "enlargement of which the network gets a crop", low=1)
    zoom_every: int = setting(0, "iterations until another crop is drawn; 0: never", low=0)
    nearest: bool = setting(True, "targets of the images nearest to the centre of a group; false: of the farthest")
    renewed: bool = setting(False, "whether the optimiser is created anew in every step, so that it has no momentum")
    rounded: bool = setting(False, "whether images are rounded to 256 values after every step")
    swapped: bool = setting(False, "whether networks get the channels as blue, green, red")
    image_count: int | None = setting(256, "largest number of images, spread evenly over the set; null: all", low=1)
    size: int | None = setting(None, "side of the images in pixels; null: the input size of the network", low=1)
    on_error: str = setting("skip", "unreadable files: skip and list them, or raise", choices=("skip", "raise"))
    clusters: int = setting(4, "groups of images for each layer; fewer if there are fewer different images", low=1)
    components: int = setting(50, "principal components that k-means groups (arXiv 2101.12447)", low=1)
    members: int = setting(10, "images of which a target is made (arXiv 2101.12447)", low=1)
    channels: int = setting(
        50, "top channels of a target (arXiv 2101.12447); comparable: at most a quarter of the layer's", low=1
    )
    seeds: list[int] = setting(
        [0, 1, 2], "of k-means, of start images and of random draws", low=0, least=1, unique=True
    )
    autoencoders: list[str] = setting(
        [], "autoencoders to examine as well: pretrained (A_S), or names of classifiers (A_i)", unique=True
    )
    autoencoder_layers: list[str] = setting(["encoder"], "layers of the autoencoders", least=1, unique=True)
    chunk: int = setting(32, "images of a forward pass over the set; larger chunks use more memory", low=1)

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check that every pair has two numbers."""
        for name in ("lr", "sparsity", "blur", "denoise", "mask"):
            if node[name] is not None and len(node[name]) != 2:
                raise ValueError(f"{key}.{name}={list(node[name])}: give two numbers, {PAIR}")
