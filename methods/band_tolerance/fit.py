"""The fit of a band channel: the lowest rate at which a frozen classifier keeps its decisions within a tolerance."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_modules.finiteness import check_finite
from lightning_modules.frozen import FrozenParts
from lightning_modules.rate_weight import RateWeight
from methods.band_tolerance.channel import EMPTY, band_noise, bits, split_noise, transmit, water_filling_log_ratio
from methods.band_tolerance.transform import COLOURS, BandTransform
from networks.seeding import combined_seed, image_noise

SMOOTHING = 0.7  # of the running mean of D: it must follow log ρ, which moves fast
BETAS = (0.9, 0.99)  # of Adam: gradients grow by orders of magnitude from the first tolerance to the last
STARTED_ON = 64  # images on which the start is found
HALVINGS = 10  # of the interval of the logarithm of the rate
FEWEST_BITS, MOST_BITS = 1e-3, 12.0  # for each coefficient
LOWEST = -3.0  # log ρ at the start: a band that is closed altogether has no gradient that could open it
Targets = Literal["decisions", "labels"]


@dataclass(frozen=True)
class Stages:
    """How a fit goes through its tolerances, from tight to loose, each warm-started from the one before.

    Attributes:
        tolerances: In nats, ascending.
        first_steps: Optimiser steps at the first tolerance.
        steps: Optimiser steps at each further one.
    """

    tolerances: tuple[float, ...]
    first_steps: int
    steps: int

    @property
    def total(self) -> int:
        """All optimiser steps."""
        return self.first_steps + self.steps * (len(self.tolerances) - 1)

    def at(self, step: int) -> tuple[int, float]:
        """The number of the stage at a step, and the share of it that is done, in [0, 1); the last one does not end."""
        if step < self.first_steps:
            return 0, step / self.first_steps
        stage, done = divmod(step - self.first_steps, self.steps)
        return (stage + 1, done / self.steps) if stage + 1 < len(self.tolerances) else (stage, 1.0)


class BandFit(FrozenParts):
    r"""log ρ of every band, at the lowest rate :math:`R` at which the distortion :math:`D` is within a tolerance.

    .. math:: \min_{\rho} R \quad \text{subject to} \quad
              D = \mathrm{mean}\, \mathrm{KL}(p(x) \,\|\, p(\hat x)) \le t

    where :math:`p` are the probabilities that the frozen classifier gives the classes, :math:`x` the images and
    :math:`\hat x` what passes of them. Each step makes fresh noise, which depends on the seed, the epoch and the image
    alone, and takes one step of Adam against the gradient of

    .. math:: D + \lambda\, t \ln R, \qquad \lambda = w \cdot \max(0, 1 - \bar D / t)

    for the running mean :math:`\bar D` of D: the weight of the rate falls to 0 where the tolerance is reached
    (:class:`~lightning_modules.rate_weight.RateWeight`). The logarithm has the same minima under the constraint, and
    makes one weight :math:`w` fit every image size and network. The learning rate falls linearly to 0 within each
    stage; the result of a stage is the mean of log ρ over its last half.

    Ranks share the images. Images of a batch are sent through the classifier in chunks, which change nothing but
    rounding.

    Source: docs/band_tolerance.md (this project's own).

    Args:
        classifier: From images ``(N, 3, H, W)`` in [0, 1] to logits; frozen.
        transform: The bands.
        variance: :math:`s_b^2`, ``(bands, 3)``, see :mod:`methods.band_tolerance.channel`.
        mean: Of the low-pass, ``(3,)``.
        size: Height and width of the images, in pixels.
        stages: Tolerances and steps.
        targets: ``decisions``: D as above; ``labels``: D is the cross-entropy of the labels.
        start: log ρ of every band at the beginning. ``None``: bits are spread by reverse water-filling, as few as keep
            D of some of the images within the first tolerance; a tight tolerance is then reached for any image size.
        lr: Step of Adam at the beginning of the first stage.
        later_lr: Step of Adam at the beginning of each further stage.
        weight: w.
        seed: Of the noise.
        chunk: Images that pass through the classifier at once.
        images: All images of the fit, uint8 ``(K, 3, H, W)``, with their positions in the split, ascending, ``(K,)``:
            then the classifier's answers are computed once, before the first step. ``None``: in every step.

    Raises:
        ValueError: If ``start`` and ``images`` are ``None``. In ``training_step``, if a logit is not finite; names the
            image.
    """

    def __init__(
        self,
        classifier: nn.Module,
        transform: BandTransform,
        variance: Tensor,
        mean: Tensor,
        size: tuple[int, int],
        *,
        stages: Stages,
        targets: Targets,
        start: float | None,
        lr: float,
        later_lr: float,
        weight: float,
        seed: int,
        chunk: int,
        images: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        if start is None and images is None:
            raise ValueError("a start by water-filling needs the images of the fit")
        self.classifier, self.transform, self.size = classifier, transform, size
        self.freeze_parts("classifier")
        self.stages, self.targets, self.seed, self.chunk = stages, targets, seed, chunk
        self.lr, self.later_lr, self.images = lr, later_lr, images
        self.answers: Tensor | None = None
        self.register_buffer("variance", variance.float(), persistent=False)
        self.register_buffer("mean", mean.float(), persistent=False)
        self.register_buffer("counts", transform.counts(*size).float(), persistent=False)
        self.log_ratio = nn.Parameter(torch.full_like(variance, start or 0.0, dtype=torch.float32))
        self.register_buffer("started", torch.tensor(start is not None))
        self.rate_weight = RateWeight(weight, stages.tolerances[0], SMOOTHING)
        self.register_buffer("sums", torch.zeros(len(stages.tolerances), *variance.shape, dtype=torch.float64))
        self.register_buffer("distortions_summed", torch.zeros(len(stages.tolerances), dtype=torch.float64))
        self.register_buffer("averaged", torch.zeros(len(stages.tolerances), dtype=torch.long))

    def configure_optimizers(self) -> Any:
        """Adam, with a learning rate that falls linearly to 0 within each stage."""
        optimizer: Optimizer = Adam([self.log_ratio], lr=1.0, betas=BETAS)
        schedule = LambdaLR(optimizer, self.learning_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.no_grad()
    def on_fit_start(self) -> None:
        """Compute the classifier's answers to all images and the start, alike on every rank and after interruptions."""
        if self.images is None or (self.targets == "labels" and self.get_buffer("started")):
            return
        parts = self.images[0].split(self.chunk)
        # in the precision of the steps: else, an image that passes unchanged would differ from itself
        with self.trainer.precision_plugin.forward_context(), self.gradient_precision(self.device.type):
            answers = [self.classifier((part.to(self.device).float() / 255).to(self.log_ratio)) for part in parts]
            self.answers = torch.cat(answers)
            check_finite(self.answers, self.images[1].to(self.device), "the output of the classifier")
            if not self.get_buffer("started"):
                self.log_ratio.copy_(self.water_filled(*self.images))
                self.get_buffer("started").fill_(True)

    def water_filled(self, pixels: Tensor, index: Tensor) -> Tensor:
        """Log ρ of the lowest rate, spread by water-filling, at which D is within the first tolerance.

        Args:
            pixels: All images of the fit, uint8 ``(K, 3, H, W)``; up to ``STARTED_ON`` of them are used.
            index: Their positions in the split, ``(K,)``.
        """
        chosen = torch.linspace(0, len(pixels) - 1, min(len(pixels), STARTED_ON)).round().long()
        counts, variance = self.transform.counts(*self.size), self.get_buffer("variance").cpu()
        parts = []
        for part in chosen.split(self.chunk):
            images, at = (pixels[part].to(self.device).float() / 255).to(self.log_ratio), index[part].to(self.device)
            bands = self.transform.analyse(images)
            noise = band_noise(bands, at, combined_seed(self.seed, -1))
            parts.append((bands, noise, self.answers_to(images, at), at))

        def spread(log_rate: float) -> Tensor:
            ratios = water_filling_log_ratio(math.exp(log_rate), counts, variance)
            return ratios.clamp(min=LOWEST).to(self.log_ratio)

        def within_tolerance(log_ratio: Tensor) -> bool:
            changes = [
                divergence(answers, self.answers_after(bands, random, log_ratio, at))
                for bands, random, answers, at in parts
            ]
            return float(torch.cat(changes).mean()) <= self.stages.tolerances[0]

        values = float((counts * (variance > EMPTY)).sum())
        low, top = math.log(values * FEWEST_BITS), math.log(values * MOST_BITS)
        for _ in range(HALVINGS):
            middle = (low + top) / 2
            low, top = (low, middle) if within_tolerance(spread(middle)) else (middle, top)
        return spread(top)

    def answers_after(
        self, bands: Sequence[Tensor], noise: Sequence[Tensor], log_ratio: Tensor, index: Tensor
    ) -> Tensor:
        """Logits of the classifier for what passes of images with these bands, ``(N, classes)``."""
        variance, mean = self.get_buffer("variance"), self.get_buffer("mean")
        answers: Tensor = self.classifier(transmit(self.transform, bands, noise, log_ratio, variance, mean, self.size))
        check_finite(answers, index, "the output of the classifier, fed with what passes,")
        return answers

    def answers_to(self, images: Tensor, index: Tensor) -> Tensor:
        """Logits of the classifier for images ``(N, 3, H, W)`` as they are, ``(N, classes)``."""
        if self.answers is not None and self.images is not None:
            return self.answers[torch.searchsorted(self.images[1].to(index), index)]
        logits: Tensor = self.classifier(images)
        check_finite(logits, index, "the output of the classifier")
        return logits

    def learning_rate(self, step: int) -> float:
        """The step of Adam at an optimiser step."""
        stage, done = self.stages.at(step)
        return (self.later_lr if stage else self.lr) * (1 - done)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss on one batch; its gradient by log ρ comes from one chunk of images after the other."""
        images, labels, index = batch
        images = images.to(self.log_ratio)
        tolerance = self.stages.tolerances[self.stages.at(self.trainer.global_step)[0]]
        with self.gradient_precision(images.device.type):
            distortion, gradient = self.distortion(images, labels, index, self.noise(index).to(images))
        self.rate_weight.tolerance = tolerance
        # all ranks must use the same weight: reduce first
        self.reduced = self.trainer.strategy.reduce(distortion.clone(), reduce_op="mean")
        self.rate_weight.update(self.reduced)
        rate = bits(self.get_buffer("counts"), self.log_ratio, self.get_buffer("variance")).sum()
        carrier = (self.log_ratio * gradient).sum()
        loss = distortion + carrier - carrier.detach() + self.rate_weight.value * tolerance * rate.log()
        logged = {"train/loss": loss, "train/distortion": distortion, "train/bits": rate}
        self.log_dict(logged, on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Add log ρ to the mean of its stage, in the last half of the stage."""
        stage, done = self.stages.at(self.trainer.global_step - 1)
        if done >= 0.5:
            self.get_buffer("sums")[stage] += self.log_ratio.detach()
            self.get_buffer("distortions_summed")[stage] += self.reduced
            self.get_buffer("averaged")[stage] += 1

    @torch.no_grad()
    def log_ratios(self) -> Tensor:
        """The result of every stage, float64 ``(stages, bands, 3)`` on the CPU, the same on every rank."""
        averaged = self.get_buffer("averaged").clamp(min=1)
        return (self.get_buffer("sums") / averaged[:, None, None]).cpu()

    def distortions(self) -> Tensor:
        """The mean of D over the same steps, float64 ``(stages,)`` on the CPU."""
        return (self.get_buffer("distortions_summed") / self.get_buffer("averaged").clamp(min=1)).cpu()

    def noise(self, index: Tensor) -> Tensor:
        """Standard normal noise of a step for images at ``index``, ``(N, 3 * coefficients)``."""
        high, wide = self.transform.padded(*self.size)
        seed = combined_seed(self.seed, self.trainer.current_epoch)
        return image_noise("normal", index, (len(COLOURS) * high * wide,), seed)

    def gradient_precision(self, device: str) -> AbstractContextManager[Any]:
        """No float16: there, the small gradients of single images would be rounded to 0."""
        rounds_to_zero = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
        return torch.autocast(device, enabled=False) if rounds_to_zero else nullcontext()

    def distortion(self, images: Tensor, labels: Tensor, index: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """D of a batch, and its gradient by log ρ.

        Args:
            images: In [0, 1], ``(N, 3, H, W)``.
            labels: ``(N,)``.
            index: Positions of the images in their split, ``(N,)``, for errors.
            noise: Result of :meth:`noise`.
        """
        total, gradient = self.log_ratio.new_zeros(()), torch.zeros_like(self.log_ratio)
        for part in torch.arange(len(images), device=images.device).split(self.chunk):
            with torch.no_grad():
                bands = self.transform.analyse(images[part])
                logits = self.answers_to(images[part], index[part]) if self.targets == "decisions" else None
            log_ratio = self.log_ratio.detach().requires_grad_()
            answered = self.answers_after(bands, split_noise(noise[part], bands), log_ratio, index[part])
            if logits is None:
                of_each = F.cross_entropy(at_least_float32(answered), labels[part], reduction="none")
            else:
                of_each = divergence(logits, answered)
            share = of_each.sum() / len(images)
            total = total + share.detach()
            gradient = gradient + torch.autograd.grad(share, log_ratio)[0]
        return total, gradient


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """KL(p ‖ q) of each image in nats, ``(N,)``, of the classes' probabilities; of logits ``(N, classes)``."""
    log_p, log_q = (at_least_float32(each).log_softmax(dim=1) for each in (logits, others))
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def at_least_float32(values: Tensor) -> Tensor:
    """Values in float32, or in float64 if they are; half precision would round small divergences to 0."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
