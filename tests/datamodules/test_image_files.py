"""Which image files are opened: those of the named formats, and no program is started for others."""

import ast
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

from datamodules.image_files import EXTENSIONS, FORMATS, read_image
from tests.test_house import ROOMS, modules

LOSSY = {"JPEG", "WEBP"}


@pytest.mark.parametrize("suffix", sorted(EXTENSIONS))
def test_every_named_format_is_opened(suffix: str, tmp_path: Path) -> None:
    [kind] = [name for name, suffixes in FORMATS.items() if suffix in suffixes]
    pixels = np.repeat(np.random.default_rng(0).integers(0, 2, (6, 8, 1), np.uint8) * 255, 3, axis=2)
    path = tmp_path / f"picture{suffix}"
    Image.fromarray(pixels).save(path, kind, quality=95)
    read = read_image(path)
    assert read.shape == (3, 6, 8)
    expected = torch.from_numpy(pixels).permute(2, 0, 1)
    assert (read.int() - expected.int()).abs().max() <= (60 if kind in LOSSY else 0)


def test_a_picture_of_any_named_format_may_have_any_suffix(tmp_path: Path) -> None:
    for kind in FORMATS:
        Image.new("RGB", (5, 4), "red").save(tmp_path / "picture.jpg", kind)
        assert read_image(tmp_path / "picture.jpg").shape == (3, 4, 5)


def test_a_postscript_file_named_png_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, started = tmp_path / "picture.png", list[Any]()
    Image.new("RGB", (5, 4), "red").save(path, "EPS")

    def start(*arguments: Any, **options: Any) -> None:
        started.append(arguments)
        raise OSError("no program may be started")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    with Image.open(path) as image, pytest.raises(OSError, match="no program may be started"):
        image.load()  # PIL alone does
    assert started
    started.clear()
    with pytest.raises(ValueError, match=r"picture.png cannot be read as an image \(its content is not JPEG, PNG, BMP"):
        read_image(path)
    assert not started


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF", "PPM"])
def test_grey_values_of_sixteen_bits_become_their_upper_eight(kind: str, tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 24).astype(">u2" if kind.startswith("big") else "<u2").reshape(4, 6)
    picture = Image.fromarray(values)
    if kind == "PPM":
        picture = picture.convert("I")
    picture.save(tmp_path / "scan.png", kind.split()[-1])
    with Image.open(tmp_path / "scan.png") as opened:
        assert np.asarray(opened.convert("RGB")).mean() > 240  # what PIL makes of it: nearly all white
    read = read_image(tmp_path / "scan.png", as_shown=True)
    assert all(np.array_equal(channel.numpy(), values >> 8) for channel in read)


def test_pixels_of_no_known_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 6), dtype=np.float32)).save(tmp_path / "depth.tif")
    with pytest.raises(ValueError, match=r"depth.tif cannot be read .*32 bits \(mode F\) of no known range\): replace"):
        read_image(tmp_path / "depth.tif", as_shown=True)


@pytest.mark.parametrize("kind", sorted({"ICO", "TGA", "PCX", "SGI", "ICNS", "PDF"}))
def test_other_formats_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "red").save(tmp_path / "picture.png", kind)
    with pytest.raises(ValueError, match=r"picture.png cannot be read as an image .*GIF\): replace or remove it"):
        read_image(tmp_path / "picture.png")


def test_images_are_opened_in_one_module_only() -> None:
    openers = {"open", "imread", "decode_image", "decode_jpeg", "read_image"}
    found = set()
    for path in (path for room in ROOMS for path in modules(room)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in openers:
                owner = ast.unparse(node.func.value)
                if owner.split(".")[-1] in {"Image", "PIL", "io", "image", "plt", "imageio", "skimage", "cv2"}:
                    found.add(path.name)
    assert found == {"image_files.py"}
