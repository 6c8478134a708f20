"""Files that are written whole or not at all."""

import glob
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.torch
import torch
from torch import nn


def partial(path: Path) -> Path:
    """A new temporary path in the same folder, which is made if need be; leftovers of killed jobs are removed.

    Nobody can know the name beforehand: a link of that name, in a folder that people share, would be written through.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    leftover = re.compile(rf"\.{re.escape(path.stem)}\.[0-9a-f]{{16}}\.partial{re.escape(path.suffix)}")
    for old in path.parent.glob(f".{glob.escape(path.stem)}.*.partial{path.suffix}"):
        if leftover.fullmatch(old.name):
            old.unlink(missing_ok=True)
    return path.with_name(f".{path.stem}.{secrets.token_hex(8)}.partial{path.suffix}")


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; on success flush it to disk and rename it, else remove it."""
    temporary = partial(path)
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as temporary, temporary.open("x", encoding="utf-8") as file:
        file.write(text)


def save_weights(module: nn.Module, path: Path) -> None:
    """Save a network's weights as safetensors; refuses weights that are not finite."""
    weights = {key: tensor.detach().cpu().contiguous() for key, tensor in module.state_dict().items()}
    broken = [key for key, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"training diverged: {broken[0]} is not finite. Lower the learning rate; nothing is written")
    safetensors.torch.save_file(weights, path)


def sha256(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
