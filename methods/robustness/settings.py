"""Settings of ``task=robustness``."""

from dataclasses import dataclass

from study.settings.fields import Settings, setting
from study.settings.training import Attack


@dataclass
class Alone(Settings):
    """Accuracy of classifiers alone on all test images, as they are and attacked."""

    batch_size: int = setting(64, "images of a batch, over all devices", low=1)
    attack: Attack = setting(Attack(norm="linf", epsilon=0.01569, steps=20), "the same for all classifiers; 4/255")


@dataclass
class Epsilons(Settings):
    """Largest changes of the pixels in [0, 1], by norm."""

    linf: list[float] = setting(
        [0.00784, 0.01569, 0.03137], "of any pixel value: 2, 4 and 8 of 255 grey levels", above=0, unique=True
    )
    l2: list[float] = setting([0.25, 0.5, 1.0], "Euclidean length over all values", above=0, unique=True)


@dataclass
class Robustness(Settings):
    """Accuracy under attack: of classifiers alone, and behind A_S and the A_i of each."""

    alone: Alone = setting(Alone(), "classifiers alone")
    batch_size: int = setting(48, "images of a batch, over all devices", low=1)
    images: int | None = setting(30, "test images, stratified by class; null: all", low=1)
    epsilons: Epsilons = setting(Epsilons(), "largest changes")
    steps: int = setting(10, "steps of PGD", low=1)
    relative_step: float = setting(2.5, "length of all steps together, in parts of epsilon", above=0)
    random_start: bool = setting(True, "whether to begin at a random position of the ball around the image")

    @classmethod
    def check(cls, node: "Robustness", key: str) -> None:
        """Check that there is an epsilon."""
        if not node.epsilons.linf and not node.epsilons.l2:
            raise ValueError(f"{key}.epsilons: give one of linf or l2 at least")
