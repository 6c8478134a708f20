"""Settings of the steps that train networks."""

from dataclasses import MISSING, dataclass
from typing import Any

from study.settings.fields import Settings, resolved, setting

BATCH = "images of an optimiser step, over all devices"
AUGMENTATION = "crop_flip, or paper: also scale, rotation, shift, noise, blur, brightness, contrast, colour"
SCHEDULE = "learning-rate schedule; plateau: × 0.2 after ten checks without improvement"
OPTIMIZER = "class of torch.optim and its arguments"
EPOCHS = "passes over the training images; 0 only measures"
AUGMENTATIONS = ("crop_flip", "paper")
SCHEDULES = ("constant", "one_cycle", "plateau")
NUMBERS = {"lr": 0.0, "weight_decay": 0.0, "momentum": 0.0, "eps": 0.0}


def optimizer(target: str, lr: float, **arguments: float) -> Any:
    """A field that holds an optimiser of torch.optim."""
    return setting({"_target_": f"torch.optim.{target}", "_partial_": True, "lr": lr, **arguments}, OPTIMIZER)


def augmentation() -> Any:
    """A field that holds the name of an augmentation."""
    return setting("crop_flip", AUGMENTATION, choices=AUGMENTATIONS)


def schedule() -> Any:
    """A field that holds the name of a learning-rate schedule."""
    return setting("one_cycle", SCHEDULE, choices=SCHEDULES)


def check_optimizer(node: Any, key: str) -> None:
    """Refuse an optimiser without a target, or with numbers that no optimiser takes.

    Raises:
        ValueError: Names the key.
    """
    if not isinstance(node.get("_target_"), str) or node.get("_partial_") is not True:
        raise ValueError(f"{key}={dict(node)}: give _target_, as torch.optim.SGD, and _partial_: true")
    for name, low in NUMBERS.items():
        value = node.get(name, low)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < float("inf"):
            raise ValueError(f"{key}.{name}={value}: give a number from {low:g} on")


@dataclass
class Attack(Settings):
    """Projected gradient descent within a budget (arXiv 1706.06083)."""

    norm: str = setting(MISSING, "of any pixel value, or the Euclidean length over all values", choices=("linf", "l2"))
    epsilon: float = setting(MISSING, "largest change, for pixels in [0, 1]; 0.03137 is 8/255", low=0)
    steps: int = setting(10, "gradient steps", low=1)
    relative_step: float = setting(2.5, "length of all steps together, in parts of epsilon", above=0)
    random_start: bool = setting(True, "whether to begin at a random position of the ball around the image")


class Optimized(Settings):
    """Settings of which ``optimizer`` is an optimiser."""

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the optimiser."""
        check_optimizer(node.optimizer, f"{key}.optimizer")


@dataclass
class TrainClassifier(Optimized):
    """One classifier, trained on the images of the study."""

    epochs: int = setting(90, EPOCHS, low=0)
    augmentation: str = augmentation()
    batch_size: int = setting(32, BATCH, low=1)
    schedule: str = schedule()
    label_smoothing: float = setting(0.1, "share of the target spread over all classes", low=0, below=1)
    adversary: Any = setting(None, "trains on attacked images: {norm: linf, epsilon: 0.03137, …}, or null")
    optimizer: dict[str, Any] = optimizer("AdamW", 2e-3, weight_decay=0.05)

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the optimiser and the adversary."""
        super().check(node, key)
        if node.adversary is not None:
            resolved(node.adversary, Attack, f"{key}.adversary")


@dataclass
class Pruned(Optimized):
    """Training of the weights that are left after pruning."""

    epochs: int = setting(15, EPOCHS, low=0)
    schedule: str = schedule()
    optimizer: dict[str, Any] = optimizer("AdamW", 5e-4, weight_decay=0.05)


@dataclass
class Distilled(Pruned):
    """Training of the student."""

    epochs: int = setting(90, EPOCHS, low=0)
    optimizer: dict[str, Any] = optimizer("AdamW", 2e-3, weight_decay=0.05)


@dataclass
class Compress(Settings):
    """A smaller classifier, from the weights of one of the study."""

    batch_size: int = setting(32, BATCH, low=1)
    augmentation: str = augmentation()
    pruned: Pruned = setting(Pruned(), "training after pruning")
    distilled: Distilled = setting(Distilled(), "training of a student")


@dataclass
class Pretrain(Optimized):
    """A_S: the autoencoder that all others start from, trained by mean squared error."""

    epochs: int = setting(40, EPOCHS, low=0)
    images: int | None = setting(None, "budget in images, instead of epochs", low=1)
    check_every: int = setting(100_000, "images between two loss checks, with a budget", low=1)
    augmentation: str = augmentation()
    batch_size: int = setting(16, BATCH, low=1)
    schedule: str = schedule()
    second_start: bool = setting(False, "a control: A_S trained once more, with the next seed")
    optimizer: dict[str, Any] = optimizer("Adam", 5e-3)


@dataclass
class Finetune(Optimized):
    """A_i: A_S trained on through one frozen classifier by the loss of that classifier."""

    epochs: int = setting(8, EPOCHS, low=0)
    augmentation: str = augmentation()
    batch_size: int = setting(16, BATCH, low=1)
    trained: str = setting("decoder", "part of the autoencoder that is trained", choices=("decoder", "encoder", "both"))
    schedule: str = schedule()
    anchor: float = setting(0.0, "weight of the mean squared error beside the cross-entropy", low=0)
    energy: float = setting(0.0, "weight of the mean square of the reconstruction: unused content fades", low=0)
    rate: float = setting(0.0, "weight of the rate of the code, in nats per image (arXiv 1612.00410)", low=0)
    tolerance: float | None = setting(
        None, "cross-entropy, in nats, at which the weight of the rate has fallen to 0; null: constant", above=0
    )
    noise: float = setting(0.0, "largest standard deviation of noise before the classifier, pixels in [0, 1]", low=0)
    shift: int = setting(0, "largest random shift before the classifier, in pixels", low=0)
    siblings: int = setting(0, "classifiers with other initial weights that share the loss", low=0)
    extra_training: bool = setting(False, "a control: trains A_S on for as long, without a classifier")
    optimizer: dict[str, Any] = optimizer("Adam", 1e-3)

    @classmethod
    def check(cls, node: Any, key: str) -> None:
        """Check the optimiser, and that the encoder learns where the rate has a weight."""
        super().check(node, key)
        if node.rate and node.trained == "decoder":
            raise ValueError(f"{key}.rate={node.rate} needs an encoder that learns: use {key}.trained=both")
