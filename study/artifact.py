"""Artifacts: files that one step makes together, with the settings and inputs that they were made with."""

import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from datamodules.base import ImageDataModule
from datamodules.digests import read_checked, with_digest
from study.configuration.environment import by_name
from study.console import say
from study.files import flush, partial, sha256, write_text
from study.programs import program

# keys of the data, of classifiers and autoencoders that do not decide a result: of files, the content counts (an input)
# (decisions are an input, too: "labels of <classifier>")
PATHS_AND_NAMES = {
    "workers",
    "root",
    "weights",
    "title",
    "published",
    "cache",
    "expect",
    "on_error",
    "decisions",
    "path",
}
NETWORKS_AND_IMAGES = {"data", "pretrain_data", "classifier", "autoencoder"}
CONTROLS = {"second_start", "extra_training", "on_error"}  # of a step; what a control makes has a path of its own
LIMITS = ("limit_train_batches", "limit_val_batches", "overfit_batches")
TRAINED = {"pretrain", "finetune", "train_classifier", "classifier"}  # keys that only steps with training read
BATCHES = {"accumulate_grad_batches": 1, "sync_batchnorm": False}
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "scikit-image")
GIT = program("git")
REPOSITORY = Path(__file__).resolve().parents[1]


def require(path: Path, cfg: DictConfig, step: str) -> Path:
    """A path that must be there, or the command that makes it."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Make it with: python run.py task={step} study={cfg.study}")
    return path


def settings_of(cfg: DictConfig, *keys: str, data: str = "data") -> dict[str, Any]:
    """The part of a configuration that decides what a step makes: these keys, the data, the seed and the precision."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    images = {key: value for key, value in plain[data].items() if key != "poison" or value is not None}
    chosen = {"data": without(images, PATHS_AND_NAMES)} | {
        key: without(plain[key], PATHS_AND_NAMES if key in NETWORKS_AND_IMAGES else CONTROLS) for key in keys
    }
    made_with = {"seed": cfg.seed, "precision": cfg.trainer.precision}
    trainer = plain["trainer"]
    decisive = {key: trainer[key] for key in LIMITS if trainer.get(key)}  # conf/debug
    if TRAINED & set(keys):  # both change what batch normalisation averages over
        decisive |= {key: trainer[key] for key, usual in BATCHES.items() if trainer[key] != usual}
    return chosen | made_with | ({"trainer": decisive} if decisive else {})


def without(tree: Any, keys: set[str]) -> Any:
    """Nested mappings without some keys."""
    if not isinstance(tree, dict):
        return tree
    return {key: without(value, keys) for key, value in tree.items() if key not in keys}


