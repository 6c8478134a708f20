"""What starting on a tree of ImageNet's size costs: the first time, the second time, and memory per loading process.

python benchmarks/image_index.py --images 1281167 --folder /tmp/image_index     (Linux; makes empty files there)
python benchmarks/image_index.py --contents --folder /tmp/image_contents     (files that hold their names)
"""

import argparse
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datamodules import AnyImages
from datamodules.image_index import ImageIndex, image_index


def make_tree(root: Path, images: int, contents: bool, classes: int = 1000) -> None:
    """A tree of files named as ImageNet names them, empty or with their names as contents; folders a minute old."""
    for label in range(classes):
        folder = root / f"n{label:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(label, images, classes):
            name = f"n{label:08d}_{number}.JPEG"
            (folder / name).write_text(name if contents else "")
        os.utime(folder, (time.time() - 60, time.time() - 60))
    os.utime(root, (time.time() - 60, time.time() - 60))


def own_memory() -> int:
    """Bytes of memory that belong to this process; pages of mapped files belong to the system and are shared."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))


def peak_memory() -> float:
    """The most memory that this process has had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def any_images(root: Path, cache: Path) -> AnyImages:
    """The tree as ``data=images``."""
    return AnyImages(
        str(root), size=224, held_out=0.2, crops_per_epoch=256, test_crops=None, on_error="skip", cache=str(cache),
        batch_size=32, seed=0, workers=0, augmentation="crop_flip",
    )  # fmt: skip


def touch_all(index: ImageIndex, results: "multiprocessing.Queue[int]") -> None:
    """Look up every path, as a loading process does over an epoch, and report the own memory gained."""
    start = own_memory()
    for position in range(len(index)):
        index.path(position)
    results.put(own_memory() - start)


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--contents", action="store_true", help="files with contents, and what data=images adds")
    options = parser.parse_args()
    make_tree(options.folder / "tree", options.images, options.contents)
    for attempt in ("first", "second"):
        start, before = time.monotonic(), peak_memory()
        index = image_index(options.folder / "tree", options.folder / "cache")
        line = f"{attempt} start on {len(index):,} images: {time.monotonic() - start:.2f} s"
        sys.stdout.write(f"{line}, peak memory + {peak_memory() - before:.1f} MiB\n")
    for attempt in ("first", "second") if options.contents else ():
        start, before = time.monotonic(), peak_memory()
        data = any_images(options.folder / "tree", options.folder / "cache")
        files = sum(len(data.split(name).positions) for name in ("train", "val", "test"))
        line = f"{attempt} start of data=images, {files:,} different files: {time.monotonic() - start:.2f} s"
        sys.stdout.write(f"{line}, peak memory + {peak_memory() - before:.1f} MiB\n")
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        results = context.Queue()
        process = context.Process(target=touch_all, args=(index, results))  # type: ignore[attr-defined]
        process.start()
        gained = results.get() / 2**20
        process.join()
        sys.stdout.write(f"own memory gained by a process ({method}) that looks up every path: {gained:.1f} MiB\n")


if __name__ == "__main__":
    main()
