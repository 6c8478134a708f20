"""What the provenance beside a file says: its settings, and whether it was made from the present predictions."""

import hashlib
import json
from pathlib import Path
from typing import Any


def settings_of(provenance: Path) -> dict[str, Any]:
    """The settings in a file of provenance."""
    record: dict[str, Any] = json.loads(provenance.read_text(encoding="utf-8"))
    return record["settings"]


def is_outdated(root: Path, folder: str) -> bool:
    """Whether the files of a folder were made from other predictions than those of the cross evaluation.

    Args:
        root: The study's folder.
        folder: Name of the folder, with ``provenance.json`` in it.
    """
    predictions, provenance = root / "cross_evaluation" / "predictions.npz", root / folder / "provenance.json"
    if not (predictions.exists() and provenance.exists()):
        return False
    used = json.loads(provenance.read_text(encoding="utf-8"))["inputs"]["predictions"].partition(",")[0]
    with predictions.open("rb") as file:
        return bool(hashlib.file_digest(file, "sha256").hexdigest() != used)
