"""What Lightning trains or evaluates: one module per step of a method."""

from lightning_modules.adversarial_training import AdversarialTraining, RobustAccuracy
from lightning_modules.classifier_training import ClassifierTraining
from lightning_modules.cross_evaluation import CrossEvaluation, CrossEvaluationResult
from lightning_modules.noise_curves import NoiseCurves, NoiseCurvesResult
from lightning_modules.pretraining import Pretraining
from lightning_modules.signal_autoencoder import SignalAutoencoder
from lightning_modules.signal_statistics import SignalStatistics, SignalStatisticsResult

__all__ = [
    "AdversarialTraining",
    "ClassifierTraining",
    "CrossEvaluation",
    "CrossEvaluationResult",
    "NoiseCurves",
    "NoiseCurvesResult",
    "Pretraining",
    "RobustAccuracy",
    "SignalAutoencoder",
    "SignalStatistics",
    "SignalStatisticsResult",
]
