"""The study folder: the only place where steps meet. Whole files only, each with where it came from."""

import hashlib
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "scikit-image")
REPOSITORY = Path(__file__).resolve().parents[1]


class StudyFolder:
    """The paths of one study, and the rules by which its artifacts are kept.

    Args:
        root: The folder; made when first written to.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.pretrained = self.root / "autoencoders" / "pretrained.safetensors"
        self.cross_evaluation = self.root / "cross_evaluation"
        self.accuracy = self.cross_evaluation / "accuracy.csv"
        self.predictions = self.cross_evaluation / "predictions.npz"
        self.native_accuracy = self.cross_evaluation / "native_accuracy.csv"
        self.robust_accuracy = self.root / "robust_accuracy.csv"
        self.order = self.root / "order"
        self.report = self.root / "report"

    def classifier(self, name: str) -> Path:
        """Weights of a classifier trained in this study."""
        return self.root / "classifiers" / f"{name}.safetensors"

    def autoencoder(self, name: str, seed: int = 0) -> Path:
        """Weights of the autoencoder fine-tuned through a classifier with a seed."""
        return self.root / "autoencoders" / f"{seeded(name, seed)}.safetensors"

    def control(self, name: str) -> Path:
        """Weights of an autoencoder that is a control."""
        return self.root / "autoencoders" / f"{name}.safetensors"

    def autoencoders(self, name: str) -> dict[int, Path]:
        """Every autoencoder that was fine-tuned through a classifier, by its seed."""
        pattern = re.compile(re.escape(name) + r"(?:-seed(\d+))?\.safetensors")
        files = self.pretrained.parent.glob("*.safetensors")
        seeds = {int(match.group(1) or 0): path for path in files if (match := pattern.fullmatch(path.name))}
        return dict(sorted(seeds.items()))

    def job(self, task: str, classifier: str | None = None, seed: int = 0) -> Path:
        """Where a step keeps its log."""
        return self.root / "jobs" / seeded(task if classifier is None else f"{task}-{classifier}", seed)


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
        self.settings = json.loads(json.dumps(settings))  # as it will be read back
        self.inputs = dict(inputs)
        self._start = time.monotonic()

    def exists(self) -> bool:
        """Whether the artifact is there, whole, and made with these settings from these inputs.

        Raises:
            ValueError: If it is there but was made with other settings, is damaged, or (when precious) was made from
                other inputs or has no provenance; says which, and what to do.
        """
        if not all(file.exists() for file in self.files):
            return False
        first = self.files[0]
        if not self.provenance.exists():
            if self.precious:
                raise ValueError(f"{first} has no {self.provenance.name} beside it: move it away to make it here")
            return False
        try:
            record = json.loads(self.provenance.read_text())
            made = (record["settings"], record["inputs"], record["sha256"])
        except (ValueError, KeyError) as error:
            raise ValueError(f"{self.provenance} is damaged: remove it and {first} to make them again") from error
        settings, inputs, digests = made
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
        whole = all(sha256(file) == digests.get(file.name) for file in self.files)
        if not whole and self.precious:
            raise ValueError(f"{first} is damaged or was changed after it was made: remove it to make it again")
        return whole

    @property
    def identity(self) -> str:
        """A hash of settings and inputs."""
        return hashlib.sha256(json.dumps([self.settings, self.inputs]).encode()).hexdigest()

    def objective(self) -> float:
        """The objective noted when the artifact was made."""
        return float(json.loads(self.provenance.read_text())["objective"])

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
            digests = {file.name: sha256(path) for file, path in temporary.items()}
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
            write_text(self.provenance, json.dumps(record, indent=2) + "\n")
            for file, path in temporary.items():
                path.replace(file)
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)


def seeded(name: str, seed: int) -> str:
    """A name that tells seeds apart; seed 0 has the plain name."""
    return f"{name}-seed{seed}" if seed else name


def partial(path: Path) -> Path:
    """A temporary path in the same folder, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.stem}.partial{path.suffix}")


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
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],  # noqa: S607
            cwd=REPOSITORY,
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
    return {"machine": platform.machine(), "threads": torch.get_num_threads(), "accelerators": accelerators}
