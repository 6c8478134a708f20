"""The search for class-wise patterns: few pixels of a canvas that make a classifier say a class, wherever pasted."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from methods.class_patterns.masks import paste
from networks.classifier import freeze

PresetName = Literal["stable", "published"]


@dataclass(frozen=True)
class Preset:
    """How a search goes.

    Attributes:
        logits: Whether the mask is a sigmoid of what is searched, else it is searched itself and cut to [0, 1].
        step: Of signs (without logits), or Adam's learning rate (with them).
        batch_size: Search images of a step.
        own_batches: Whether each class has so many images of others in every step, else those of all classes.
        averaged: Share of the steps, at the end, over which the mask is averaged; 0 takes the last one.
    """

    logits: bool
    step: float
    batch_size: int
    own_batches: bool
    averaged: float


PRESETS: dict[str, Preset] = {
    "stable": Preset(logits=True, step=0.3, batch_size=8, own_batches=False, averaged=0.25),
    "published": Preset(
        logits=False, step=0.02, batch_size=4, own_batches=True, averaged=0.0
    ),  # arXiv 2101.06898 and its code
}


@dataclass(frozen=True)
class FoundPatterns:
    """What a search has found.

    Attributes:
        masks: In [0, 1], float32, shape ``(P, H, W)``.
        canvases: uint8, shape ``(P, 3, H, W)``; of learned ones, the colours found.
    """

    masks: Tensor
    canvases: Tensor


class PatternSearch(pl.LightningModule):
    """A mask for each of P pairs of a class and a canvas, all searched at once; the classifier is frozen.

    For images of other classes than t, mask m, canvas c and N pixels, each pair descends its own

        α · mean CE(f(m·c + (1 − m)·image), t) + (1 − α) · Σm / (N / 2)

    A step shows all pairs the same images, or each class those that the batch's fourth part says; those of a pair's own
    class are left out of its mean, and a pair for which none is left gets no gradient. ``published`` starts at m = 0.5
    and steps by 0.02 against the sign of the gradient; unlike the published code it keeps the last step. ``stable`` is
    Adam on the mask's logits, averaged at the end.
    Where ``learned``, the colours of the pattern are searched with it, as sigmoids that begin at the canvas: that is
    Neural Cleanse, with this loss in place of its schedule for the weight of the area.

    Ranks share the pairs and see all images. The loss logged and returned is the mean over pairs. Forward passes hold
    ``chunk`` rows, one for each pair and image, which decides memory and, but for rounding, nothing else.

    Source: arXiv 2101.06898, section 3; B. Wang et al., "Neural Cleanse", IEEE S&P 2019, section IV (learned colours).

    Args:
        classifier: From images in [0, 1] to logits.
        canvases: uint8, shape ``(P, 3, H, W)``, of the size of the search images.
        targets: The class that each pair's pattern shall stand for, ``(P,)``.
        learned: Pairs whose colours are searched, too, boolean ``(P,)``; none by default.
        preset: ``stable`` or ``published``.
        step: Instead of the preset's.
        alpha: α, from 0 to 1: the weight of the class; the rest is the weight of the area.
        chunk: Rows of a forward pass.

    Raises:
        ValueError: If an argument is out of range, shapes do not fit, or the classifier has no logit for a target; in
            ``training_step`` if the images have another size than the canvases.
    """

    strict_loading = False  # checkpoints hold what is searched; the classifier has weights of its own

    def __init__(
        self,
        classifier: nn.Module,
        canvases: Tensor,
        targets: Tensor,
        learned: Tensor | None = None,
        *,
        preset: PresetName = "stable",
        step: float | None = None,
        alpha: float = 0.2,
        chunk: int = 256,
    ) -> None:
        super().__init__()
        learned = torch.zeros(len(targets), dtype=torch.bool) if learned is None else learned
        check_arguments(canvases, targets, learned, preset, alpha, chunk)
        self.classifier, self.preset = freeze(classifier), PRESETS[preset]
        check_targets(classifier, targets, canvases.shape[-2:])
        self.step = self.preset.step if step is None else step
        self.alpha, self.chunk = alpha, chunk
        self.canvases, self.targets = canvases, targets  # plain: DDP would send buffers around at every step
        self.place_of = torch.where(learned, learned.cumsum(0) - 1, -1)  # of a pair's colours among those learned
        count, _, height, width = canvases.shape
        self.masks = nn.Parameter(torch.full((count, height, width), 0.0 if self.preset.logits else 0.5))
        self.mean_masks = nn.Parameter(torch.zeros(count, height, width), requires_grad=False)
        start = torch.logit(canvases[learned].float() / 255, eps=0.02)
        self.colours = nn.Parameter(start) if learned.any() else None
        self.mean_colours = nn.Parameter(torch.zeros_like(start), requires_grad=False) if learned.any() else None
        self.register_buffer("averaged", torch.zeros((), dtype=torch.long))

    def train(self, mode: bool = True) -> "PatternSearch":
        """Set the mode; the classifier stays in eval mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What is searched, without the classifier."""
        state = super().state_dict(*args, **kwargs)
        return {key: value for key, value in state.items() if not key.startswith("classifier.")}

    def configure_optimizers(self) -> Optimizer:
        """Adam, or steps along signs."""
        groups: list[dict[str, Any]] = [{"params": [self.masks], "bounded": not self.preset.logits}]
        if self.colours is not None:
            groups.append({"params": [self.colours], "bounded": False})
        return Adam(groups, lr=self.step) if self.preset.logits else SignDescent(groups, lr=self.step)

    def soft_masks(self) -> Tensor:
        """The masks as they are now, in [0, 1], shape ``(P, H, W)``."""
        return self.masks.sigmoid() if self.preset.logits else self.masks

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """The mean loss of all pairs, with the gradient of each pair's own loss."""
        images, labels, _, *members = batch
        ranks, count = self.trainer.world_size, len(self.targets)
        first, last = (count * place // ranks for place in (self.trainer.global_rank, self.trainer.global_rank + 1))
        soft = self.soft_masks()
        used = labels.cpu()[None, :] != self.targets[:, None]
        for member in members:
            used &= member.cpu().T[self.targets]
        with self.exact(images.device.type):
            losses, by_mask, by_colour = self.gradients(soft.detach(), images, used, first, last)
        # The ranks' gradients are averaged, but each pair has one on a single rank.
        carrier = ranks * (soft * by_mask).sum()
        if self.colours is not None and by_colour is not None:
            carrier = carrier + ranks * (self.colours.sigmoid() * by_colour).sum()
        loss = ranks * losses.sum() / count
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=max(1, len(images)), sync_dist=True)
        return loss + carrier - carrier.detach()

    def exact(self, device: str) -> AbstractContextManager[Any]:
        """Without float16, which rounds such small gradients to 0; the signs of ``published`` in full precision."""
        rounds_to_zero = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
        return nullcontext() if self.preset.logits and not rounds_to_zero else torch.autocast(device, enabled=False)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Average over the last steps."""
        steps = int(self.trainer.estimated_stepping_batches)
        if self.trainer.global_step <= steps - round(self.preset.averaged * steps):
            return
        counted = self.get_buffer("averaged").add_(1)
        with torch.no_grad():
            self.mean_masks.add_((self.soft_masks() - self.mean_masks) / counted)
            if self.colours is not None and self.mean_colours is not None:
                self.mean_colours.add_((self.colours.sigmoid() - self.mean_colours) / counted)

    @torch.no_grad()
    def found(self) -> FoundPatterns:
        """The patterns, on the CPU; the same on every rank."""
        some = int(self.get_buffer("averaged")) > 0
        masks = (self.mean_masks if some else self.soft_masks()).float().clamp(0, 1).cpu()
        canvases = self.canvases.cpu().clone()
        if self.colours is not None and self.mean_colours is not None:
            colours = self.mean_colours if some else self.colours.sigmoid()
            canvases[self.place_of >= 0] = (255 * colours).round().to(torch.uint8).cpu()
        return FoundPatterns(masks, canvases)

    def gradients(
        self, masks: Tensor, images: Tensor, used: Tensor, first: int, last: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Losses of the pairs from ``first`` to ``last``, and their gradients, one chunk after the other.

        Args:
            masks: Of all pairs, in [0, 1], shape ``(P, H, W)``, detached.
            images: In [0, 1], shape ``(B, 3, H, W)``.
            used: Which images each pair is shown, boolean ``(P, B)``.
            first: The first pair.
            last: The one after the last.

        Returns:
            Losses ``(last - first,)``; their gradients by masks ``(P, H, W)`` and, if there are any, by learned colours
            ``(L, 3, H, W)``; zero for pairs that are not asked for or have no image.
        """
        by_mask = torch.zeros_like(masks)
        by_colour = None if self.colours is None else torch.zeros_like(self.colours)
        used = used[first:last]
        pairs, places = used.nonzero(as_tuple=True)  # a pair's images follow each other
        weights = (self.alpha / used.sum(dim=1).clamp(min=1)).to(masks)
        area, some = 2 * (1 - self.alpha), used.any(dim=1).to(masks)
        losses = area * masks[first:last].mean(dim=(1, 2)) * some
        by_mask[first:last] = (area / masks[0].numel()) * some[:, None, None]
        images = images.to(masks)
        for start in range(0, len(pairs), self.chunk):
            rows = slice(start, start + self.chunk)
            own = pairs[rows]
            low, high = first + int(own[0]), first + int(own[-1]) + 1
            mask, pixels = masks[low:high].clone().requires_grad_(), self.pixels(low, high)
            row, place, own = (part.to(masks.device) for part in (first + own - low, places[rows], own))
            logits = self.classifier(paste(images[place], pixels[row], mask[row])).to(masks.dtype)
            target = self.targets.to(masks.device)[first + own]
            weighted = weights[own] * F.cross_entropy(logits, target, reduction="none")
            wanted = [mask, pixels] if pixels.requires_grad else [mask]
            changes = torch.autograd.grad(weighted.sum(), wanted)
            by_mask[low:high] += changes[0]
            if by_colour is not None and pixels.requires_grad:
                learned = self.place_of[low:high] >= 0
                by_colour[self.place_of[low:high][learned]] += changes[1][learned]
            losses.index_add_(0, own, weighted.detach())
        return losses, by_mask, by_colour

    def pixels(self, low: int, high: int) -> Tensor:
        """Canvases of some pairs, in [0, 1], shape ``(high - low, 3, H, W)``; want a gradient if one is learned."""
        pixels = self.canvases[low:high].to(self.masks) / 255
        places = self.place_of[low:high]
        if self.colours is None or not (places >= 0).any():
            return pixels
        pixels[places >= 0] = self.colours.detach()[places[places >= 0]].sigmoid()
        return pixels.requires_grad_()


