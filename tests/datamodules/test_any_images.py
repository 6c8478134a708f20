"""Any folder of images: odd names, sizes and formats, copies, EXIF orientation, and very few of them."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from datamodules import AnyImages
from datamodules.any_images import CORNERS, fixed_part, random_part, split_by_hash
from datamodules.contents import BLOCK, content_hashes, distinct_contents
from datamodules.image_files import read_image
from datamodules.image_index import image_index
from datamodules.sampling import Draw, TrainingSampler

OPTIONS: dict[str, Any] = {
    "size": 32, "held_out": 0.2, "crops_per_epoch": 64, "test_crops": None, "on_error": "raise", "cache": None,
    "batch_size": 4, "seed": 0, "workers": 0, "augmentation": "crop_flip",
}  # fmt: skip


def images(root: Path, **options: Any) -> AnyImages:
    return AnyImages(str(root), **OPTIONS | options)


def picture(number: int) -> Image.Image:
    draw = np.random.default_rng(number)
    low = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(low).resize((60 + 7 * number, 50 + 11 * (number % 3)), Image.Resampling.BICUBIC)


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """Twelve different photographs as a phone and its owner leave them, and copies of two of them."""
    root = tmp_path / "my photos, [2026] = best"
    (root / "DCIM" / "100").mkdir(parents=True)
    (root / "@eaDir").mkdir()
    for number in range(8):
        exif = Image.Exif()
        exif[0x0112] = number + 1  # orientation
        picture(number).save(root / "DCIM" / "100" / f"IMG_{number}.JPG", quality=95, exif=exif)
    picture(8).convert("P").save(root / "palette.png")
    picture(9).convert("L").save(root / "grey.tif")
    picture(10).save(root / "tiny.webp")
    picture(11).resize((20, 12)).save(root / "smaller than the square.bmp")
    shutil.copy(root / "grey.tif", root / "DCIM" / "copy of grey.tif")
    shutil.copy(root / "DCIM" / "100" / "IMG_0.JPG", root / "again.jpeg")
    picture(99).save(root / "@eaDir" / "thumbnail.jpg")
    picture(98).save(root / ".hidden.png")
    (root / "notes.txt").write_text("no image")
    return root


def test_twelve_photographs_and_their_copies_are_split_into_files_that_share_nothing(phone: Path) -> None:
    data = images(phone)
    files = {
        name: {data.split(name).path(n) for n in range(len(data.split(name)))} for name in ("train", "val", "test")
    }
    contents = {name: {path.read_bytes() for path in paths} for name, paths in files.items()}
    assert [len(contents[name]) for name in files] == [8, 2, 2]
    assert not contents["train"] & contents["val"]
    assert not contents["train"] & contents["test"]
    assert not contents["val"] & contents["test"]
    assert len(set().union(*contents.values())) == 12
    assert not any("eaDir" in str(path) or ".hidden" in str(path) for paths in files.values() for path in paths)
    said = data.notes()
    assert said[0] == "2 of 14 files are copies of others and are not used"
    assert said[-1].startswith("only 2 of these images are tested on: numbers and intervals hold for these very images")


def test_splits_depend_on_contents_alone_not_on_names_and_folders(phone: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    paths = sorted(
        path for path in phone.rglob("*") if path.suffix.lower() in {".jpg", ".png", ".tif", ".webp", ".bmp"}
    )
    for number, path in enumerate(reversed(paths)):
        if "@eaDir" not in str(path) and not path.name.startswith("."):
            shutil.copy(path, moved / f"{number}{path.suffix}")
    one, other = images(phone), images(moved)
    assert one.fingerprint() == other.fingerprint()
    for name in ("val", "test"):
        assert len(one.split(name)) == len(other.split(name))
        for index in range(len(one.split(name))):
            assert torch.equal(one.split(name)[index][0], other.split(name)[index][0])


def test_further_images_do_not_move_those_there_were_between_train_and_test() -> None:
    draw = np.random.default_rng(0)
    many = np.unique(draw.integers(0, 2**64, 3000, dtype=np.uint64))
    few = np.sort(draw.choice(many, 1000, replace=False))
    sides = [
        {name: set(hashes[at].tolist()) for name, at in split_by_hash(hashes, np.arange(len(hashes)), 0.2).items()}
        for hashes in (few, many)
    ]
    for name in ("train", "val", "test"):
        assert sides[0][name] <= sides[1][name]
    assert len(sides[1]["test"]) / len(many) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pil_does(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(3).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        turned = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(read_image(tmp_path / "a.png", as_shown=True).permute(1, 2, 0).numpy(), turned)
    assert read_image(tmp_path / "a.png").shape[-2:] == picture(3).size[::-1]


def test_evaluation_squares_are_fixed_and_neighbours_are_of_different_files(phone: Path) -> None:
    data = images(phone)
    split = data.split("test")
    assert len(split) == 2 * 9
    assert [split.group(n) for n in range(4)] == [0, 1, 0, 1]
    for index in range(len(split)):
        image, label, position = split[index]
        assert image.shape == (3, 32, 32)
        assert (label, position) == (0, index)
        assert torch.equal(image, split[index][0])
    assert len(images(phone, test_crops=1).split("test")) == 2
    assert len(images(phone, test_crops=5).split("val")) == 10


def test_the_first_square_is_the_central_one_and_the_others_lie_within(tmp_path: Path) -> None:
    ramp = torch.arange(40 * 60, dtype=torch.float32).reshape(1, 40, 60).expand(3, -1, -1)
    assert torch.equal(fixed_part(ramp, 40, 0), ramp[..., 10:50])
    side = 24
    for number in range(1, 9):
        down, right = CORNERS[number - 1]
        top, left = round(down * (40 - side)), round(right * (60 - side))
        assert torch.equal(fixed_part(ramp, side, number), ramp[..., top : top + side, left : left + side])


def test_training_draws_are_parts_that_depend_on_the_seed_alone(phone: Path) -> None:
    data = images(phone)
    split = data.split("train")
    assert len(split) == 64
    state = torch.get_rng_state()
    first, again, other = (split[Draw(3, seed)][0] for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(images(phone, crops_per_epoch=1).split("train")) == 8
    mirrored = {bool(random_part(torch.arange(32.0).expand(3, 32, 32), 32, seed)[0, 0, 0] > 15) for seed in range(20)}
    assert mirrored == {False, True}
    drawn = list(TrainingSampler(split, 8, seed=0))
    copy = pickle.loads(pickle.dumps(split))  # noqa: S301 - as for a loading process
    assert all(torch.equal(split[draw][0], copy[draw][0]) for draw in drawn[:4])


def test_what_cannot_be_read_is_skipped_or_named(phone: Path) -> None:
    for path in phone.rglob("IMG_*"):
        path.write_bytes(path.read_bytes()[:200])
    data = images(phone, on_error="skip")
    labels = [data.split(name)[n][1] for name in ("val", "test") for n in range(len(data.split(name)))]
    drawn = [data.split("train")[Draw(n, n)] for n in range(64)]
    assert all(label in (0, -1) for label in labels)
    assert all(label == 0 for _, label, _ in drawn)
    assert all("IMG_" in path.name for path in data.unreadable())
    strict = images(phone)
    split = strict.split("train")
    broken = next(n for n in range(len(split)) if "IMG_" in split.path(n).name)
    with pytest.raises(ValueError, match=r"IMG_\d.JPG cannot be read as an image .*; or data.on_error=skip"):
        split.read(broken)


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        picture(number).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match=r"holds 4 different images .*; give 5 or more"):
        images(tmp_path)
    picture(4).save(tmp_path / "4.png")
    data = images(tmp_path)
    assert [len(data.split(name).positions) for name in ("train", "val", "test")] == [1, 2, 2]
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"data.test_crops=10 null or from 1 to 9"):
        images(tmp_path, test_crops=10)


def test_contents_are_compared_once_and_kept_beside_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = tmp_path / "images", tmp_path / "cache"
    root.mkdir()
    for number in range(6):
        picture(number).save(root / f"{number}.png")
    monkeypatch.setattr("datamodules.image_index.UNCERTAIN", 0)
    first = distinct_contents(image_index(root, cache))
    [kept] = cache.rglob("contents-*.npy")
    with monkeypatch.context() as patch:
        patch.setattr("datamodules.contents.content_hash", lambda path: 1 / 0)
        again = distinct_contents(image_index(root, cache))
    assert all(map(np.array_equal, first, again))
    damaged = bytearray(kept.read_bytes())
    damaged[-20] ^= 1
    kept.write_bytes(damaged)
    assert all(map(np.array_equal, first, distinct_contents(image_index(root, cache))))
    assert kept.read_bytes() != damaged
    assert sorted(path.name for path in kept.parent.iterdir() if path.name.startswith(".")) == []


def test_files_that_agree_at_the_beginning_in_the_middle_and_at_the_end_are_not_copies(tmp_path: Path) -> None:
    """Scans on white paper: uncompressed, of one size, the writing between the blocks that the short hash is of."""
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(7):
        page = np.full((300, 300, 3), 255, dtype=np.uint8)
        page[60:80, 100 + number] = 0
        Image.fromarray(page).save(pages / f"{6 - number}.bmp")
    shutil.copy(pages / "3.bmp", pages / "0 copy.bmp")
    index = image_index(pages, None)
    assert len(set(content_hashes(index).tolist())) == 1
    assert index.sizes[0] > 3 * BLOCK
    hashes, positions = distinct_contents(index)
    read = [index.path(position).read_bytes() for position in positions.tolist()]
    assert len(set(hashes.tolist())) == 1
    assert len(read) == len(set(read)) == 7
    moved = tmp_path / "moved"
    shutil.copytree(pages, moved)
    (moved / "3.bmp").rename(moved / "z.bmp")
    other = image_index(moved, None)
    assert [other.path(position).read_bytes() for position in distinct_contents(other)[1].tolist()] == read
    data = images(pages)
    assert data.copies == 1
    assert sum(len(data.split(name).positions) for name in ("train", "val", "test")) == 7


def test_files_that_are_not_read_are_counted(phone: Path) -> None:
    for number in range(3):
        (phone / "DCIM" / f"IMG_{number}.HEIC").write_bytes(b"another format")
    (phone / "@eaDir" / "thumbnails.db").touch()
    assert (
        "4 further files are not read (3 .heic, 1 .txt); convert images among them, for example to .jpg"
        in images(phone).notes()
    )
    for path in phone.rglob("*"):
        if path.is_file() and path.suffix != ".HEIC":
            path.unlink()
    with pytest.raises(ValueError, match=r"holds 0 different images .*\. 3 further files are not read \(3 .heic\)"):
        images(phone)


@pytest.mark.parametrize(("width", "height"), [(3000, 40), (40, 3000), (1, 700), (5, 4), (1, 1)])
def test_panoramas_and_specks_become_squares(width: int, height: int, tmp_path: Path) -> None:
    for number in range(5):
        values = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"{number}.png")
    data = images(tmp_path, size=16)
    for index in range(len(data.split("test"))):
        assert data.split("test")[index][0].shape == (3, 16, 16)
    assert all(data.split("train")[Draw(0, seed)][0].shape == (3, 16, 16) for seed in range(10))
    assert all(max(image.shape) <= 512 for image in data.showcase(2).values())


def test_images_in_memory_are_bounded(phone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def counted(path: Path, **options: Any) -> torch.Tensor:
        reads.append(path)
        return read_image(path, **options)

    monkeypatch.setattr("datamodules.any_images.read_image", counted)
    for limit, expected in ((1 << 28, 8), (0, 16)):
        monkeypatch.setattr("datamodules.any_images.KEPT", limit)
        reads.clear()
        split = images(phone).split("train")
        for draw in range(16):
            split[Draw(draw, 0)]
        assert len(reads) == expected


def test_an_epoch_is_the_same_on_two_ranks_and_after_an_interruption(phone: Path) -> None:
    split = images(phone).split("train")

    def epoch(rank: int, world_size: int, consumed: int = 0) -> list[tuple[int, bytes]]:
        sampler = TrainingSampler(split, 8, 7, rank, world_size, consumed)
        sampler.set_epoch(2)
        return [(item[2], item[0].numpy().tobytes()) for item in (split[draw] for draw in sampler)]

    whole = epoch(0, 1)
    assert len(whole) == 64
    assert [epoch(0, 2)[n // 2] if n % 2 == 0 else epoch(1, 2)[n // 2] for n in range(0, 64, 17)] == whole[::17]
    assert epoch(0, 1, consumed=24) == whole[24:]
