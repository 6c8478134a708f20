"""Sets of images from any folder, whatever is in it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from methods.layer_features.image_set import central_square, folder_images, split_images
from tests.datamodules.trees import jpeg
from tests.images import fake_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files without class folders, some deeper, one grey, one with transparency, one that is no image, one cut off."""
    (tmp_path / "some" / "where").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "some/b.jpg", "some/where/c.jpg")):
        (tmp_path / name).write_bytes(jpeg(number))
    Image.fromarray(np.full((40, 30), 77, dtype=np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((9, 20, 4), 128, dtype=np.uint8)).save(tmp_path / "small.png")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_every_image_of_a_folder_is_taken_wherever_it_is(folder: Path) -> None:
    images = folder_images(folder, None, 32, "raise", None)
    assert sorted(images.names) == ["a.jpg", "grey.png", "small.png", "some/b.jpg", "some/where/c.jpg"]
    assert (images.pixels.shape, images.pixels.dtype) == ((5, 3, 32, 32), torch.uint8)
    assert (images.pixels[images.names.index("grey.png")] == 77).all()
    again = folder_images(folder, None, 32, "raise", folder / "cache")
    assert again.fingerprint() == images.fingerprint() != folder_images(folder, None, 31, "raise", None).fingerprint()
    some = folder_images(folder, 2, 32, "raise", None)
    assert len(some.names) == 2
    assert set(some.names) < set(images.names)
    assert len(folder_images(folder, 99, 32, "raise", None).names) == 5


def test_files_that_cannot_be_read_are_left_out_and_named(folder: Path) -> None:
    (folder / "cut.jpg").write_bytes(jpeg(3)[:200])
    (folder / "text.png").write_text("no image")
    images = folder_images(folder, None, 32, "skip", None)
    assert len(images.names) == 5
    assert sorted(path.name for path in images.skipped) == ["cut.jpg", "text.png"]
    with pytest.raises(ValueError, match=r"cut.jpg cannot be read.*layer_features.on_error=skip"):
        folder_images(folder, None, 32, "raise", None)


def test_a_folder_without_images_is_said_to_have_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no image \(.*\.jpg"):
        folder_images(tmp_path, 5, 32, "skip", None)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"none of 1 can be read, such as .*text.png"):
        folder_images(tmp_path, 5, 32, "skip", None)
    with pytest.raises(FileNotFoundError, match=r"images=.*missing is not a folder"):
        folder_images(tmp_path / "missing", 5, 32, "skip", None)


def test_images_of_a_split_are_spread_over_its_classes() -> None:
    split = fake_images(class_count=4, size=16, images=20, batch_size=2).split("test")
    images = split_images(split, 8, 16)
    labels = [split.label(int(name)) for name in images.names]
    assert sorted(labels) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(torch.equal(images.pixels[position], split[int(name)][0]) for position, name in enumerate(images.names))
    assert split_images(split, None, 8).pixels.shape == (20, 3, 8, 8)


def test_squares_are_cut_from_the_middle() -> None:
    image = torch.arange(3 * 4 * 7, dtype=torch.uint8).reshape(3, 4, 7)
    assert torch.equal(central_square(image, 4), image[:, :, 2:6]) or torch.equal(
        central_square(image, 4), image[:, :, 1:5]
    )


def test_photographs_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    upright = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    upright.save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "b.png", exif=exif)
    pixels = folder_images(tmp_path, None, 16, "raise", None).pixels
    assert torch.equal(pixels[0], pixels[1])
