"""Modules with the usual options, of which a test changes some."""

from typing import Any

from lightning_modules.classifier_training import ClassifierTraining
from lightning_modules.optimization import OptimizerFactory
from lightning_modules.pretraining import Pretraining
from lightning_modules.signal_autoencoder import SignalAutoencoder
from networks.attacks import PgdAttack
from networks.classifier import Classifier
from networks.norm_balls import Norm
from networks.segnet import SegNet

CLASSES = 6
PUBLISHED: dict[str, Any] = {
    "schedule": "one_cycle", "trained": "decoder", "nmi_bins": 16, "anchor": 0.0, "energy": 0.0, "rate": 0.0,
    "tolerance": None, "noise": 0.0, "shift": 0, "siblings": (),
    "targets": "labels", "least_confidence": 0.0,
}  # fmt: skip


def signal_autoencoder(
    autoencoder: SegNet, classifier: Classifier, make_optimizer: OptimizerFactory, **options: Any
) -> SignalAutoencoder:
    """Fine-tuning with the published objective, but for ``options``."""
    return SignalAutoencoder(autoencoder, classifier, make_optimizer, **PUBLISHED | options)


def classifier_training(classifier: Classifier, make_optimizer: OptimizerFactory) -> ClassifierTraining:
    """Plain training, one cycle long."""
    return ClassifierTraining(classifier, make_optimizer, "one_cycle", label_smoothing=0.0)


def pretraining(autoencoder: SegNet, make_optimizer: OptimizerFactory, schedule: Any = "one_cycle") -> Pretraining:
    """Training of a whole autoencoder."""
    return Pretraining(autoencoder, make_optimizer, schedule, "both")


def pgd_attack(norm: Norm, epsilon: float, steps: int = 10, random_start: bool = True) -> PgdAttack:
    """Steps of 2.5 epsilon together, as arXiv 1706.06083 has them."""
    return PgdAttack(norm, epsilon, steps, 2.5, random_start)
