"""How often classifiers stay right when images are changed against them: as they are, and behind autoencoders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from lightning_modules.cross_evaluation import as_array
from lightning_modules.finiteness import check_finite
from metrics import PerImage
from networks.attacks import Bpda, Keep, Norm, image_generators, loss_gradient, pgd, project, steepest
from networks.classifier import Classifier, freeze
from stats.names import PRETRAINED

PLAIN, OWN = "plain", "own"
DEFENCES = (PLAIN, PRETRAINED, OWN)  # the classifier alone, behind A_S, and behind its own A_i
ATTACKS = ("fgsm", "pgd", "transfer", "bpda")  # plainly, the last two are pgd


@dataclass(frozen=True)
class Threat:
    """What an attacker may do to an image: change it by up to ``epsilon``, measured in ``norm``."""

    norm: Norm
    epsilon: float


@dataclass(frozen=True)
class Search:
    """How PGD searches.

    Attributes:
        steps: Number of steps.
        relative_step: Length of all steps together, in parts of epsilon.
        random_start: Whether it begins at a random place of the ball.
        seed: Decides that place, with the image's index.
    """

    steps: int
    relative_step: float
    random_start: bool
    seed: int

    def run(
        self, model: nn.Module, images: Tensor, labels: Tensor, index: Tensor, threat: Threat, keep: Keep
    ) -> Tensor:
        """What PGD makes of images ``(B, 3, H, W)`` whose positions in their split are ``index``."""
        return pgd(
            model,
            images,
            labels,
            norm=threat.norm,
            epsilon=threat.epsilon,
            step=self.relative_step * threat.epsilon / self.steps,
            steps=self.steps,
            random_start=self.random_start,
            generator=image_generators(self.seed, index),
            keep=keep,
            index=index,
        )


@dataclass(frozen=True)
class RobustnessResult:
    """Predictions, 0 or 1, on N images: C classifiers, T threats, the ``DEFENCES`` and the ``ATTACKS``.

    Attributes:
        classifiers: Their names.
        threats: Norms one after the other, epsilons ascending in each.
        index: Position of each image in its split, ``(N,)``.
        labels: The right class of each image for each classifier, ``(N, C)``.
        clean: Right on the image as it is, ``(N, C, defences)``.
        right: Right under an attack, ``(N, C, T, defences, attacks)``.
        vanishing: Whether the loss has no gradient at the image, ``(N, C, defences)``.
        transferred: Right on the images that PGD made on a classifier, ``(N, T, from C, to C)``.
    """

    classifiers: list[str]
    threats: list[Threat]
    index: np.ndarray
    labels: np.ndarray
    clean: np.ndarray
    right: np.ndarray
    vanishing: np.ndarray
    transferred: np.ndarray

    @property
    def worst(self) -> np.ndarray:
        """Right as it is and under every attack of this norm up to this epsilon, ``(N, C, T, defences)``.

        What an attack may do with a smaller budget it may do with a larger one.
        """
        worst = self.right.min(axis=-1)
        for place in range(len(self.threats)):
            before = worst[:, :, place - 1] if continues(self.threats, place) else self.clean
            worst[:, :, place] = np.minimum(worst[:, :, place], before)
        return worst


class Robustness(pl.LightningModule):
    """One pass over test images, each attacked on every classifier, plainly and behind autoencoders.

    ``fgsm`` and ``pgd`` see all of what they attack, with its gradients; ``transfer`` shows the images that PGD made
    on the plain classifier; ``bpda`` is PGD that takes the autoencoder's gradient to be the identity's. An image that
    PGD or BPDA turned within a smaller epsilon counts as turned within a larger one, and is attacked no more (of the
    plain classifier's images all are, because they are shown to the others). After ``trainer.test`` the predictions are
    in ``result``, the same for any number of ranks.

    Source: arXiv 1412.6572, 1706.06083, 1802.00420.

    Args:
        classifiers: By name.
        start: A_S.
        own: The A_i of each classifier, by its name.
        threats: Epsilons by norm.
        search: How PGD searches.
        index: Positions of the images in their split, ascending.
        complete: Whether every image must be seen; else those that were not are left out of the result.
        answers: The right class of every image of the split for each classifier, ``(images, C)``, if they were asked
            different questions; ``None`` takes the images' labels.

    Raises:
        ValueError: If no threat is given, one is out of range, or a classifier has no autoencoder; in ``test_step``,
            when an output or a gradient is not finite: names the image.
    """

    result: RobustnessResult
    answers: Tensor | None

    def __init__(
        self,
        classifiers: Mapping[str, Classifier],
        start: nn.Module,
        own: Mapping[str, nn.Module],
        threats: Mapping[Norm, Sequence[float]],
        search: Search,
        index: Sequence[int],
        complete: bool = True,
        answers: Tensor | None = None,
    ) -> None:
        super().__init__()
        if classifiers.keys() != own.keys():
            raise ValueError(f"autoencoders of {list(own)} for classifiers {list(classifiers)}: expected one for each")
        self.names, self.threats, self.search = list(classifiers), list_threats(threats), search
        self.classifiers = nn.ModuleList(freeze(classifier) for classifier in classifiers.values())
        self.start = freeze(start)
        self.own = nn.ModuleList(freeze(own[name]) for name in self.names)
        self.register_buffer("chosen", torch.tensor(index), persistent=False)
        self.register_buffer("answers", answers, persistent=False)
        count, c, t, d = len(index), len(self.names), len(self.threats), len(DEFENCES)
        shapes = {
            "seen": (), "labels": (c,), "clean": (c, d), "right": (c, t, d, len(ATTACKS)), "vanishing": (c, d),
            "transferred": (t, c, c),
        }  # fmt: skip
        self.predictions = nn.ModuleDict(
            {
                name: PerImage(count, shape, torch.long if name == "labels" else torch.uint8, complete=complete)
                for name, shape in shapes.items()
            }
        )

    def labels_of(self, column: int, labels: Tensor, index: Tensor) -> Tensor:
        """The right classes of a batch for one classifier, ``(B,)``."""
        return labels if self.answers is None else self.answers[index, column]

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Attack one batch in every way."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        place = torch.searchsorted(self.get_buffer("chosen"), index)
        with torch.autocast(images.device.type, enabled=False):  # rounding would hide gradients
            found = self.attack(images, labels, index)
        for name, metric in self.predictions.items():
            assert isinstance(metric, PerImage)
            metric.update(found[name], place)

    def on_test_epoch_end(self) -> None:
        """Put the ranks' predictions together."""
        arrays = {name: as_array(metric) for name, metric in self.predictions.items() if isinstance(metric, PerImage)}
        seen = arrays.pop("seen").astype(bool)
        index = self.get_buffer("chosen").cpu().numpy()[seen]
        self.result = RobustnessResult(
            self.names, self.threats, index, **{name: array[seen] for name, array in arrays.items()}
        )

    def attack(self, images: Tensor, labels: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The predictions on a batch, images first, by their names in :class:`RobustnessResult`."""
        own_labels = [self.labels_of(column, labels, index) for column in range(len(self.names))]
        predictions: dict[str, list[Tensor]] = {"clean": [], "right": [], "vanishing": [], "transferred": []}
        for column, (classifier, right) in enumerate(zip(self.classifiers, own_labels, strict=True)):
            made = [self.search.run(classifier, images, right, index, threat, "strongest") for threat in self.threats]
            defences = (None, self.start, self.own[column])
            defended = [self.attack_behind(part, classifier, images, right, index, made) for part in defences]
            clean, attacked, vanishing = zip(*defended, strict=True)
            predictions["clean"].append(torch.stack(clean, dim=1))
            predictions["right"].append(torch.stack(attacked, dim=2))
            predictions["vanishing"].append(torch.stack(vanishing, dim=1))
            shown = [
                torch.stack([is_right(other, adversarial, own_labels[place], index) for adversarial in made], dim=1)
                for place, other in enumerate(self.classifiers)
            ]
            predictions["transferred"].append(torch.stack(shown, dim=2))
        stacked = {
            name: torch.stack(parts, dim=2 if name == "transferred" else 1).to(torch.uint8)
            for name, parts in predictions.items()
        }
        return stacked | {"labels": torch.stack(own_labels, dim=1), "seen": torch.ones_like(index, dtype=torch.uint8)}

    def attack_behind(
        self,
        preprocessor: nn.Module | None,
        classifier: nn.Module,
        images: Tensor,
        labels: Tensor,
        index: Tensor,
        made: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predictions on a classifier behind a preprocessor, or none: clean ``(B,)``, attacked, vanishing ``(B,)``.

        Args:
            preprocessor: An autoencoder.
            classifier: What is behind it.
            images: As they are, ``(B, 3, H, W)``.
            labels: Their classes for this classifier.
            index: Their positions in the split.
            made: For each threat, what PGD made of them on the classifier alone.

        Returns:
            The attacked ones are of shape ``(B, T, attacks)``.
        """
        model = classifier if preprocessor is None else nn.Sequential(preprocessor, classifier)
        clean = is_right(model, images, labels, index)
        gradient = loss_gradient(model, images, labels, index=index)
        attacked = {"fgsm": [], "transfer": [is_right(model, adversarial, labels, index) for adversarial in made]}
        for threat in self.threats:
            stepped = images + threat.epsilon * steepest(gradient, threat.norm)
            adversarial = project(stepped, images, threat.norm, threat.epsilon)
            attacked["fgsm"].append(is_right(model, adversarial, labels, index))
        if preprocessor is None:
            attacked["pgd"] = attacked["bpda"] = nested(clean, attacked["transfer"], self.threats)
        else:
            attacked["pgd"] = self.survivors(model, clean, images, labels, index)
            through = nn.Sequential(Bpda(preprocessor), classifier)
            attacked["bpda"] = self.survivors(through, clean, images, labels, index)
        right = torch.stack([torch.stack(attacked[name], dim=1) for name in ATTACKS], dim=2)
        return clean, right, ~gradient.flatten(1).any(dim=1)

    def survivors(self, model: nn.Module, clean: Tensor, images: Tensor, labels: Tensor, index: Tensor) -> list[Tensor]:
        """For each threat, whether an image stays right under PGD at it and at the smaller ones, ``(B,)``."""
        found: list[Tensor] = []
        for place, threat in enumerate(self.threats):
            right = (found[-1] if continues(self.threats, place) else clean).clone()
            left = right.nonzero().flatten()
            adversarial = self.search.run(model, images[left], labels[left], index[left], threat, "first")
            right[left] = is_right(model, adversarial, labels[left], index[left])
            found.append(right)
        return found


def is_right(model: nn.Module, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
    """Whether a frozen model sees the right class of each image, ``(B,)``."""
    if not len(images):
        return torch.zeros(0, dtype=torch.bool, device=images.device)
    with torch.no_grad():
        logits = model(images)
    check_finite(logits, index, "an output under attack")
    right: Tensor = logits.argmax(dim=1) == labels
    return right


def list_threats(epsilons: Mapping[Norm, Sequence[float]]) -> list[Threat]:
    """Threats, ascending in each norm.

    Raises:
        ValueError: If there is none, a norm is unknown, or an epsilon is not above 0 or given twice.
    """
    for norm, values in epsilons.items():
        if norm not in get_args(Norm):
            raise ValueError(f"norm {norm!r} is unknown; choose from {', '.join(get_args(Norm))}")
        if len(set(values)) < len(values) or not all(0 < value < float("inf") for value in values):
            raise ValueError(f"the epsilons of {norm} are {list(values)}; expected different numbers above 0")
    threats = [Threat(norm, float(value)) for norm, values in epsilons.items() for value in sorted(values)]
    if not threats:
        raise ValueError("no epsilon is given: expected at least one, for linf or l2")
    return threats


def continues(threats: Sequence[Threat], place: int) -> bool:
    """Whether the threat before this one is a smaller one of the same norm."""
    return place > 0 and threats[place - 1].norm == threats[place].norm


def nested(clean: Tensor, right: Sequence[Tensor], threats: Sequence[Threat]) -> list[Tensor]:
    """For each threat, whether an image is right as it is, at this threat and at the smaller ones of its norm."""
    found: list[Tensor] = []
    for place, verdict in enumerate(right):
        found.append(verdict & (found[-1] if continues(threats, place) else clean))
    return found
