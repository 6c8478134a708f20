"""Settings of ``task=concepts``; conf/presets/concepts has the published procedure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig

from study.settings.fields import Settings, setting


@dataclass
class PenaltySettings(Settings):
    """Weights of the penalties on the image factor H (METHODS: l1, l2, lo, lg)."""

    l1: float = setting(0.0, "weight of the sum of H", low=0)
    l2: float = setting(0.0, "weight of half the sum of squares of H", low=0)
    orthogonality: float = setting(0.0, "weight of the inner products of the columns of H", low=0)
    group: float = setting(0.0, "weight of the norms of the columns of H within each class", low=0)


@dataclass
class Concepts(Settings):
    """Images, neurons and pixels in one latent space: groups of images and of neurons that go together."""

    k: int = setting(15, "number of concepts", low=1)
    solver: str = setting(
        "hals", "hals, or published: multiplicative updates (arXiv 2012.12516)", choices=("hals", "published")
    )
    start: str = setting("nndsvda", "initial factors", choices=("nndsvda", "random"))
    weights: Any = setting(
        "balanced", "of the blocks in the error: balanced (1 / squares), equal (1), or {block: factor} of balanced"
    )
    penalties: PenaltySettings = setting(PenaltySettings(), "on the image factor")
    passes: int = setting(1000, "most passes over the images", low=1)
    tolerance: float = setting(
        1e-6, "stops after three passes whose decrease is smaller, as a share of the first objective", low=0
    )
    layers: Any = setting(
        None, "names, as [layer3,layer4]; list: print the layers; null: non-negative ones, spread evenly"
    )
    layer_count: int = setting(4, "number of layers, where layers is null", low=1)
    pixels: bool = setting(True, "whether the pixels are a block, too")
    pool: str = setting(
        "avg", "of each channel the mean over positions, the maximum, or none: all positions",
        choices=("avg", "max", "none"),
    )  # fmt: skip
    negative: str = setting(
        "refuse", "activations below 0 (GELU): refuse, or split into two channels", choices=("refuse", "split")
    )
    split: str = setting("val", "images that are factorised; images of the other are held out", choices=("val", "test"))
    images: int | None = setting(None, "images of that split, stratified by class; null: all", low=1)
    heldout_images: int | None = setting(None, "images that are held out; null: all", low=1)
    seeds: list[int] = setting([0, 1, 2], "random starts with which the concepts are compared", low=0, unique=True)
    ranks: list[int] = setting([], "further k, as [4,8,16,32]: error, held-out error, stability", low=1, unique=True)
    controls: bool = setting(True, "untrained network, single blocks, k-means, PCA, published solver: rows of a table")
    permutations: int = setting(1000, "permutations of the labels", low=1)
    top_images: int = setting(8, "pictures of each concept", low=1)
    importance_images: int = setting(20, "images from which each concept is removed; 0: none", low=0)
    superclasses: str | None = setting(None, "CSV class,superclass; null: super-classes of the data, if any")
    storage: str = setting("float32", "numbers in the files of activations", choices=("float32", "float16"))
    chunk: int = setting(
        1024,
        "images at once: larger chunks use more memory; of a forward pass, at most those of 2,400,000 pixels",
        low=1,
    )
    memory: float | None = setting(None, "GiB that may be used; null: the memory of this machine", above=0)

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the weights of the blocks and the names of the layers."""
        weights, layers = node.weights, node.layers
        if not isinstance(weights, Mapping | DictConfig) and weights not in ("balanced", "equal"):
            raise ValueError(f"{key}.weights={weights}: use balanced, equal, or factors by name as {{pixels: 0.5}}")
        if layers not in (None, "list") and not isinstance(layers, list | ListConfig):
            raise ValueError(f"{key}.layers={layers}: give names in brackets, as [{layers}], or list")
