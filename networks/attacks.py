"""Small changes to images that make a classifier wrong: FGSM, PGD, and attacks through what has no useful gradient."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["linf", "l2"]
Keep = Literal["strongest", "first", "last"]
Generators = torch.Generator | Sequence[torch.Generator] | None


class NotFiniteError(ValueError):
    """A network under attack has a loss or a gradient that is no number."""


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float,
    *,
    norm: Norm = "linf",
    index: Tensor | None = None,
) -> Tensor:
    """The fast gradient sign method: one step of length ``epsilon`` up the loss.

    Args:
        model: From images to logits ``(N, classes)``.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        labels: The right classes, shape ``(N,)``.
        epsilon: Largest change: of any value (``linf``), or the Euclidean length over all values (``l2``, where the
            step follows the gradient itself).
        norm: How the change is measured.
        index: What errors call each image; its place in the batch if ``None``.

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
    """Projected gradient descent: steps up the loss, each followed by the way back into the ball around the image.

    The model is in eval mode meanwhile and its parameters get no gradient; both are as before afterwards.

    Args:
        model: From images to logits ``(N, classes)``.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        labels: The right classes, shape ``(N,)``.
        norm: How the change is measured, as for :func:`fgsm`.
        epsilon: Largest change, as for :func:`fgsm`.
        step: Length of a step, in the same norm.
        steps: Number of steps.
        random_start: Whether to begin at a random place of the ball instead of its centre.
        generator: Source of that place: one for the batch, or one for each image, as :func:`image_generators` makes
            them, so that an image's start does not depend on the batch it is in.
        keep: Which iterate is returned, the start among them: per image the ``strongest`` (a wrong one before a right
            one, then the highest loss); the ``first`` that is wrong, after which no more work is spent on the image;
            or the ``last``, as adversarial training wants it.
        index: What errors call each image; its place in the batch if ``None``.

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
        for number in range(steps + 1):
            if number == steps and keep == "last":
                return current
            loss, wrong, gradient = _look(
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
        model: From images to logits ``(N, classes)``; in eval mode meanwhile.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        labels: The right classes, shape ``(N,)``.
        index: What errors call each image; its place in the batch if ``None``.

    Raises:
        ValueError: If a loss or gradient is not finite; names the image.
    """
    names = torch.arange(len(images), device=images.device) if index is None else index
    with frozen(model):
        return _look(model, images.detach(), labels, names, with_gradient=True, stop=False)[2]


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The change of length 1 along which the loss rises fastest, per image; zero where the gradient is.

    Args:
        gradient: Shape ``(N, ...)``.
        norm: In which the length is measured.
    """
    if norm == "linf":
        return gradient.sign()
    largest = gradient.flatten(1).abs().amax(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
    scaled = gradient / _per_image(largest, gradient)  # tiny gradients squared would be zero
    return scaled / _per_image(scaled.flatten(1).norm(dim=1).clamp(min=0.5), gradient)


def project(images: Tensor, centre: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """Bring images into the ball of radius ``epsilon`` around other ones, and into [0, 1].

    Args:
        images: Shape ``(N, ...)``.
        centre: In [0, 1], same shape.
        norm: Which ball.
        epsilon: Its radius.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(images, centre - epsilon), centre + epsilon).clamp(0, 1)
    change = images - centre
    lengths = change.flatten(1).norm(dim=1)
    shrink = torch.where(lengths > epsilon, epsilon / lengths, torch.ones_like(lengths))
    return (centre + change * _per_image(shrink, change)).clamp(0, 1)


def random_offsets(images: Tensor, norm: Norm, epsilon: float, generator: Generators = None) -> Tensor:
    """Places drawn evenly from the ball of radius ``epsilon`` around zero, of the shape of ``images``.

    Args:
        images: Shape ``(N, ...)``.
        norm: Which ball.
        epsilon: Its radius.
        generator: One for the batch, or one for each image.
    """
    if not isinstance(generator, torch.Generator | None):
        draws = [random_offsets(image[None], norm, epsilon, own) for image, own in zip(images, generator, strict=True)]
        return torch.cat(draws) if draws else torch.zeros_like(images)
    where: dict[str, Any] = {"dtype": images.dtype, "device": images.device if generator is None else generator.device}
    if norm == "linf":
        offsets = epsilon * (2 * torch.rand(images.shape, generator=generator, **where) - 1)
    else:
        direction = torch.randn(images.shape, generator=generator, **where)
        radius = torch.rand(len(images), generator=generator, **where) ** (1 / images[0].numel())
        offsets = direction * _per_image(epsilon * radius / direction.flatten(1).norm(dim=1), direction)
    return offsets.to(images.device)


def image_generators(seed: int, index: Tensor) -> list[torch.Generator]:
    """A source of random numbers for each image, which depends on the seed and the image's index alone."""
    return [torch.Generator().manual_seed(hash((seed, image)) % 2**62) for image in index.tolist()]


class Bpda(nn.Module):
    """Something in front of a classifier, whose gradient is taken to be that of the identity.

    Attacks get past it even where its own gradient is missing or leads nowhere.

    Source: arXiv 1802.00420, section 4.1 (backward pass differentiable approximation).

    Args:
        preprocessor: From images to images of the same shape.
    """

    def __init__(self, preprocessor: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor

    def forward(self, images: Tensor) -> Tensor:
        """What the preprocessor makes of images ``(N, 3, H, W)``; gradients pass it unchanged."""
        with torch.no_grad():
            made = self.preprocessor(images)
        if made.shape != images.shape:
            raise ValueError(f"images {tuple(images.shape)} became {tuple(made.shape)}; expected equal shapes")
        passed: Tensor = _StraightThrough.apply(images, made)
        return passed


class _StraightThrough(torch.autograd.Function):
    """Forward the second argument, backward to the first."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, made: Tensor) -> Tensor:
        return made.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode, without gradients of its parameters, and everything back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter in learned:
            parameter.requires_grad_(True)


def _look(
    model: nn.Module, images: Tensor, labels: Tensor, names: Tensor, with_gradient: bool, stop: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, whether the class is wrong, and gradient of each image: zero if none is asked for, or at a ``stop``."""
    with torch.inference_mode(False), torch.set_grad_enabled(with_gradient):  # also within Lightning's trainer.test
        pixels = images.clone().requires_grad_(with_gradient)
        logits = model(pixels)
        losses = F.cross_entropy(logits.float(), labels.clone(), reduction="none")
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


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    """Values ``(N,)`` in a shape that multiplies ``(N, ...)``."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _check(images: Tensor, labels: Tensor, norm: str, epsilon: float) -> None:
    if norm not in get_args(Norm):
        raise ValueError(f"norm={norm!r}; expected one of {', '.join(get_args(Norm))}")
    if not 0 <= epsilon < float("inf"):
        raise ValueError(f"epsilon={epsilon}; expected a number from 0 on")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{len(images)} images have labels of shape {tuple(labels.shape)}; expected one for each")
    if images.numel():
        low, high = (float(bound) for bound in images.detach().aminmax())
        if not (low >= 0 and high <= 1):  # so written, it also refuses NaN
            raise ValueError(f"images have values from {low:g} to {high:g}; expected finite ones in [0, 1]")
