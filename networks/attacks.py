"""Small changes to images that make a classifier wrong: FGSM, PGD, and attacks through what has no useful gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks.classifier import frozen
from networks.norm_balls import Generators, Norm, project, random_offsets, steepest

Keep = Literal["strongest", "first", "last"]


class NotFiniteError(ValueError):
    """A network under attack has a loss or a gradient that is NaN or infinite."""


@dataclass(frozen=True)
class ThreatModel:
    """How far an attacker may change an image.

    Attributes:
        norm: How a change is measured: the largest of any value (``linf``), or the Euclidean length of all (``l2``).
        epsilon: Largest change, for pixels in [0, 1]; 0 changes nothing.

    Raises:
        ValueError: If the norm is unknown, or epsilon is negative or not finite.
    """

    norm: Norm
    epsilon: float

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm={self.norm!r} is unknown; choose {' or '.join(get_args(Norm))}")
        if not 0 <= self.epsilon < float("inf"):
            raise ValueError(f"epsilon={self.epsilon!r}; give a number from 0 on, as 0.03137 for 8/255")


@dataclass(frozen=True)
class PgdAttack(ThreatModel):
    """Projected gradient descent within a threat model: the attack of adversarial training and of every test.

    Attributes:
        steps: Number of steps.
        relative_step: Length of all steps together, as a multiple of epsilon.
        random_start: Whether to begin at a random point of the ball around the image.

    Source: arXiv 1706.06083, section 2.1.
    """

    steps: int
    relative_step: float
    random_start: bool

    def run(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        keep: Keep,
        generator: Generators = None,
        index: Tensor | None = None,
    ) -> Tensor:
        """Attack images ``(N, 3, H, W)``; arguments and result are those of :func:`pgd`."""
        if not self.epsilon:
            return images
        step = self.relative_step * self.epsilon / self.steps
        return pgd(
            model, images, labels, norm=self.norm, epsilon=self.epsilon, step=step, steps=self.steps,
            random_start=self.random_start, generator=generator, keep=keep, index=index,
        )  # fmt: skip


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    *,
    norm: Norm,
    index: Tensor | None = None,
) -> Tensor:
    """The fast gradient sign method: one step of length ``epsilon`` up the loss.

    Args:
        model: From images to logits ``(N, classes)``.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        labels: The right class of each image, shape ``(N,)``.
        epsilon: Length of the step, see :class:`ThreatModel`.
        norm: See :class:`ThreatModel`; in ``l2`` the step follows the gradient itself instead of its sign.
        index: The number that errors name each image by; its position in the batch if ``None``.

    Returns:
        Images in [0, 1] within ``epsilon`` of ``images``, of the same shape.

    Raises:
        ValueError: If an argument is out of range, or a gradient is not finite; names the image.

    Source: arXiv 1412.6572, section 4.
    """
    _check(images, labels, norm, epsilon)
    if epsilon == 0:
        return images.clone()
    gradient = loss_gradient(model, images, labels, index=index)
    return project(images + epsilon * steepest(gradient, norm), images, norm, epsilon)


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: Norm,
    epsilon: float,
    step: float,
    steps: int,
    random_start: bool,
    generator: Generators = None,
    keep: Keep = "strongest",
    index: Tensor | None = None,
) -> Tensor:
    """Projected gradient descent: steps up the loss, each followed by a projection into the ball around the image.

    During the attack the model is in eval mode and its parameters get no gradient; both are restored afterwards.

    Args:
        model: From images to logits ``(N, classes)``.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        labels: The right class of each image, shape ``(N,)``.
        norm: See :class:`ThreatModel`.
        epsilon: See :class:`ThreatModel`.
        step: Length of a step, in the same norm.
        steps: Number of steps.
        random_start: Whether to begin at a random point of the ball instead of its centre.
        generator: Source of that point: one for the batch, or one for each image
            (:func:`networks.seeding.image_generators`), so that an image's start does not depend on its batch.
        keep: Which iterate is returned; the start counts as one. ``strongest``: a misclassified one if there is any,
            and among these the one of the highest loss. ``first``: the first misclassified one, where the search for
            this image ends. ``last``: the last one, as in adversarial training.
        index: The number that errors name each image by; its position in the batch if ``None``.

    Returns:
        Images in [0, 1] within ``epsilon`` of ``images``, of the same shape.

    Raises:
        ValueError: If an argument is out of range, or a loss or gradient is not finite; names the image.

    Source: arXiv 1706.06083, section 2.1.
    """
    _check(images, labels, norm, epsilon)
    if steps < 1 or not step > 0:
        raise ValueError(f"steps={steps}, step={step}; expected at least one step of a length above 0")
    if keep not in get_args(Keep):
        raise ValueError(f"keep={keep!r}; expected one of {', '.join(get_args(Keep))}")
    images = images.detach()
    if epsilon == 0 or not len(images):
        return images.clone()
    current = images
    if random_start:
        current = project(images + random_offsets(images, norm, epsilon, generator), images, norm, epsilon)
    best = current.clone()
    highest = torch.full((len(images),), -torch.inf, device=images.device)
    fooled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    searched = torch.arange(len(images), device=images.device)
    names = searched if index is None else index
    with frozen(model):
        for number in range(steps + 1):  # the last pass only evaluates the last iterate
            if number == steps and keep == "last":
                return current
            loss, wrong, gradient = _evaluate(
                model, current, labels[searched], names[searched], with_gradient=number < steps, stop=keep == "first"
            )
            better = (wrong & ~fooled[searched]) | ((wrong == fooled[searched]) & (loss > highest[searched]))
            improved = searched[better]
            best[improved], highest[improved], fooled[improved] = current[better], loss[better], wrong[better]
            if keep == "first":
                searched, current, gradient = searched[~wrong], current[~wrong], gradient[~wrong]
            if number == steps or not len(searched):
                break
            current = project(current + step * steepest(gradient, norm), images[searched], norm, epsilon)
    return best


def loss_gradient(model: nn.Module, images: Tensor, labels: Tensor, *, index: Tensor | None = None) -> Tensor:
    """Gradient of each image's cross-entropy with respect to its pixels, of the shape of ``images``.

    Where it is zero everywhere, gradients cannot attack the image, which does not mean that nothing can (arXiv
    1802.00420, section 3).

    Args:
        model: From images to logits ``(N, classes)``; in eval mode during the call.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        labels: The right class of each image, shape ``(N,)``.
        index: The number that errors name each image by; its position in the batch if ``None``.

    Raises:
        ValueError: If a loss or gradient is not finite; names the image.
    """
    names = torch.arange(len(images), device=images.device) if index is None else index
    with frozen(model):
        return _evaluate(model, images.detach(), labels, names, with_gradient=True, stop=False)[2]


class Bpda(nn.Module):
    """A preprocessor in front of a classifier that passes gradients on unchanged, as the identity would.

    Attacks get past the preprocessor even where its true gradient is zero or misleading.

    Source: arXiv 1802.00420, section 4.1 (backward pass differentiable approximation).

    Args:
        preprocessor: From images to images of the same shape.
    """

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor

    def forward(self, images: Tensor) -> Tensor:
        """The preprocessor's output for images ``(N, 3, H, W)``; gradients pass unchanged."""
        with torch.no_grad():
            processed = self.preprocessor(images)
        if processed.shape != images.shape:
            raise ValueError(f"images {tuple(images.shape)} became {tuple(processed.shape)}; expected equal shapes")
        return _StraightThrough.apply(images, processed)


