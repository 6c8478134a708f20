"""Generated JPEGs in folders of classes, as ImageNet has them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

DIFFERENT = 16  # pictures of each class; further files are copies
TEN = (
    "n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042", "n03425413", "n03445777",
    "n03888257",
)  # the ten classes of experiment=paper_small  # fmt: skip


def jpeg(generator: np.random.Generator, colour: np.ndarray, width: int, height: int) -> bytes:
    """A picture around a colour, with coarse shapes and fine noise."""
    from PIL import Image

    coarse = generator.integers(0, 128, (8, 8, 3)) + colour
    shapes = Image.fromarray(coarse.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(shapes) + generator.normal(0, 6, (height, width, 1))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def make_tree(root: Path, classes: Sequence[str], counts: dict[str, int], width: int, height: int, seed: int) -> Path:
    """Write ``root/<split>/<class>/<number>.JPEG``.

    Args:
        root: The folder.
        classes: Names of the folders of classes.
        counts: Files of each class in each split.
        width: Of the pictures, in pixels.
        height: Of the pictures, in pixels.
        seed: Decides the pictures.
    """
    generator = np.random.default_rng(seed)
    for name in classes:
        colour = generator.integers(0, 128, 3)
        for split, count in counts.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            contents = [jpeg(generator, colour, width, height) for _ in range(min(count, DIFFERENT))]
            for number in range(count):
                (folder / f"{name}_{number}.JPEG").write_bytes(contents[number % len(contents)])
    return root
