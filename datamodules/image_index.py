"""An index of the images in a tree of folders: made once, stored in a file, read back as memory maps."""

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamodules.arrays import read_array
from datamodules.digests import read_checked, with_digest
from datamodules.image_files import EXTENSIONS

ARRAYS = {"names": np.uint8, "ends": np.int64, "folder_of": np.int32, "sizes": np.int64}
THUMBNAILS = frozenset({"@eaDir", "__MACOSX"})  # folders in which storage boxes and archives keep copies of images
SCANNING_THREADS = 16  # for folders on a network; a local disk needs none
UNCERTAIN = 2_000_000_000  # ns: a folder that changed so shortly before it was read may change again unnoticed


@dataclass(eq=False)
class ImageIndex:
    """Every image file below a folder, in the order of their paths.

    Held in flat arrays, memory-mapped when they come from a file: the processes that load images share them, and they
    cost a process nothing to get.

    Attributes:
        root: The folder.
        folders: Every folder below it, relative, sorted; the root itself is ``.``.
        changed: When each folder last changed, ns.
        digest: Hash of all paths and sizes.
        names: The names of the files, one after another, uint8.
        ends: Where each name ends.
        folder_of: The position of each file's folder.
        sizes: Bytes of each file.
        others: How many further files there are of each suffix that is not read; "" stands for none.
        store: The folder that holds the arrays, if one does.
    """

    root: Path
    folders: list[str]
    changed: list[int]
    digest: str
    names: np.ndarray
    ends: np.ndarray
    folder_of: np.ndarray
    sizes: np.ndarray
    others: dict[str, int]
    store: Path | None = None

    def __len__(self) -> int:
        return len(self.ends)

    def __reduce__(self) -> Any:
        if self.store is not None:  # a process that is started gets the path, not the arrays
            return load_index, (self.store,)
        return super().__reduce__()

    def path(self, position: int) -> Path:
        """The path of an image."""
        start = int(self.ends[position - 1]) if position else 0
        name = os.fsdecode(self.names[start : int(self.ends[position])].tobytes())
        return self.root / self.folders[int(self.folder_of[position])] / name

    def top_folders(self) -> list[str]:
        """The sorted names of the folders directly below the root, without hidden ones."""
        return sorted({folder.split("/", 1)[0] for folder in self.folders if folder != "."})

    def top_folder_of(self, names: list[str]) -> np.ndarray:
        """For each image, the position in ``names`` of the folder directly below the root that holds it, else -1."""
        position_of = {name: position for position, name in enumerate(names)}
        of_folder = np.array([position_of.get(folder.split("/", 1)[0], -1) for folder in self.folders], dtype=np.int32)
        return of_folder[self.folder_of]

    def is_current(self) -> bool:
        """Whether no folder has gained, lost or renamed an entry since the tree was read."""
        try:
            return all(
                os.stat(self.root / folder).st_mtime_ns == changed  # noqa: PTH116 - thousands of them
                for folder, changed in zip(self.folders, self.changed, strict=True)
            )
        except OSError:
            return False

    def save(self, store: Path) -> "ImageIndex":
        """Write the index to a folder, whole or not at all, and return it as read back from there."""
        temporary = store.with_name(f".{store.name}.{os.getpid()}.partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name in ARRAYS:
            np.save(temporary / f"{name}.npy", getattr(self, name))
        described: dict[str, Any] = {"root": str(self.root), "folders": self.folders, "changed": self.changed}
        described |= {"digest": self.digest, "others": self.others}
        (temporary / "index.json").write_text(json.dumps(with_digest(described)), encoding="utf-8")
        shutil.rmtree(store, ignore_errors=True)
        try:
            temporary.rename(store)
        except OSError:  # another rank was faster
            shutil.rmtree(temporary)
        return load_index(store)


def image_index(root: Path, cache: Path | None) -> ImageIndex:
    """The images below a folder: from the cache if the tree has not changed since, else by reading the tree.

    Overwriting a file in place does not change its folder's time, so it goes unnoticed: remove the cache then.

    Args:
        root: The folder.
        cache: The folder of indexes; ``None`` keeps none.
    """
    root = root.resolve()
    if cache is None:
        return scan(root)
    store = cache / "indexes" / hashlib.sha256(str(root).encode()).hexdigest()[:16]
    try:
        index = load_index(store)
        if index.root == root and index.is_current():
            return index
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none, it is damaged or of an earlier version: the tree is read again
    started = time.time_ns()
    index = scan(root)
    if max(index.changed, default=0) > started - UNCERTAIN:
        return index
    try:
        return index.save(store)
    except OSError:  # the cache cannot be written
        return index


def load_index(store: Path) -> ImageIndex:
    """Read an index back, its arrays as memory maps."""
    described = read_checked(store / "index.json")
    arrays: dict[str, Any] = {
        name: read_array(store / f"{name}.npy", dtype, 1, mapped=True) for name, dtype in ARRAYS.items()
    }
    if content_digest(described["folders"], arrays) != described["digest"]:
        raise ValueError(f"{store} is damaged")
    return ImageIndex(**described | {"root": Path(described["root"])}, **arrays, store=store)


def scan(root: Path) -> ImageIndex:
    """Read a tree: every folder that is not hidden, every file with an image's suffix."""
    contents: dict[str, FolderContent] = {}
    with ThreadPoolExecutor(SCANNING_THREADS) as pool:
        level = [""]
        while level:
            contents |= zip(level, pool.map(lambda folder: read_folder(root / folder), level), strict=True)
            level = [f"{folder}/{name}" if folder else name for folder in level for name in contents[folder].subfolders]
    order = sorted(contents, key=lambda folder: folder.split("/"))
    read = [contents.pop(folder) for folder in order]
    lengths, others = np.concatenate([one.lengths for one in read]), sum((one.others for one in read), Counter[str]())
    arrays: dict[str, Any] = {
        "names": np.frombuffer(b"".join(one.names for one in read), dtype=np.uint8),
        "ends": np.cumsum(lengths, dtype=np.int64),
        "folder_of": np.repeat(np.arange(len(order), dtype=np.int32), [len(one.lengths) for one in read]),
        "sizes": np.concatenate([one.sizes for one in read]),
    }
    folders = [folder or "." for folder in order]
    changed = [one.changed for one in read]
    return ImageIndex(root, folders, changed, content_digest(folders, arrays), **arrays, others=dict(others))


def content_digest(folders: list[str], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """The digest of the names and sizes of all images.

    Args:
        folders: Names of the folders.
        arrays: The arrays of ``ARRAYS``.
    """
    digest = hashlib.sha256("\0".join(folders).encode("utf-8", "surrogateescape"))
    for name in ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class FolderContent:
    """What a folder holds, but for hidden entries; flat, because as Python objects 12 million names fill 4 GB.

    Attributes:
        changed: When it last changed, ns.
        subfolders: Their names, sorted.
        names: The sorted names of its images, one after another.
        lengths: Bytes of each name.
        sizes: Bytes of each image.
        others: How many further files there are of each suffix.
    """

    changed: int
    subfolders: list[str]
    names: bytes
    lengths: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    others: Counter[str]


def read_folder(folder: Path) -> FolderContent:
    """Read one folder."""
    changed = folder.stat().st_mtime_ns
    subfolders, files, others = [], [], Counter[str]()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in THUMBNAILS:
                continue
            if entry.is_dir():
                subfolders.append(entry.name)
                continue
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - a million of them
            if suffix in EXTENSIONS:
                files.append((entry.name, entry.stat().st_size))
            else:
                others[suffix] += 1
    files.sort()
    names = [os.fsencode(name) for name, _ in files]
    lengths = np.array([len(name) for name in names], dtype=np.int64)
    sizes = np.array([size for _, size in files], dtype=np.int64)
    return FolderContent(changed, sorted(subfolders), b"".join(names), lengths, sizes, others)