class Artifact:
    """Files that one step makes together, with their provenance.

    Args:
        files: The files, all of them.
        provenance: Where their provenance is kept.
        settings: Everything in the configuration that decides their content.
        inputs: Fingerprints of what they are made from, by name.
        precious: Whether they took long to make: then an artifact of other inputs is an error, not made anew.
    """

    def __init__(
        self,
        files: Sequence[Path],
        provenance: Path,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        precious: bool,
    ) -> None:
        self.files, self.provenance, self.precious = list(files), provenance, precious
        self.settings = json.loads(json.dumps(by_name(settings, digests=True)))  # as it will be read back
        self.inputs = by_name(dict(inputs), digests=True)
        self._start = time.monotonic()

    def exists(self) -> bool:
        """Whether the artifact is there, whole, and made with these settings from these inputs.

        Raises:
            ValueError: If a folder is in its place, or it is there but was made with other settings, is damaged, or
                (when precious) was made from other inputs or has no provenance; says which, and what to do.
        """
        if folders := [path for path in (*self.files, self.provenance) if path.is_dir()]:
            raise ValueError(f"{folders[0]} is a folder where a file belongs: remove it to make the file again")
        if not all(file.exists() for file in self.files):
            return False
        first = self.files[0]
        if not self.provenance.exists():
            if self.precious:
                raise ValueError(f"{first} has no {self.provenance.name} beside it: move it away to make it here")
            return False
        try:
            record = read_checked(self.provenance)
            settings, inputs, digests = record["settings"], record["inputs"], record["sha256"]
        except (ValueError, KeyError) as error:
            if self.precious:
                raise ValueError(f"{error}: remove it and {first} to make them again") from error
            say(f"[yellow]{error}[/yellow]: {first} is made again")
            return False
        changed = differences(settings, self.settings)
        if changed:
            raise ValueError(
                f"{first} was made with other settings: {'; '.join(changed)}. Use these settings again, "
                "another study=<name>, or remove the file"
            )
        changed = differences(inputs, self.inputs)
        if changed and self.precious:
            names = ", ".join(sorted(entry.split(" ")[0] for entry in changed))
            raise ValueError(f"{first} was made from another version of: {names}. Remove it to make it again")
        if changed:
            return False
        whole = all(sha256(file) == digests.get(self.name_of(file)) for file in self.files)
        if not whole and self.precious:
            raise ValueError(f"{first} is damaged or was changed after it was made: remove it to make it again")
        return whole

    def name_of(self, file: Path) -> str:
        """The name of a file in the record: its path from the folder of the record."""
        return Path(os.path.relpath(file, self.provenance.parent)).as_posix()

    @property
    def identity(self) -> str:
        """A hash of settings and inputs."""
        return hashlib.sha256(json.dumps([self.settings, self.inputs]).encode()).hexdigest()

    def objective(self) -> float:
        """The objective noted when the artifact was made."""
        return float(read_checked(self.provenance)["objective"])

    @contextmanager
    def making(self, objective: float) -> Iterator[dict[Path, Path]]:
        """Give the temporary path to write each file to; on success put them in place with their provenance.

        Provenance comes first and files follow by renaming, so an interruption leaves either the whole artifact or
        one that counts as missing. On failure nothing stays behind and what was there before is kept.
        """
        temporary = {file: partial(file) for file in self.files}
        try:
            yield temporary
            for path in temporary.values():
                flush(path)
            digests = {self.name_of(file): sha256(path) for file, path in temporary.items()}
            record = {
                "settings": self.settings,
                "inputs": self.inputs,
                "sha256": digests,
                "objective": objective,
                "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
                "git_commit": git_commit(),
                "seconds": round(time.monotonic() - self._start, 2),
                "hardware": hardware(),
            }
            write_text(self.provenance, json.dumps(with_digest(record), indent=2) + "\n")
            for file, path in temporary.items():
                path.replace(file)
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)


def flattened(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in flattened(branch, f"{prefix}.{name}" if prefix else str(name)).items()
    }


def differences(old: Any, new: Any) -> list[str]:
    """Each key that differs, as ``key was …, now …``."""
    before, after = flattened(old), flattened(new)
    return [
        f"{key} was {before.get(key, 'absent')}, now {after.get(key, 'absent')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def git_commit() -> str | None:
    """The commit of this code, with ``+`` when files differ from it; ``None`` outside a repository."""
    if GIT is None:
        return None
    # variables of git can name commands that it runs, such as GIT_EXTERNAL_DIFF
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        described = subprocess.run(  # noqa: S603
            [GIT, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def hardware() -> dict[str, Any]:
    """What the step ran on."""
    accelerators = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    ranks = torch.distributed.get_world_size() if distributed else 1
    threads = torch.get_num_threads()
    return {"machine": platform.machine(), "threads": threads, "ranks": ranks, "accelerators": accelerators}


def weights_artifact(
    path: Path, settings: dict[str, Any], data: ImageDataModule, inputs: dict[str, str] | None = None
) -> Artifact:
    """A weights file of a study: precious, made from the images and from other inputs, given by their fingerprints."""
    inputs = {"images": data.fingerprint()} | (inputs or {})
    return Artifact([path], path.with_suffix(".json"), settings, inputs, precious=True)
