"""Reading image files."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

FORMATS = {  # PIL's name: suffixes; PIL decides by the content, and for others, such as EPS, it starts programs
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm",),
    "GIF": (".gif",),
}
EXTENSIONS = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
DEEP = {("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B"), ("PPM", "I")}  # grey values up to 65,535
RANGELESS = {"I", "F"}  # grey values of 32 bits, which may mean anything
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_image(
    file: Path | BinaryIO,
    name: str | None = None,
    view: Callable[[Image.Image], Image.Image] | None = None,
    as_shown: bool = False,
) -> Tensor:
    """Read an image as PIL's ``convert("RGB")`` returns it, whatever its suffix.

    Every image file of a person is opened here, and only in one of ``FORMATS``.

    Args:
        file: Path, or an open binary file.
        name: Name of the image in errors; the path by default.
        view: Changes the PIL image before it becomes a tensor.
        as_shown: Whether it is read as programs show it: turned as its EXIF orientation says, grey values of 16 bits as
            their upper 8. PIL alone makes nearly all of these white; the published numbers on ImageNet do neither.

    Returns:
        RGB, uint8, shape ``(3, H, W)``.

    Raises:
        ValueError: If the file is truncated or no image in one of ``FORMATS``; names it.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # about metadata, which is not used
            with Image.open(file, formats=list(FORMATS)) as image:
                shown = with_eight_bits(ImageOps.exif_transpose(image), image.format) if as_shown else image
                converted = shown.convert("RGB")
                pixels = np.array(view(converted) if view else converted)
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name or file} cannot be read as an image (its content is not {', '.join(FORMATS)}): replace or remove it"
        ) from error
    except UNREADABLE as error:
        raise ValueError(f"{name or file} cannot be read as an image ({error}): replace or remove it") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)  # not contiguous: resizing is twice as fast in this layout


def with_eight_bits(image: Image.Image, kind: str | None) -> Image.Image:
    """An image with values of 8 bits: PIL's ``convert`` makes every grey value above 255 white.

    Args:
        image: The image.
        kind: The format of its file.

    Raises:
        ValueError: If its values have no known range.
    """
    if (kind, image.mode) in DEEP:
        return Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    if image.mode in RANGELESS:
        raise ValueError(f"its pixels are numbers of 32 bits (mode {image.mode}) of no known range")
    return image
