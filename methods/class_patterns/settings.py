"""Settings of ``task=class_patterns``; conf/presets/class_patterns has the published procedure."""

from dataclasses import dataclass
from typing import Any

from study.settings.fields import Settings, setting


@dataclass
class Canvases(Settings):
    """Number of canvases of each kind for every class; a pattern is searched on each of them."""

    own: int = setting(1, "images of the class", low=0)
    other: int = setting(1, "images of other classes", low=0)
    noise: int = setting(1, "noise", low=0)
    learned: int = setting(1, "noise whose colours are optimised together with the mask: Neural Cleanse", low=0)


@dataclass
class ClassPatterns(Settings):
    """Few pixels of a canvas that make a classifier predict a class when they are pasted on other images."""

    optimizer: str = setting(
        "adam",
        "adam: on the logits of the mask; sign: steps against the sign of the gradient",
        choices=("adam", "sign"),
    )
    step: float = setting(0.3, "learning rate of Adam, or length of a sign step", above=0)
    batch_size: int = setting(8, "search images of a step; every device sees all of them", low=1)
    own_batches: bool = setting(False, "whether each class draws its own batches of images of other classes")
    averaged: float = setting(0.25, "share of the steps, at the end, over which the mask is averaged", low=0, high=1)
    alpha: float = setting(0.2, "weight of the cross-entropy; 1 - alpha is that of the mask's area", low=0, high=1)
    epochs: int = setting(2, "passes over the search images", low=1)
    split: str = setting("val", "split of search images and canvases; test is for evaluation", choices=("val", "train"))
    search_images: int | None = setting(160, "images of that split, stratified by class; null: all", low=1)
    seeds: list[int] = setting(
        [0, 1], "seeds of the order of search images and of the start of learned colours", low=0, least=1, unique=True
    )
    classes: Any = setting(None, "null: all; a number: so many, spread evenly; or names, as [cat,dog]")
    most_frequent: bool = setting(False, "whether a number of classes means those with most images, not evenly spread")
    canvases: Canvases = setting(Canvases(), "canvases of each class")
    budgets: list[float] = setting(
        [0.01, 0.02, 0.05, 0.1, 0.2], "sizes of patterns: shares of all pixels", above=0, high=1, least=1, unique=True
    )
    shown: float = setting(0.05, "budget of the pictures and of the transfer between classifiers", above=0, high=1)
    evaluation_images: int | None = setting(45, "test images, stratified by class; null: all", low=1)
    chunk: int | None = setting(
        None, "images of a forward pass: larger chunks use more memory; null: of 800,000 pixels, at most 256", low=1
    )

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Refuse a budget to show that is not evaluated, no canvases at all, and classes of no valid form."""
        if node.shown not in node.budgets:
            raise ValueError(f"{key}.shown={node.shown}: choose one of {key}.budgets={list(node.budgets)}")
        # learned colours are a baseline: without a canvas of another kind there is no pattern to compare with it
        if not any(node.canvases[kind] for kind in ("own", "other", "noise")):
            raise ValueError(f"{key}.canvases={dict(node.canvases)}: give one of own, other, noise at least")
        classes = node.classes
        names = not isinstance(classes, str | int | float | None) and len(classes) and len(set(classes)) == len(classes)
        number = isinstance(classes, int) and not isinstance(classes, bool) and classes >= 1
        if not (classes is None or number or names):
            raise ValueError(f"{key}.classes={classes}: give null, a number from 1 on, or names, each once")
