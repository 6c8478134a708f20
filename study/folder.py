"""The study folder: the only place where steps meet."""

import re
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig

from stats.names import ACCURACY, RETENTION, in_measure

CONF = Path(__file__).resolve().parents[1] / "conf"


class StudyFolder:
    """The paths of one study, and the rules by which its artifacts are kept.

    Args:
        root: The folder; made when first written to.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.pretrained = self.root / "autoencoders" / "pretrained.safetensors"
        self.cross_evaluation = self.root / "cross_evaluation"
        self.predictions = self.cross_evaluation / "predictions.npz"
        self.native_accuracy = self.cross_evaluation / "native_accuracy.csv"
        self.robust_accuracy = self.root / "robustness" / "alone.csv"
        self.order = self.root / "order"
        self.report = self.root / "report"

    @property
    def measure(self) -> str:
        """What the share of right predictions is called in this study: with decisions as labels, retention."""
        return RETENTION if (self.root / "decisions").is_dir() else ACCURACY

    @property
    def accuracy(self) -> Path:
        """The matrix of accuracies, or retentions."""
        return self.cross_evaluation / in_measure("accuracy.csv", self.measure)

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


def seeded(name: str, seed: int) -> str:
    """A name that tells seeds apart; seed 0 has the plain name."""
    return f"{name}-seed{seed}" if seed else name


def study_folder(cfg: DictConfig) -> StudyFolder:
    """The folder that ``studies`` and ``study`` name."""
    return StudyFolder(Path(cfg.studies) / str(cfg.study))


def classifier_file(cfg: DictConfig, name: str) -> Path:
    """Where the weights of a classifier that is trained here are kept: in this study, or in one that shares them."""
    return StudyFolder(Path(cfg.studies) / str(cfg.classifiers_from)).classifier(name)


def run_folder(folder: Path) -> str:
    """The override that gives a job its folder, whatever quotes its path has."""
    return f"hydra.run.dir={QuotedString(str(folder), Quote.single).with_quotes()}"
