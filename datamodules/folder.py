"""Any tree of images with one folder per class; ImageNet is one of them."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from torch import Tensor

from datamodules.base import Split
from datamodules.cropped import CroppedImages, for_showcase
from datamodules.folder_split import FolderSplit
from datamodules.image_files import EXTENSIONS
from datamodules.image_index import ImageIndex, image_index
from datamodules.imagenet_classes import imagenet_classes
from datamodules.prepared import PreparedImages, prepared_folder

LAYOUT = "expected train/<class>/* and val/<class>/* (test/<class>/* is optional)"
SORT = ". Sort the images into a folder per class: docs/imagenet.md has the commands for those of ImageNet"
ClassList = Literal["folders", "imagenet1k"]


class ImageFolder(CroppedImages):
    """Images of ``root/train/<class>/*`` and ``root/val/<class>/*``; ``root/test`` too where it exists, else ``val``.

    The order of an evaluation split is a fixed shuffle of its sorted paths, so that neighbours (from which the nMI
    floor is taken) are unrelated.

    Args:
        root: The folder.
        class_list: What a label means: ``folders``, the position of the image's folder among those used; or
            ``imagenet1k``, the position of the folder's WordNet id among ImageNet's 1,000, whichever of them are used.
        classes: Class folders to use; ``None`` uses all.
        per_class: Images of each class to use in each split, at most; which ones does not depend on the seed.
            ``None`` uses all.
        expect: Number of images that ``val/`` must hold; ``None`` takes any.
        upright: Whether images are read as programs show them, turned as EXIF says (``read_image``); the published
            numbers on ImageNet ignore it.
        **options: See :class:`~datamodules.cropped.CroppedImages`; in training, the next image replaces a skipped one.

    Raises:
        FileNotFoundError: If the tree or a split is missing.
        ValueError: If a split or a class has no image, the splits' classes differ, or an option does not fit.
    """

    def __init__(
        self,
        root: str,
        *,
        class_list: ClassList,
        classes: Sequence[str] | None,
        per_class: int | None,
        expect: int | None,
        upright: bool,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.upright = upright
        if per_class is not None and per_class < 1:
            raise ValueError(f"data.per_class={per_class} must be at least 1, or null for all")
        if class_list not in get_args(ClassList):
            raise ValueError(f"data.class_list={class_list!r} is unknown; choose from {', '.join(get_args(ClassList))}")
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"data.root={root} is not a folder; {LAYOUT}")
        self._folders: dict[Split, str] = {
            "train": "train",
            "val": "val",
            "test": "test" if (self.root / "test").is_dir() else "val",
        }
        self._indexes = {folder: self._index(folder) for folder in dict.fromkeys(self._folders.values())}
        if expect is not None and len(self._indexes["val"]) != expect:
            raise ValueError(
                f"{self.root / 'val'} holds {len(self._indexes['val']):,} images, not the {expect:,} expected: "
                "complete it, or set data.expect=null"
            )
        used = self._class_folders(classes)
        self._subset = {"classes": None if classes is None else used, "per_class": per_class}
        self.classes = used if class_list == "folders" else list(imagenet_classes().values())
        self._selected = {
            folder: select(index, used, label_numbers(used, class_list), per_class, self.root / folder)
            for folder, index in self._indexes.items()
        }
        self._splits: dict[Split, FolderSplit] = {}

    def split(self, name: Split) -> "FolderSplit":
        """Random squares of the training images, or the central squares of the others."""
        if name not in self._splits:
            folder = self._folders[name]
            positions, labels = self._selected[folder]
            if name != "train":
                # Shuffled alike for every seed: neighbours, which the nMI floor compares, are then unrelated
                order = list(range(len(positions)))
                random.Random(0).shuffle(order)  # noqa: S311 - an order, not a secret
                positions, labels = positions[order], labels[order]
            self._splits[name] = FolderSplit(self._indexes[folder], positions, labels, self)
        return self._splits[name]

    def use_prepared(self) -> list[Path]:
        """Read evaluation images from the files of ``task=prepare`` if there are any; returns the folders used.

        Raises:
            ValueError: If they were prepared from other images than there are now.
        """
        folders = []
        names: tuple[Split, ...] = ("val", "test")
        for name in names:
            folder = prepared_folder(self.cache, self.transform(name)) if self.cache else None
            if folder is not None and (folder / "prepared.json").exists():
                self.split(name).prepared = PreparedImages(folder, self.split_fingerprint(name))
                folders.append(folder)
        return folders

    def same_images(self, one: Split, other: Split) -> bool:
        """Whether two splits read the same folder, as val and test do where there is no test/."""
        return self._folders[one] == self._folders[other]

    def transform(self, name: Split) -> dict[str, Any]:
        """Everything that decides how the files of an evaluation split become images."""
        root = self._indexes[self._folders[name]].root
        # not where images are used as they are: files prepared before there was the option remain valid
        turned = {"upright": True} if self.upright else {}
        return {"folder": str(root), "resize": self.resize, "size": self.size} | self._subset | turned

    def split_fingerprint(self, name: Split) -> str:
        """A hash of a split's paths, sizes, labels and order."""
        split = self.split(name)
        digest = hashlib.sha256(split.index.digest.encode())
        digest.update(split.positions.tobytes() + split.labels.tobytes())
        return digest.hexdigest()[:16]

    def showcase(self, count: int) -> dict[str, Tensor]:
        """The first evaluation images, whole, at their own size (at most 512 pixels)."""
        images: dict[str, Tensor] = {}
        split = self.split("test")
        for position in range(len(split)):
            image = split.read(position) if len(images) < count else None
            if image is not None and (shown := for_showcase(image)) is not None:
                images[split.path(position).stem] = shown
        return images

    def fingerprint(self) -> str:
        """A short hash of every path, file size and label."""
        described = (self.classes, self.size, self.resize, *(["upright"] if self.upright else []))
        digest = hashlib.sha256(repr(described).encode())
        for name in self._folders:
            digest.update(self.split_fingerprint(name).encode())
        return digest.hexdigest()[:16]

    def unreadable(self) -> list[Path]:
        """The images that this process met and could not read."""
        return sorted({path for split in self._splits.values() for path in split.unreadable()})

    def _index(self, folder: str) -> ImageIndex:
        path = self.root / folder
        if not path.is_dir():
            raise FileNotFoundError(f"data.root={self.root} has no {folder}/ folder; {LAYOUT}")
        index = image_index(path, self.cache)
        if not index.top_folders():
            images, cure = (f"{len(index):,} images and ", SORT) if len(index) else ("", "")
            raise ValueError(f"{path} holds {images}no class folders; {LAYOUT}{cure}")
        return index

    def _class_folders(self, classes: Sequence[str] | None) -> list[str]:
        """The class folders used, sorted; every split must have them."""
        training = self._indexes["train"].top_folders()
        wanted = set(training if classes is None else classes)
        for folder, index in self._indexes.items():
            present = set(index.top_folders())
            differing = sorted(present ^ set(training) if classes is None else (wanted & set(training)) - present)
            if differing:
                raise ValueError(
                    f"data.root={self.root}: train/ and {folder}/ hold different classes: {shortened(differing)} "
                    "in one of them only; give both the same folders"
                )
        unknown = sorted(wanted - set(training))
        if unknown:
            raise ValueError(f"data.classes: {self.root / 'train'} has no folder {', '.join(unknown[:3])}")
        return training if classes is None else sorted(classes)


def label_numbers(folders: Sequence[str], class_list: ClassList) -> np.ndarray:
    """The label of each class folder."""
    if class_list == "folders":
        return np.arange(len(folders), dtype=np.int32)
    number = {wnid: label for label, wnid in enumerate(imagenet_classes())}
    unknown = [folder for folder in folders if folder not in number]
    if unknown:
        raise ValueError(
            f"class folder {shortened(unknown)} not one of ImageNet's 1,000 WordNet ids: "
            "rename the folders, or use data=folder"
        )
    return np.array([number[folder] for folder in folders], dtype=np.int32)


def select(
    index: ImageIndex, folders: list[str], numbers: np.ndarray, per_class: int | None, root: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and labels of the images of some class folders, at most ``per_class`` of each."""
    of_class = index.top_folder_of(folders)
    counts = np.bincount(of_class[of_class >= 0], minlength=len(folders))
    if not counts.all():
        empty = root / folders[int(counts.argmin())]
        raise ValueError(f"{empty} holds no images ({', '.join(sorted(EXTENSIONS))}): add some, or remove the folder")
    positions = np.flatnonzero(of_class >= 0)
    if per_class is not None:
        by_class = np.split(positions[np.argsort(of_class[positions], kind="stable")], np.cumsum(counts)[:-1])
        generator = np.random.default_rng(0)
        chosen = [generator.permutation(members)[:per_class] for members in by_class]
        positions = np.sort(np.concatenate(chosen))
    return positions, numbers[of_class[positions]]


def shortened(names: Sequence[str]) -> str:
    """The first three names, and how many more there are, with the verb that follows."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"
