"""Any tree of images: what PIL reads, in order, and every way a tree can be wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as transforms

from datamodules import ImageFolder
from datamodules.folder_split import FolderSplit
from datamodules.sampling import Draw
from tests.images import image_folder


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30), seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, three training and two validation images each, of many kinds."""
    kinds = [("RGB", "a.png"), ("L", "b.PNG"), ("CMYK", "c.jpg"), ("RGBA", "d.png"), ("P", "e.gif")]
    for label in ("cat", "dog"):
        for number, (mode, name) in enumerate(kinds):
            folder = tmp_path / ("train" if number < 3 else "val") / label
            folder.mkdir(parents=True, exist_ok=True)
            picture(mode, seed=number).save(folder / name)
    picture().save(tmp_path / "val" / "dog" / "really_a_png.jpg", format="PNG")
    (tmp_path / "val" / "dog" / "notes.txt").write_text("not an image")
    return tmp_path


def names(split: FolderSplit) -> list[str]:
    return [split.path(position).name for position in range(len(split))]


def folder(root: Path, size: int = 24, resize: int | None = 26) -> ImageFolder:
    return image_folder(root, size=size, resize=resize)


def test_images_and_labels_are_those_of_the_tree(root: Path) -> None:
    data = folder(root)
    assert data.classes == ["cat", "dog"]
    assert [len(data.split(name)) for name in ("train", "val", "test")] == [6, 5, 5]
    split = data.split("val")
    for position in range(len(split)):
        image, label, index = split[position]
        path = split.path(position)
        assert index == position
        assert data.classes[label] == path.parent.name
        with Image.open(path) as file:
            pixels = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
        expected = transforms.center_crop(transforms.resize(pixels, [26], antialias=True), [24, 24])
        assert torch.equal(image, expected)


def test_training_crops_are_parts_of_the_resized_image(root: Path) -> None:
    split = folder(root, resize=None).split("train")
    path = split.path(0)
    whole = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
    windows = {
        transforms.crop(view, top, left, 24, 24).numpy().tobytes()
        for view in (whole, whole.flip(-1))
        for top in range(7)
        for left in range(17)
    }
    crops = {split[Draw(0, seed)][0].numpy().tobytes() for seed in range(50)}
    assert crops <= windows
    assert len(crops) > 25


def test_images_are_turned_as_their_exif_orientation_says_only_if_that_is_wanted(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    for path in root.rglob("*.png"):
        picture(seed=1).save(path, exif=exif)
    turned, plain = (image_folder(root, size=24, resize=None, upright=upright) for upright in (True, False))
    place = next(n for n in range(5) if turned.split("val").path(n).suffix == ".png")
    pixels = np.array(picture(seed=1))
    expected = np.array(ImageOps.exif_transpose(Image.open(turned.split("val").path(place))))
    assert np.array_equal(expected, np.rot90(pixels))
    assert np.array_equal(turned.split("val")[place][0].permute(1, 2, 0), expected[8:32, 3:27])
    assert np.array_equal(plain.split("val")[place][0].permute(1, 2, 0), pixels[3:27, 8:32])
    assert turned.fingerprint() != plain.fingerprint()
    assert turned.transform("val") == plain.transform("val") | {"upright": True}


def test_a_test_folder_is_used_where_there_is_one(root: Path) -> None:
    for label in ("cat", "dog"):
        (root / "test" / label).mkdir(parents=True)
        picture(seed=9).save(root / "test" / label / "only.png")
    assert names(folder(root).split("test")) == ["only.png", "only.png"]


def test_whole_images_are_shown_at_most_512_pixels(root: Path) -> None:
    picture(size=(900, 300)).save(root / "val" / "cat" / "wide.png")
    shown = folder(root).showcase(10)
    assert shown["wide"].shape == (3, 170, 512)
    assert shown["d"].shape == (3, 30, 40)


def test_a_new_image_changes_the_fingerprint(root: Path) -> None:
    before = folder(root).fingerprint()
    assert folder(root).fingerprint() == before
    picture(seed=5).save(root / "train" / "cat" / "new.png")
    assert folder(root).fingerprint() != before


def test_missing_folders_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data.root=.*nowhere is not a folder; expected train/<class>/\*"):
        folder(root / "nowhere")
    (root / "val").rename(root / "validation")
    with pytest.raises(FileNotFoundError, match=r"data.root=.* has no val/ folder; expected train/<class>"):
        folder(root)
    (root / "train").rename(root / "training")
    with pytest.raises(FileNotFoundError, match=r"has no train/ folder"):
        folder(root)


def test_empty_folders_are_named(root: Path) -> None:
    (root / "train" / "owl").mkdir()
    with pytest.raises(ValueError, match=r"different classes: owl is in one of them only"):
        folder(root)
    (root / "val" / "owl").mkdir()
    with pytest.raises(ValueError, match=r"train/owl holds no images .*: add some, or remove the folder"):
        folder(root)
    (root / "empty" / "train").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"empty/train holds no class folders"):
        folder(root / "empty")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken", b"plain text"])
def test_an_unreadable_image_is_named(root: Path, content: bytes) -> None:
    (root / "val" / "cat" / "broken.png").write_bytes(content)
    split = folder(root).split("val")
    position = names(split).index("broken.png")
    with pytest.raises(ValueError, match=r"val/cat/broken.png cannot be read as an image .*: replace or remove it"):
        split[position]


def test_a_truncated_image_is_named(root: Path) -> None:
    path = root / "train" / "cat" / "c.jpg"
    path.write_bytes(path.read_bytes()[:400])
    split = folder(root).split("train")
    position = names(split).index("c.jpg")
    with pytest.raises(ValueError, match=r"c.jpg cannot be read as an image"):
        split[Draw(position, 0)]


def test_images_smaller_than_the_crop_are_named(root: Path) -> None:
    with pytest.raises(
        ValueError, match=r"\.\w+ is 30×40 pixels, smaller than data.size=32: remove it, lower data.size"
    ):
        folder(root, size=32, resize=None).split("val")[0]
    with pytest.raises(ValueError, match=r"data.resize=20 is smaller than data.size=24"):
        folder(root, resize=20)
