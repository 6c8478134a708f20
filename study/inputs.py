"""Inputs of a step: files that other steps made, verified before they are used.

A file is what its record beside it says: its digest, the settings it was made with, and the files it was made from.
``inputs.trusted=true`` accepts a file that is not, such as weights made elsewhere; what is made from it records that.
"""

import glob
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
    if not path.is_file():
        return f"{path} is no file"
    record = record_of(path)
    if isinstance(record, str):
        return record
    return None if digest(path) == record["digest"] else f"{path} is damaged or was changed after it was made"


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
    records, broken = records_in(path.parent)
    above, _ = records_in(path.parent.parent)  # of an artifact with folders
    for name, candidates in ((path.name, records), (f"{path.parent.name}/{path.name}", above)):
        for record in candidates:
            if name in record["sha256"]:
                return record | {"digest": record["sha256"][name]}
    own = (path.with_suffix(".json").name, f"{path.parent.name}.json", "provenance.json")
    why = next((broken[name] for name in own if name in broken), "")
    return f"{path} has no record of how it was made" + (f": {why}" if why else "")


def records_in(folder: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The records in a folder, and for each other JSON file in it why it is none, by its name.

    From memory where no file has changed since.
    """
    files = sorted(path for path in folder.glob("*.json"))
    return _records(folder, tuple((path.name, *state(path)) for path in files))


@lru_cache(maxsize=256)
def _records(folder: Path, files: tuple[tuple[Any, ...], ...]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    records, broken = [], {}
    for name, *_ in files:
        try:
            record = read_checked(folder / name)
        except (ValueError, OSError) as error:
            broken[name] = str(error)
            continue
        if {"settings", "inputs", "sha256"} <= record.keys():
            records.append(record)
    return records, broken


def check_study(cfg: DictConfig) -> None:
    """Refuse a study in which a record is damaged, or a table, an array or a document is gone or not what it was.

    Raises:
        FileNotFoundError: Names the first file that is gone.
        ValueError: Names the first such file, and what to do.
    """
    root = study_folder(cfg).root
    for folder in sorted({path.parent for path in root.rglob("*.json")}):
        if {"jobs", "report"} & set(folder.relative_to(root).parts[:1]):
            continue
        records, broken = records_in(folder)
        named = {name for record in records for name in record["sha256"]}
        missing = sorted(name for name in named if name.endswith(TABLES) and not (folder / name).exists())
        if missing and not cfg.inputs.trusted:
            raise FileNotFoundError(
                f"{folder / missing[0]} is gone, though its record is there: python run.py study={cfg.study} makes it "
                "again"
            )
        for name in sorted(broken.keys() - named):  # documents without a record may be a user's own
            beside = any(path.suffix != ".json" for path in folder.glob(f"{glob.escape(Path(name).stem)}.*"))
            if beside or name in ("provenance.json", f"{folder.name}.json"):
                accept(broken[name], cfg, "study")
        for path in sorted(folder / name for name in named if name.endswith(TABLES) and name not in missing):
            if fault := content_fault(path):
                accept(fault, cfg, "study")


def check_shown(paths: Iterable[Path], cfg: DictConfig) -> None:
    """Refuse to show a file that has no record of how it was made.

    Raises:
        ValueError: Names the first such file, and what to do.
    """
    for path in paths:
        if isinstance(fault := record_of(path), str):
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
    return _digest(path, *state(path))


def state(path: Path) -> tuple[int, int, int, int]:
    """What differs when a file has changed: both times, the size and the number on the disk."""
    known = path.stat()
    return known.st_mtime_ns, known.st_ctime_ns, known.st_size, known.st_ino


@lru_cache(maxsize=1024)
def _digest(path: Path, *_state: int) -> str:
    return sha256(path)
