"""Ways to alter a file: what disks, editors, transfers and people do to it, and what somebody may do on purpose."""

import contextlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Change = Callable[[bytes, random.Random], bytes]  # may give the same content: then another one is drawn
BLOCK = 4096


def flip_bit(content: bytes, draw: random.Random) -> bytes:
    """One bit is another one."""
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def span(content: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(content))
    return start, min(len(content), start + draw.randint(1, BLOCK))


def zero(content: bytes, draw: random.Random) -> bytes:
    """A range of bytes is zero, as a lost block of a disk."""
    start, end = span(content, draw)
    return content[:start] + bytes(end - start) + content[end:]


def scatter(content: bytes, draw: random.Random) -> bytes:
    """A range of bytes is random."""
    start, end = span(content, draw)
    return content[:start] + draw.randbytes(end - start) + content[end:]


def remove_span(content: bytes, draw: random.Random) -> bytes:
    start, end = span(content, draw)
    return content[:start] + content[end:]


def truncate(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def double(content: bytes, draw: random.Random) -> bytes:
    return content + content


def append(content: bytes, draw: random.Random) -> bytes:
    return content + draw.randbytes(draw.randint(1, 64))


def replace_all(content: bytes, draw: random.Random) -> bytes:
    return draw.randbytes(draw.randint(1, BLOCK))


def empty(content: bytes, draw: random.Random) -> bytes:
    return b""


def lines(content: bytes, draw: random.Random) -> bytes:
    """Lines are deleted, swapped or there twice."""
    parts = content.splitlines(keepends=True)
    one, other = draw.randrange(len(parts)), draw.randrange(len(parts))
    kind = draw.choice(("delete", "swap", "duplicate"))
    if kind == "delete":
        del parts[one]
    elif kind == "duplicate":
        parts.insert(other, parts[one])
    else:
        parts[one], parts[other] = parts[other], parts[one]
    return b"".join(parts)


def digit(content: bytes, draw: random.Random) -> bytes:
    """One digit of a number is another one."""
    places = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    if not places:
        return content
    place = draw.choice(places)
    return content[:place] + str(draw.randrange(10)).encode() + content[place + 1 :]


def cell(content: bytes, draw: random.Random) -> bytes:
    """A cell of a CSV table is a word, another number or gone."""
    rows = [line.split(b",") for line in content.splitlines()]
    row = draw.choice(rows)
    place = draw.randrange(len(row))
    words = (b"", b"nan", b"-1", b"1e999", b"0x1", b"abc", '"ä'.encode(), b'"', b"\0", b"0.5", b"=1+1", b"1,2")
    row[place] = draw.choice(words)
    return b"\n".join(b",".join(row) for row in rows) + b"\n"


def tree(content: bytes, draw: random.Random) -> bytes:
    """A key of a JSON document is gone, renamed or of another type."""
    document: Any = json.loads(content)
    if not document:
        return b"null"
    node: Any = document
    key: Any = None
    while isinstance(node, dict | list) and node:
        parent, key = node, draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        node = parent[key]
        if draw.random() < 0.3:
            break
    kind = draw.choice(("delete", "rename", "retype", "root"))
    new: Any = draw.choice([None, [], {}, "", "abc", -1, 1e300, True, [[[]]], {"a": None}, 0.123])
    if kind == "root":
        document = new
    elif kind == "delete":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        parent[f"{key}s"] = parent.pop(key)
    else:
        parent[key] = new
    return json.dumps(document, indent=2).encode()


def nesting(content: bytes, draw: random.Random) -> bytes:
    """Brackets so deep that a parser gives up."""
    start = b'{"a":' if draw.random() < 0.5 else b"["
    return start * draw.choice((100, 5000, 100_000))


def archive(content: bytes, draw: random.Random) -> bytes:
    """An array of an npz file is gone, renamed, or of another type, shape or values."""
    with np.load(io.BytesIO(content)) as file:
        arrays: dict[str, Any] = dict(file)
    name = draw.choice(list(arrays))
    array = arrays.pop(name)
    kind = draw.choice(("delete", "rename", "type", "shape", "short", "values", "object"))
    if kind == "rename":
        arrays[f"{name}s"] = array
    elif kind == "type":
        arrays[name] = array.astype("U8") if draw.random() < 0.5 else np.zeros(array.shape, np.complex64)
    elif kind == "shape":
        arrays[name] = array.reshape(-1) if array.ndim > 1 else array[None]
    elif kind == "short":
        arrays[name] = array[:-1] if array.ndim else array[None][:0]
    elif kind == "values":
        arrays[name] = np.roll(array, 1) if array.dtype.kind in "US" else array.astype(array.dtype) * 0
    elif kind == "object":
        arrays[name] = np.array([{}], dtype=object)
    file_out = io.BytesIO()
    np.savez_compressed(file_out, **arrays)
    return file_out.getvalue()


def lone_array(content: bytes, draw: random.Random) -> bytes:
    """An array of a file of its own is of another type, shape or values."""
    values = np.load(io.BytesIO(content))
    kind = draw.choice(("type", "shape", "short", "values"))
    changed = {
        "type": lambda: values.astype(np.float64),
        "shape": lambda: values.reshape(-1, 1),
        "short": lambda: values[:-1],
        "values": lambda: values * 0,
    }[kind]()
    out = io.BytesIO()
    np.save(out, changed)
    return out.getvalue()


def picture(content: bytes, draw: random.Random) -> bytes:
    """An image in another format, with other channels, a size that is no use, or animated."""
    mode = draw.choice(("1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "I;16", "F"))
    size = draw.choice(((60, 50), (1, 1), (1, 3000), (24, 24)))
    out = io.BytesIO()
    image = Image.new(mode, size)
    frames = {"save_all": True, "append_images": [Image.new(mode, size)]} if draw.random() < 0.2 else {}
    with contextlib.suppress(OSError, KeyError, ValueError):  # not every format has every mode
        image.save(out, draw.choice(("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PDF")), **frames)
    return out.getvalue()


def members(content: bytes, draw: random.Random) -> bytes:
    """A member of a ZIP archive is gone, or other bytes, in an archive that is whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        chosen, kind = draw.choice(old.namelist()), draw.choice(("delete", "flip"))
        for name in old.namelist():
            data = old.read(name)
            if name != chosen:
                new.writestr(name, data)
            elif kind == "flip":
                new.writestr(name, flip_bit(data, draw) if data else b"1")
    return out.getvalue()


def header(content: bytes, draw: random.Random) -> bytes:
    """The header of a safetensors file says something else about the bytes that follow."""
    length = int.from_bytes(content[:8], "little")
    described = json.loads(content[8 : 8 + length])
    name = draw.choice([key for key in described if key != "__metadata__"])
    kind = draw.choice(("delete", "rename", "dtype", "shape", "offsets", "json", "length"))
    entry = described[name]
    if kind == "delete":
        del described[name]
    elif kind == "rename":
        described[f"{name}s"] = described.pop(name)
    elif kind == "dtype":
        entry["dtype"] = draw.choice(("I32", "F64", "BF16", "BOOL", "X", None))
    elif kind == "shape":
        entry["shape"] = draw.choice(([*entry["shape"], 1], [2**40], [-1], entry["shape"][::-1], None))
    elif kind == "offsets":
        start, end = entry["data_offsets"]
        entry["data_offsets"] = draw.choice(([start, end + 4], [end, start], [start + 4, end], [2**62, 2**63]))
    written = json.dumps(described if kind != "json" else draw.choice([None, [], {name: []}, "x"])).encode()
    size = len(written) if kind != "length" else draw.choice((0, length + 8, 2**40, 2**64 - 1))
    return size.to_bytes(8, "little") + written + content[8 + length :]


ANY: tuple[Change, ...] = (
    flip_bit, zero, scatter, remove_span, truncate, double, append, replace_all, empty, nesting,
)  # fmt: skip
TEXT: tuple[Change, ...] = (lines, digit, digit)
OF_SUFFIX: dict[str, tuple[Change, ...]] = {
    ".csv": (*TEXT, cell, cell),
    ".json": (*TEXT, tree, tree, tree),
    ".yaml": TEXT,
    ".npz": (archive, archive, members),
    ".safetensors": (header, header),
    ".ckpt": (members,),
    ".pt": (members,),
    ".npy": (lone_array,),
    ".JPEG": (picture, picture, picture),
}
MOVES = ("folder", "other file", "deleted")


def alter(path: Path, draw: random.Random, others: Sequence[Path]) -> str:
    """Alter a file, and say how.

    Args:
        path: The file.
        draw: Decides how.
        others: Files whose content it may get.
    """
    content = path.read_bytes()
    if draw.random() < 0.12:
        move = draw.choice(MOVES)
        strange = [other for other in others if other.suffix == path.suffix and other.read_bytes() != content]
        if move != "other file" or strange:
            return moved(path, move, draw, strange)
    changes = [*ANY, *OF_SUFFIX.get(path.suffix, ()) * 2]
    while True:
        change = draw.choice(changes)
        changed = change(content, draw)
        if changed != content:
            path.write_bytes(changed)
            return change.__name__


def moved(path: Path, move: str, draw: random.Random, others: Sequence[Path]) -> str:
    """Put something else, or nothing, in the place of a file."""
    path.unlink()
    if move == "folder":
        path.mkdir()
    elif move == "other file":
        shutil.copyfile(other := draw.choice(others), path)
        return f"replaced by {other.name}"
    return move
