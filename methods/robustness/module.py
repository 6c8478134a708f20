"""Accuracy of classifiers under attack: of the classifier alone, and behind autoencoders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.adversarial_training import is_right
from lightning_modules.image_test import ImageTest
from lightning_modules.per_image_results import PerImageResults, stacked
from networks.attacks import Bpda, Keep, PgdAttack, ThreatModel, loss_gradient
from networks.classifier import Classifier
from networks.norm_balls import Norm, project, steepest
from networks.seeding import image_generators
from stats.names import PRETRAINED

PLAIN, OWN = "plain", "own"
DEFENCES = (PLAIN, PRETRAINED, OWN)  # the classifier alone, behind A_S, and behind its A_i
Batch = tuple[Tensor, Tensor, Tensor]  # images, labels, index
ATTACKS = ("fgsm", "pgd", "transfer", "bpda")  # without a defence, the last two are the same as pgd


@dataclass(frozen=True)
class RobustnessResult:
    """Predictions on N images, booleans: C classifiers, T threats, the ``DEFENCES`` and the ``ATTACKS``.

    Attributes:
        classifiers: Their names.
        threats: Threat models, norm by norm, epsilons ascending in each norm.
        index: Position of each image in its split, ``(N,)``.
        labels: The right class of each image for each classifier, ``(N, C)``.
        clean: Right on the original image, ``(N, C, defences)``.
        right: Right under each attack, ``(N, C, T, defences, attacks)``.
        vanishing: Whether the loss has no gradient at the image, ``(N, C, defences)``.
        transferred: Right on the images that PGD made on a classifier, ``(N, T, from C, to C)``.
    """

    classifiers: list[str]
    threats: list[ThreatModel]
    index: np.ndarray
    labels: np.ndarray
    clean: np.ndarray
    right: np.ndarray
    vanishing: np.ndarray
    transferred: np.ndarray

    @property
    def worst(self) -> np.ndarray:
        """Right on the original and under every attack of this norm up to this epsilon, ``(N, C, T, defences)``.

        A change within a smaller epsilon is also within a larger one, so a success within the smaller one counts.
        """
        worst = self.right.min(axis=-1)
        for number in range(len(self.threats)):
            worst[:, :, number] &= worst[:, :, number - 1] if continues(self.threats, number) else self.clean
        return worst


class Robustness(ImageTest):
    """One pass over test images: each is attacked for every classifier, alone and behind autoencoders.

    ``fgsm`` and ``pgd`` use the gradients of everything they attack. ``transfer`` shows images that PGD made for the
    classifier alone. ``bpda`` is PGD with the autoencoder's gradient replaced by that of the identity. PGD and BPDA
    behind an autoencoder skip an image that they changed successfully within a smaller epsilon, and count it as
    misclassified. PGD on the classifier alone runs for every epsilon, because ``transfer`` shows its images to
    autoencoders and other classifiers. After ``trainer.test`` the predictions are in ``result``, the same for any
    number of ranks.

    Source: arXiv 1412.6572, 1706.06083, 1802.00420.

    Args:
        classifiers: By name.
        start: A_S.
        fine_tuned: The A_i of each classifier, by the classifier's name.
        attacks: PGD for each threat model, as :func:`pgd_attacks` makes them.
        index: Positions of the images in their split, ascending.
        seed: Decides random starts, together with an image's index.
        complete: Whether every image must be seen; otherwise images that were not seen are left out of the result.
        targets: The right class of every image of the split for each classifier, ``(images, C)``, if classifiers have
            labels of their own; ``None`` takes the images' labels.

    Raises:
        ValueError: If a classifier has no autoencoder; in ``measure``, when an output or a gradient is not finite:
            names the image.
    """

    result: RobustnessResult
    targets: Tensor | None

    def __init__(
        self,
        classifiers: Mapping[str, Classifier],
        start: nn.Module,
        fine_tuned: Mapping[str, nn.Module],
        attacks: Sequence[PgdAttack],
        index: Sequence[int],
        *,
        seed: int,
        complete: bool = True,
        targets: Tensor | None = None,
    ) -> None:
        super().__init__()
        if classifiers.keys() != fine_tuned.keys():
            raise ValueError(
                f"autoencoders of {list(fine_tuned)} for classifiers {list(classifiers)}: expected one for each"
            )
        self.names, self.attacks, self.seed = list(classifiers), list(attacks), seed
        self.classifiers = nn.ModuleList(classifiers.values())
        self.start = start
        self.fine_tuned = nn.ModuleList(fine_tuned[name] for name in self.names)
        self.freeze_parts("classifiers", "start", "fine_tuned")
        self.register_buffer("targets", targets, persistent=False)
        c, t, d = len(self.names), len(self.attacks), len(DEFENCES)
        self.results = PerImageResults(
            index,
            complete,
            labels=((c,), torch.long),
            clean=((c, d), torch.uint8),
            right=((c, t, d, len(ATTACKS)), torch.uint8),
            vanishing=((c, d), torch.uint8),
            transferred=((t, c, c), torch.uint8),
        )

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Attack one batch in every way."""
        with torch.autocast(images.device.type, enabled=False):  # rounding would hide gradients
            predictions = self.attacked(images, labels, index)
        self.results.update(index, **predictions)

    def on_test_epoch_end(self) -> None:
        """Put the ranks' predictions together."""
        index, predictions = self.results.compute()
        labels = predictions.pop("labels")
        threats = [ThreatModel(attack.norm, attack.epsilon) for attack in self.attacks]
        # they were collected as integers, because booleans have no sum over ranks
        right = {name: values.astype(bool) for name, values in predictions.items()}
        self.result = RobustnessResult(self.names, threats, index, labels, **right)

    def attacked(self, images: Tensor, labels: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The predictions on a batch, images first, by their names in :class:`RobustnessResult`."""
        targets = labels[:, None].expand(-1, len(self.names)) if self.targets is None else self.targets[index]
        labels_of = targets.unbind(dim=1)
        rows = []
        for column, (classifier, right) in enumerate(zip(self.classifiers, labels_of, strict=True)):
            adversarial = [self.run(attack, classifier, images, right, index, "strongest") for attack in self.attacks]
            defences = (None, self.start, self.fine_tuned[column])
            behind = [self.attack_behind(part, classifier, (images, right, index), adversarial) for part in defences]
            clean, attacked, vanishing = zip(*behind, strict=True)
            shown = [
                torch.stack([is_right(other, changed, others_labels, index) for changed in adversarial], dim=1)
                for other, others_labels in zip(self.classifiers, labels_of, strict=True)
            ]
            rows.append({
                "clean": torch.stack(clean, dim=1),
                "right": torch.stack(attacked, dim=2),
                "vanishing": torch.stack(vanishing, dim=1),
                "transferred": torch.stack(shown, dim=2),
            })  # fmt: skip
        predictions = stacked(rows)
        predictions["transferred"] = predictions["transferred"].transpose(1, 2)  # the threat models before the sources
        return predictions | {"labels": targets}

    def attack_behind(
        self, preprocessor: nn.Module | None, classifier: nn.Module, batch: Batch, transferred: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predictions of a classifier behind a preprocessor, or alone.

        Args:
            preprocessor: An autoencoder, or ``None``.
            classifier: Classifies the preprocessor's output.
            batch: The original images ``(B, 3, H, W)``, their right classes for this classifier, and their positions in
                the split.
            transferred: For each threat model, the images that PGD made for the classifier alone.

        Returns:
            Right on the original images ``(B,)``; right under attack ``(B, T, attacks)``; whether the loss has no
            gradient ``(B,)``.
        """
        images, labels, index = batch
        model = classifier if preprocessor is None else nn.Sequential(preprocessor, classifier)
        clean = is_right(model, images, labels, index)
        # One gradient for all threat models of FGSM, which differ in the step alone
        gradient = loss_gradient(model, images, labels, index=index)
        right = {"fgsm": [], "transfer": [is_right(model, changed, labels, index) for changed in transferred]}
        for threat in self.attacks:
            stepped = images + threat.epsilon * steepest(gradient, threat.norm)
            changed = project(stepped, images, threat.norm, threat.epsilon)
            right["fgsm"].append(is_right(model, changed, labels, index))
        if preprocessor is None:
            right["pgd"] = right["bpda"] = nested(clean, right["transfer"], self.attacks)
        else:
            right["pgd"] = self.survivors(model, clean, images, labels, index)
            through = nn.Sequential(Bpda(preprocessor), classifier)
            right["bpda"] = self.survivors(through, clean, images, labels, index)
        stacked = torch.stack([torch.stack(right[name], dim=1) for name in ATTACKS], dim=2)
        return clean, stacked, ~gradient.flatten(1).any(dim=1)

    def survivors(self, model: nn.Module, clean: Tensor, images: Tensor, labels: Tensor, index: Tensor) -> list[Tensor]:
        """For each threat model, whether an image stays right under PGD with it and with smaller epsilons, ``(B,)``."""
        right: list[Tensor] = []
        for number, attack in enumerate(self.attacks):
            still = (right[-1] if continues(self.attacks, number) else clean).clone()
            left = still.nonzero().flatten()
            adversarial = self.run(attack, model, images[left], labels[left], index[left], "first")
            still[left] = is_right(model, adversarial, labels[left], index[left])
            right.append(still)
        return right

    def run(
        self, attack: PgdAttack, model: nn.Module, images: Tensor, labels: Tensor, index: Tensor, keep: Keep
    ) -> Tensor:
        """Adversarial images, from random starts that depend on the seed and each image's index alone."""
        generators = image_generators(self.seed, index)
        return attack.run(model, images, labels, keep=keep, generator=generators, index=index)


def pgd_attacks(
    epsilons: Mapping[Norm, Sequence[float]], steps: int, relative_step: float, random_start: bool
) -> list[PgdAttack]:
    """PGD for each threat model, epsilons ascending in each norm.

    Args:
        epsilons: By norm.
        steps: See :class:`~networks.attacks.PgdAttack`.
        relative_step: See :class:`~networks.attacks.PgdAttack`.
        random_start: See :class:`~networks.attacks.PgdAttack`.
    """
    return [
        PgdAttack(norm, epsilon, steps, relative_step, random_start)
        for norm, values in epsilons.items()
        for epsilon in map(float, sorted(values))
    ]


def continues(threats: Sequence[ThreatModel], number: int) -> bool:
    """Whether the threat model before this one is a smaller one of the same norm."""
    return number > 0 and threats[number - 1].norm == threats[number].norm


def nested(clean: Tensor, right: Sequence[Tensor], threats: Sequence[ThreatModel]) -> list[Tensor]:
    """For each threat model, whether an image is right as it is, under it and under the smaller ones of its norm."""
    nested_right: list[Tensor] = []
    for number, each in enumerate(right):
        nested_right.append(each & (nested_right[-1] if continues(threats, number) else clean))
    return nested_right
