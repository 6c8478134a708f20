"""Any nested tree of images, without labels: for pre-training."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from datamodules.base import CLASS, Split
from datamodules.cropped import CroppedImages
from datamodules.folder_split import FolderSplit
from datamodules.image_files import EXTENSIONS
from datamodules.image_index import image_index


class UnlabelledImages(CroppedImages):
    """Every image below a folder; a few of them, the same for every seed, are held out for the loss checks.

    Every label is 0.

    Args:
        root: The folder.
        held_out: Number of images kept out of training.
        upright: Whether images are read as programs show them, turned as EXIF says (``read_image``).
        **options: See :class:`~datamodules.cropped.CroppedImages`.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If it holds too few images, or an option does not fit.
    """

    labelled = False

    def __init__(self, root: str, *, held_out: int, upright: bool, **options: Any) -> None:
        super().__init__(**options)
        self.upright = upright
        self.classes = [CLASS]
        if not Path(root).is_dir():
            raise FileNotFoundError(f"data.root={root} is not a folder; expected any tree of images")
        index = image_index(Path(root), self.cache)
        if len(index) <= held_out:
            raise ValueError(
                f"data.root={root} holds {len(index):,} images ({', '.join(sorted(EXTENSIONS))}), too few to hold "
                f"{held_out:,} out: add some, or lower data.held_out"
            )
        shuffled = np.random.default_rng(0).permutation(len(index))
        parts = {"train": np.sort(shuffled[held_out:]), "val": shuffled[:held_out]}
        self._described = repr((index.digest, self.size, self.resize, held_out, *(["upright"] if upright else [])))
        self._parts = {
            name: FolderSplit(index, positions, np.zeros(len(positions), dtype=np.int32), self)
            for name, positions in parts.items()
        }

    def split(self, name: Split) -> FolderSplit:
        """Random squares of the training images, or the central squares of those held out."""
        return self._parts["train" if name == "train" else "val"]

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first images held out."""
        split = self.split("val")
        return {split.path(index).stem: split[index][0].float() / 255 for index in range(min(count, len(split)))}

    def fingerprint(self) -> str:
        """A short hash of every path and file size."""
        return hashlib.sha256(self._described.encode()).hexdigest()[:16]

    def unreadable(self) -> list[Path]:
        """The images that this process met and could not read."""
        return sorted(path for split in self._parts.values() for path in split.unreadable())
