"""One classifier of a study with its images, for methods that work on one classifier after the other."""

from dataclasses import dataclass
from functools import cached_property

from omegaconf import DictConfig

from datamodules.base import ImageDataModule
from datamodules.views.poisoned import without_poison
from networks.classifier import Classifier
from study import classifiers
from study.data import make_data
from study.trainer import accelerate

BATCH = 32  # images


@dataclass(frozen=True)
class OneClassifier:
    """A classifier and its images; each is made when it is first used, and kept.

    Attributes:
        name: Name of the classifier.
        cfg: The configuration, with the classifier's labels.
        config: The classifier's own configuration.
    """

    name: str
    cfg: DictConfig
    config: DictConfig

    @cached_property
    def data(self) -> ImageDataModule:
        """The clean images, even if the classifier was trained on poisoned ones."""
        return without_poison(make_data(self.cfg, BATCH))

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier with its weights, frozen."""
        loaded = classifiers.load_classifier(self.cfg, self.config, self.data)
        accelerate(self.cfg, loaded)
        return loaded

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of images and weights."""
        weights = classifiers.weights_fingerprint(self.cfg, self.config)
        return {"images": self.data.fingerprint(), f"classifier {self.name}": weights}
