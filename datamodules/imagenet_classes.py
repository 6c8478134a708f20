"""The classes of ImageNet-1k: folder names (WordNet ids) in the order of every published network's logits."""

import csv
from functools import cache
from pathlib import Path


@cache
def imagenet_classes() -> dict[str, str]:
    """What people call each of the 1,000 classes, by folder name, in the order of the labels."""
    with Path(__file__).with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        return {row["wnid"]: row["name"] for row in csv.DictReader(file)}