class _StraightThrough(torch.autograd.Function):
    """Forward the second argument, backward to the first."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, processed: Tensor) -> Tensor:
        return processed.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


# The tests hold a slow literal version of each (tests/replicas.py)
ATTACKS: dict[str, Callable[..., Any]] = {"fgsm": fgsm, "pgd": pgd, "bpda": Bpda}


def _evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, names: Tensor, with_gradient: bool, stop: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, whether the prediction is wrong, and gradient of each image.

    The gradient is zero without ``with_gradient``, and with ``stop`` also for images that are misclassified already.
    """
    with torch.inference_mode(False), torch.set_grad_enabled(with_gradient):  # also within Lightning's trainer.test
        # Clones, because tensors made in inference mode cannot take part in a backward pass
        pixels = images.clone().requires_grad_(with_gradient)
        logits = model(pixels)
        losses = F.cross_entropy(logits.float(), labels.clone(), reduction="none")  # bf16 has too few levels to compare
        wrong = logits.detach().argmax(dim=1) != labels
        used = losses[~wrong] if stop else losses
        gradient = torch.zeros_like(images)
        if with_gradient and len(used):
            [gradient] = torch.autograd.grad(used.sum(), pixels)
    broken = ~(torch.isfinite(losses.detach()) & torch.isfinite(gradient).flatten(1).all(dim=1))
    if broken.any():
        raise NotFiniteError(
            f"the loss or its gradient is not finite for image {int(names[broken][0])}: the weights are broken"
        )
    return losses.detach(), wrong, gradient


def _check(images: Tensor, labels: Tensor, norm: Norm, epsilon: float) -> None:
    ThreatModel(norm, epsilon)  # refuses both if they are wrong
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{len(images)} images have labels of shape {tuple(labels.shape)}; expected one for each")
    if images.numel():
        low, high = (float(bound) for bound in images.detach().aminmax())
        if not (low >= 0 and high <= 1):  # in this form the comparison also refuses NaN
            raise ValueError(f"images have values from {low:g} to {high:g}; expected finite ones in [0, 1]")
