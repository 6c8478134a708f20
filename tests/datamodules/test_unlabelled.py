"""Any tree of images, without labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from datamodules import UnlabelledImages
from tests.datamodules.trees import jpeg
from tests.images import unlabelled_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.jpg", "b/c.jpg", "b/d/e.jpg", "b/d/f.JPEG", "g/h.jpeg", "g/i.jpg")):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    return tmp_path / "tree"


def images(root: Path, **options: Any) -> UnlabelledImages:
    return unlabelled_images(root, **{"size": 32, "resize": 40, "held_out": 2} | options)


def test_every_image_is_in_one_part(root: Path) -> None:
    data = images(root)
    parts = {
        name: {data.split(name).path(place) for place in range(len(data.split(name)))} for name in ("train", "val")
    }
    assert parts["train"] | parts["val"] == {path.resolve() for path in root.rglob("*.jp*g")} | {
        path.resolve() for path in root.rglob("*.JPEG")
    }
    assert not parts["train"] & parts["val"]
    assert len(parts["val"]) == 2
    assert {data.split("val")[place][1] for place in range(2)} == {0}
    assert data.fingerprint() == images(root).fingerprint() != images(root, held_out=1).fingerprint()


def test_too_few_images_and_a_missing_folder_are_named(root: Path) -> None:
    with pytest.raises(ValueError, match=r"holds 6 images .*, too few to hold 6 out: add some, or lower data.held_out"):
        images(root, held_out=6)
    with pytest.raises(FileNotFoundError, match=r"data.root=.*nowhere is not a folder"):
        images(root / "nowhere")


def test_photographs_are_turned_as_their_exif_orientation_says(root: Path) -> None:
    for path in root.rglob("*.*"):
        with Image.open(path) as opened:
            exif = opened.getexif()
            exif[0x0112] = 6
            opened.save(path, quality=95, exif=exif)
    turned, plain = images(root, resize=None), images(root, resize=None, upright=False)
    for place in range(2):
        with Image.open(turned.split("val").path(place)) as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened))
            ignored = np.asarray(opened)
        assert np.array_equal(turned.split("val")[place][0].permute(1, 2, 0), expected[14:46, 9:41])
        assert np.array_equal(plain.split("val")[place][0].permute(1, 2, 0), ignored[9:41, 14:46])
    assert turned.fingerprint() != plain.fingerprint()