class SignDescent(Optimizer):
    """Steps of a fixed length against the sign of the gradient; ``bounded`` groups are cut to [0, 1] after each.

    Args:
        params: Parameter groups, each with ``bounded``.
        lr: Length of a step.
    """

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "bounded": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"] * parameter.grad.sign())
                    if group["bounded"]:
                        parameter.clamp_(0, 1)
        return loss


def check_arguments(canvases: Tensor, targets: Tensor, learned: Tensor, preset: str, alpha: float, chunk: int) -> None:
    """Refuse arguments that do not fit together."""
    if preset not in PRESETS:
        raise ValueError(f"preset={preset!r} is unknown; choose {' or '.join(PRESETS)}")
    if not 0 <= alpha <= 1 or chunk < 1:
        raise ValueError(f"alpha={alpha} must be from 0 to 1, and chunk={chunk} at least 1")
    if canvases.ndim != 4 or canvases.shape[1] != 3 or canvases.dtype != torch.uint8 or not len(canvases):
        raise ValueError(f"canvases are {canvases.dtype} of shape {tuple(canvases.shape)}; expected uint8 (P, 3, H, W)")
    if len(targets) != len(canvases) or len(learned) != len(canvases):
        raise ValueError(f"{len(canvases)} canvases, {len(targets)} targets, {len(learned)} marks: expected as many")


@torch.no_grad()
def check_targets(classifier: nn.Module, targets: Tensor, size: Any) -> None:
    """Refuse classes that a frozen classifier has no logit for.

    Args:
        classifier: From images to logits.
        targets: The classes.
        size: Height and width of images.
    """
    weight = next(classifier.parameters(), torch.zeros(()))
    width = classifier(torch.zeros(1, 3, *size, dtype=weight.dtype, device=weight.device)).shape[-1]
    outside = targets[(targets < 0) | (targets >= width)].tolist()
    if outside:
        raise ValueError(
            f"the classifier has {width} logits, none for class number {outside[0]}: search patterns of its own "
            f"classes only (class_patterns.classes), those numbered 0 to {width - 1}"
        )
