"""Inputs of a step: files that other steps made, verified before they are used.

A file is what its record beside it says: its digest, the settings it was made with, and the files it was made from.
``inputs.trusted=true`` accepts a file that is not, such as weights made elsewhere; what is made from it records that.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from datamodules.digests import read_checked
from study.artifact import differences, require
from study.console import say
from study.files import sha256
from study.folder import classifier_file, study_folder

RECIPES = ("precision", "trainer")  # how something was trained may differ from how it is evaluated
TABLES = (".csv", ".npz", ".json")
TRUSTED = ", trusted"  # follows the digest of a file that was accepted by inputs.trusted


def verified(
    path: Path,
    cfg: DictConfig,
    step: str,
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
) -> str:
    """The fingerprint of a file that an earlier step made, if the file is what it should be.

    Args:
        path: The file.
        cfg: The configuration.
        step: The task that makes it, and what else its command line needs.
        settings: Settings that it must have been made with, such as the architecture; others may differ.
        inputs: Fingerprints of what it must have been made from, by name; others are compared with the files there are.

    Returns:
        Its SHA-256; followed by a note if it is used only because of ``inputs.trusted``.

    Raises:
        FileNotFoundError: If it does not exist; names the command that makes it.
        ValueError: If it has no record, differs from it, or was made with other settings or from other inputs.
    """
    require(path, cfg, step)
    fault = fault_of(path, cfg, settings or {}, inputs or {})
    if fault is None:
        return digest(path)
    accept(fault, cfg, step)
    return digest(path) + TRUSTED


def accept(fault: str, cfg: DictConfig, step: str) -> None:
    """Refuse an input with a fault, unless the configuration says that inputs are trusted."""
    if not cfg.inputs.trusted:
        raise ValueError(
            f"{fault}. To make it again: remove it, then python run.py task={step} study={cfg.study}. To use it as it "
            "is, add inputs.trusted=true"
        )
    say(f"[yellow]trusted, although[/yellow] {fault}")


def fault_of(path: Path, cfg: DictConfig, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str | None:
    """Why a file is not what it should be; ``None`` if it is."""
    if fault := content_fault(path):
        return fault
    record: Any = record_of(path)
    known = {key: value for key, value in json.loads(json.dumps(settings)).items() if key not in RECIPES}
    if changed := differences({key: record["settings"].get(key, "absent") for key in known}, known):
        return f"{path} was made with other settings: {'; '.join(changed)}"
    present = present_inputs(cfg, record["inputs"]) | {name: without_note(value) for name, value in inputs.items()}
    made_from = {name: without_note(record["inputs"].get(name, "absent")) for name in present}
    if changed := differences(made_from, present):
        names = ", ".join(sorted(entry.split(" was ")[0] for entry in changed))
        return f"{path} was made from another version of: {names}"
    return None


def content_fault(path: Path) -> str | None:
    """Why a file is not what its record says; ``None`` if it is."""
    record = record_of(path)
    if isinstance(record, str):
        return record
    return (
        None if digest(path) == record["sha256"][path.name] else f"{path} is damaged or was changed after it was made"
    )


def check_file(path: Path) -> None:
    """Refuse a file of a study that is not what its record says.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it differs from its record or has none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: run the study first, or correct its name")
    if fault := content_fault(path):
        raise ValueError(f"{fault}: remove it and make it again with the study that it is of")


def record_of(path: Path) -> dict[str, Any] | str:
    """The record of the artifact that a file belongs to, or what is wrong with it."""
    broken = []
    for candidate in sorted(path.parent.glob("*.json")):
        try:
            record = read_checked(candidate)
        except (ValueError, OSError) as error:
            broken.append(str(error))
            continue
        if path.name in record.get("sha256", {}) and {"settings", "inputs"} <= record.keys():
            return record
    why = next((text for text in broken if "provenance.json" in text or path.with_suffix(".json").name in text), "")
    return f"{path} has no record of how it was made" + (f": {why}" if why else "")


def check_study(cfg: DictConfig) -> None:
    """Refuse a study in which a table, an array or a document is not what its record says.

    Raises:
        ValueError: Names the first such file, and what to do.
    """
    root = study_folder(cfg).root
    for folder in sorted({path.parent for path in root.rglob("*.json")}):
        if {"jobs", "report"} & set(folder.relative_to(root).parts[:1]):
            continue
        for path in sorted(path for path in folder.iterdir() if path.suffix in TABLES):
            if isinstance(record_of(path), dict) and (fault := content_fault(path)):
                accept(fault, cfg, "study")


def present_inputs(cfg: DictConfig, names: Iterable[str]) -> dict[str, str]:
    """The digests of those named inputs that are files of the study and still there."""
    folder = study_folder(cfg)
    files = {
        "pretrained autoencoder": folder.pretrained,
        "predictions": folder.predictions,
        "accuracy": folder.accuracy,
    }
    present = {}
    for name in names:
        kind, _, network = name.partition(" ")
        path = files.get(name)
        if network and kind == "autoencoder":
            path = folder.pretrained.with_name(f"{network}.safetensors")
        if network and kind == "classifier":
            path = classifier_file(cfg, network)
        if path is not None and path.is_file():
            present[name] = digest(path)
    return present


def without_note(fingerprint: str) -> str:
    """A fingerprint without the note that its file was trusted."""
    return str(fingerprint).removesuffix(TRUSTED)


def digest(path: Path) -> str:
    """The SHA-256 of a file; of one that has not changed, from memory."""
    state = path.stat()
    return _digest(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=1024)
def _digest(path: Path, *_state: int) -> str:
    return sha256(path)
