"""What starting on a tree of ImageNet's size costs: the first time, the second time, and memory per loading process.

python benchmarks/image_index.py --images 1281167 --folder /tmp/image_index     (Linux; makes empty files there)
"""

import argparse
import multiprocessing
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datamodules.image_index import ImageIndex, image_index


def make_tree(root: Path, images: int, classes: int = 1000) -> None:
    """A tree of empty files named as ImageNet names them; folders a minute old."""
    for label in range(classes):
        folder = root / f"n{label:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(label, images, classes):
            (folder / f"n{label:08d}_{number}.JPEG").touch()
        os.utime(folder, (time.time() - 60, time.time() - 60))
    os.utime(root, (time.time() - 60, time.time() - 60))


def own_memory() -> int:
    """Bytes of memory that belong to this process; pages of mapped files belong to the system and are shared."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon"))


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
    options = parser.parse_args()
    make_tree(options.folder / "tree", options.images)
    for attempt in ("first", "second"):
        start = time.monotonic()
        index = image_index(options.folder / "tree", options.folder / "cache")
        sys.stdout.write(f"{attempt} start on {len(index):,} images: {time.monotonic() - start:.2f} s\n")
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
