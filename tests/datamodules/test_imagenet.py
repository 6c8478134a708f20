"""Trees of ImageNet's shape, with the oddities of its files."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageFolder
from datamodules.imagenet_classes import imagenet_classes
from datamodules.sampling import Draw
from tests.datamodules.trees import WNIDS, jpeg, make_tree
from tests.images import image_folder

OPTIONS: dict[str, Any] = {"size": 32, "resize": 32, "class_list": "imagenet1k"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "imagenet", train=3, val=2)


def imagenet(root: Path, **options: Any) -> ImageFolder:
    return image_folder(root, **OPTIONS | options)


def test_labels_are_places_among_the_thousand_classes(root: Path) -> None:
    data = imagenet(root)
    assert len(data.classes) == 1000
    order = sorted(imagenet_classes())
    for name in ("train", "val"):
        split = data.split(name)
        for position in range(len(split)):
            assert split.label(position) == order.index(split.path(position).parent.name)
    assert data.classes[order.index("n02123045")] == "tabby"


def test_classes_are_those_of_torchvisions_weights() -> None:
    from torchvision.models import AlexNet_Weights

    classes = imagenet_classes()
    assert list(classes.values()) == AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    assert list(classes) == sorted(classes)
    assert all(len(wnid) == 9 and wnid[0] == "n" and wnid[1:].isdigit() for wnid in classes)


def test_subsets_keep_labels_and_are_the_same_every_time(root: Path) -> None:
    few = imagenet(root, classes=[WNIDS[2], WNIDS[0]], per_class=2)
    assert len(few.split("train")) == 4
    assert len(few.split("val")) == 4
    whole = imagenet(root)
    label = {whole.split("train").path(place): whole.split("train").label(place) for place in range(9)}
    for place in range(4):
        assert few.split("train").label(place) == label[few.split("train").path(place)]
    again = imagenet(root, classes=[WNIDS[0], WNIDS[2]], per_class=2)
    assert again.fingerprint() == few.fingerprint() != whole.fingerprint()
    with pytest.raises(ValueError, match=r"data.classes: .*train has no folder n99999999"):
        imagenet(root, classes=["n99999999"])
    with pytest.raises(ValueError, match=r"data.per_class=0 must be at least 1"):
        imagenet(root, per_class=0)


def test_classes_that_are_not_used_may_be_missing(root: Path) -> None:
    for path in (root / "val" / WNIDS[2]).iterdir():
        path.unlink()
    (root / "val" / WNIDS[2]).rmdir()
    assert len(imagenet(root, classes=WNIDS[:2]).split("val")) == 4
    with pytest.raises(ValueError, match=rf"train/ and val/ hold different classes: {WNIDS[2]} is in one of them only"):
        imagenet(root)
    with pytest.raises(ValueError, match=rf"train/ and val/ hold different classes: {WNIDS[2]} is in one of them only"):
        imagenet(root, classes=WNIDS[1:])


def test_a_flat_val_is_recognised(root: Path) -> None:
    for path in list((root / "val").rglob("*.JPEG")):
        path.rename(root / "val" / path.name)
    for folder in (root / "val").iterdir():
        if folder.is_dir():
            folder.rmdir()
    with pytest.raises(
        ValueError, match=r"val holds 6 images and no class folders; .* docs/imagenet.md has the commands"
    ):
        imagenet(root)


def test_a_val_of_another_size_is_noticed(root: Path) -> None:
    assert len(imagenet(root, expect=6).split("val")) == 6
    with pytest.raises(ValueError, match=r"val holds 6 images, not the 50,000 expected: .* data.expect=null"):
        imagenet(root, expect=50_000)


def test_folders_that_are_no_wordnet_ids_are_named(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / WNIDS[0]).rename(root / split / "cats")
    with pytest.raises(ValueError, match=r"class folder cats is not one of ImageNet's 1,000 WordNet ids"):
        imagenet(root)


def odd_files() -> dict[str, bytes]:
    """A PNG named .JPEG, CMYK and grey JPEGs, EXIF that asks for turning, EXIF that is broken, a palette."""
    colour = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    contents = {}
    for name, image, options in (
        ("png", colour, {"format": "PNG"}),
        ("cmyk", colour.convert("CMYK"), {"format": "JPEG"}),
        ("grey", colour.convert("L"), {"format": "JPEG"}),
        ("turned", colour, {"format": "JPEG", "exif": turned}),
        ("broken_exif", colour, {"format": "JPEG", "exif": b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"}),
        ("palette", colour.convert("P"), {"format": "PNG", "transparency": b"\x00" * 4}),
        ("alpha", colour.convert("RGBA"), {"format": "PNG"}),
        ("sixteen_bit", Image.fromarray(np.arange(1920, dtype=np.uint16).reshape(40, 48)), {"format": "PNG"}),
    ):
        file = io.BytesIO()
        image.save(file, **options)
        contents[name] = file.getvalue()
    return contents


@pytest.mark.parametrize(("name", "content"), odd_files().items())
def test_odd_files_give_what_pil_gives(root: Path, name: str, content: bytes) -> None:
    path = root / "val" / WNIDS[0] / f"{name}.JPEG"
    path.write_bytes(content)
    split = imagenet(root, resize=None).split("val")
    position = [split.path(place).name for place in range(len(split))].index(path.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL's own
        expected = np.array(Image.open(io.BytesIO(content)).convert("RGB"))[4:36, 8:40]
    assert torch.equal(split[position][0], torch.from_numpy(expected).permute(2, 0, 1))


def test_an_unreadable_file_stops_or_is_skipped_and_listed(root: Path) -> None:
    broken = root / "val" / WNIDS[1] / "broken.JPEG"
    broken.write_bytes(jpeg()[:200])
    worse = root / "train" / WNIDS[1] / "worse.JPEG"
    worse.write_bytes(b"not an image")
    split = imagenet(root).split("val")
    position = [split.path(place) for place in range(len(split))].index(broken.resolve())
    with pytest.raises(ValueError, match=r"broken.JPEG cannot be read as an image .* or data.on_error=skip"):
        split[position]

    data = imagenet(root, on_error="skip", workers=2, batch_size=4)
    seen = [index for batch in data.val_dataloader() for index in data.on_after_batch_transfer(batch, 0)[2].tolist()]
    assert sorted(seen) == [place for place in range(7) if place != position]
    training = data.split("train")
    place = [training.path(place) for place in range(len(training))].index(worse.resolve())
    image, label, index = training[Draw(place, 1)]
    assert index == (place + 1) % len(training)
    assert label == training.label(index)
    assert torch.equal(image, training[Draw(index, 1)][0])
    assert data.unreadable() == sorted([broken.resolve(), worse.resolve()])
    assert len(data.showcase(7)) == 6
