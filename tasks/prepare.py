"""``task=prepare``: evaluation images resized and cropped once, so that every evaluation reads instead of decodes."""

import sys
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig
from rich.progress import track

from datamodules import ImageFolder
from datamodules.base import Split
from datamodules.prepared import prepare, prepared_folder
from datamodules.views.poisoned import without_poison
from study.console import say, say_made, say_skipped_images
from study.data import make_data
from study.folder import study_folder


def run(cfg: DictConfig) -> float:
    """Write the data's evaluation splits to shards of uint8 pixels; returns how many images were written."""
    data = without_poison(make_data(cfg))  # evaluation images are clean
    if not isinstance(data, ImageFolder) or data.cache is None:
        raise ValueError("only images of a folder can be prepared: use data=imagenet or data=folder, with data.cache")
    splits: list[Split] = ["val", "test"]
    folders = {str(data.transform(name)): name for name in splits}  # test may be val itself
    written = 0
    for name in folders.values():
        split, transform = data.split(name), data.transform(name)
        split.prepared = None
        folder = prepared_folder(data.cache, transform)
        count = prepare(split, folder, data.split_fingerprint(name), transform, data.workers, show_progress)
        written += count
        if count < len(split):
            say(f"{len(split) - count:,} of {len(split):,} images were there already")
        say_made(folder, images=len(split))
    say_skipped_images(data.unreadable(), study_folder(cfg).job("prepare"))
    return float(written)


def show_progress(batches: Iterable[Any], total: int) -> Iterable[Any]:
    """A progress bar, in a terminal."""
    return track(batches, "preparing", total=total, disable=not sys.stderr.isatty())
