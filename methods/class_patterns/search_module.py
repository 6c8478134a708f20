"""The search for class-wise patterns: masks of few pixels that make a classifier predict a class."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lightning_modules.frozen import FrozenParts
from methods.class_patterns.patterns import paste


class PatternSearch(FrozenParts):
    r"""A mask for each of P pairs of a class and a canvas, all searched at once; the classifier is frozen.

    Each pair minimises its own loss over the search images that are not of its target class :math:`t`:

    .. math:: L(m) = \alpha \cdot \mathrm{mean\ CE}(f(m \cdot x_c + (1 - m) \cdot x_n), t) + (1 - \alpha) \cdot
              \sum m / (N / 2)

    where :math:`m` is the mask, :math:`x_c` the canvas, :math:`x_n` a search image and :math:`N` the number of pixels.
    All pairs see the same batch, unless the batch has a fourth part with the images that each class sees. A pair that
    has no image in a batch gets no gradient.

    ``sign`` starts at m = 0.5 and steps against the sign of the gradient, as the published code does; unlike the
    published code, it keeps the last step. ``adam`` optimises the logits of the mask. Pairs with ``learned`` colours
    also optimise the colours of their canvas, as sigmoids that start at the canvas: Neural Cleanse, with this loss in
    place of its schedule for the weight of the area.

    Ranks divide the pairs among themselves and see all images. The loss that is logged and returned is the mean over
    pairs.

    Source: arXiv 2101.06898, section 3; B. Wang et al., "Neural Cleanse", IEEE S&P 2019, section IV (learned colours).

    Args:
        classifier: From images in [0, 1] to logits.
        canvases: uint8, shape ``(P, 3, H, W)``, of the size of the search images.
        targets: The target class of each pair, ``(P,)``.
        learned: Pairs with learned colours, boolean ``(P,)``.
        optimizer: ``adam`` or ``sign``.
        step: Learning rate of Adam, or length of a sign step.
        averaged: Share of the steps, at the end, over which masks and colours are averaged; 0 takes the last ones.
        alpha: Weight of the cross-entropy, in [0, 1].
        chunk: Rows of a forward pass, one for each pair and image. Larger chunks use more memory and give the same
            result up to rounding.

    Raises:
        ValueError: If shapes do not fit or the classifier has no logit for a target; in ``training_step`` if the images
            have another size than the canvases.
    """

    def __init__(
        self,
        classifier: nn.Module,
        canvases: Tensor,
        targets: Tensor,
        learned: Tensor,
        *,
        optimizer: Literal["adam", "sign"],
        step: float,
        averaged: float,
        alpha: float,
        chunk: int,
    ) -> None:
        super().__init__()
        shape, pairs = tuple(canvases.shape), len(canvases)
        if len(shape) != 4 or shape[1] != 3 or canvases.dtype != torch.uint8 or not pairs:
            raise ValueError(f"canvases are {canvases.dtype} of shape {shape}; expected uint8 (P, 3, H, W)")
        if not len(targets) == len(learned) == pairs:
            raise ValueError(f"{pairs} canvases, {len(targets)} targets, {len(learned)} marks: expected as many")
        self.classifier = classifier
        self.freeze_parts("classifier")
        check_targets(classifier, targets, canvases.shape[-2:])
        self.on_logits, self.step, self.averaged = optimizer == "adam", step, averaged
        self.alpha, self.chunk = alpha, chunk
        self.canvases, self.targets = canvases, targets  # no buffers: DDP would broadcast them at every step
        self.colour_index = torch.where(learned, learned.cumsum(0) - 1, -1)  # of each pair; -1: its colours are fixed
        count, _, height, width = canvases.shape
        self.masks = nn.Parameter(torch.full((count, height, width), 0.0 if self.on_logits else 0.5))
        self.mean_masks = nn.Parameter(torch.zeros(count, height, width), requires_grad=False)
        start = torch.logit(canvases[learned].float() / 255, eps=0.02)
        self.colours = nn.Parameter(start)  # empty if none are learned
        self.mean_colours = nn.Parameter(torch.zeros_like(start), requires_grad=False)
        self.register_buffer("averaged_steps", torch.zeros((), dtype=torch.long))

    def configure_optimizers(self) -> Optimizer:
        """Adam, or sign steps."""
        masks = {"params": [self.masks], "bounded": not self.on_logits}
        groups: list[dict[str, Any]] = [masks, {"params": [self.colours], "bounded": False}]
        return Adam(groups, lr=self.step) if self.on_logits else SignDescent(groups, lr=self.step)

    def soft_masks(self) -> Tensor:
        """The present masks, in [0, 1], shape ``(P, H, W)``."""
        return self.masks.sigmoid() if self.on_logits else self.masks

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """The mean loss over pairs; its gradient is that of each pair's own loss."""
        images, labels, _, members = batch
        ranks, count = self.trainer.world_size, len(self.targets)
        first, last = (count * rank // ranks for rank in (self.trainer.global_rank, self.trainer.global_rank + 1))
        soft = self.soft_masks()
        used = (labels.cpu()[None, :] != self.targets[:, None]) & members.cpu().T[self.targets]
        with self.gradient_precision(images.device.type):
            losses, by_mask, by_colour = self.gradients(soft.detach(), images, used, first, last)
        # DDP averages the gradients of the ranks, but each pair has its gradient on a single rank
        carrier = ranks * (soft * by_mask).sum() + ranks * (self.colours.sigmoid() * by_colour).sum()
        loss = ranks * losses.sum() / count
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=max(1, len(images)), sync_dist=True)
        return loss + carrier - carrier.detach()  # the value of the loss, with the gradient of the carrier

    def gradient_precision(self, device: str) -> AbstractContextManager[Any]:
        """No autocast where it would change steps: float16 rounds the small gradients to 0, and signs need them all."""
        rounds_to_zero = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
        return nullcontext() if self.on_logits and not rounds_to_zero else torch.autocast(device, enabled=False)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the mean over the last steps."""
        steps = int(self.trainer.estimated_stepping_batches)
        if self.trainer.global_step <= steps - round(self.averaged * steps):
            return
        averaged = self.get_buffer("averaged_steps").add_(1)
        with torch.no_grad():
            self.mean_masks.add_((self.soft_masks() - self.mean_masks) / averaged)
            self.mean_colours.add_((self.colours.sigmoid() - self.mean_colours) / averaged)

    @torch.no_grad()
    def patterns(self) -> tuple[Tensor, Tensor]:
        """Masks in [0, 1], float32 ``(P, H, W)``, and canvases, uint8 ``(P, 3, H, W)``, with their learned colours.

        Both are on the CPU, and the same on every rank.
        """
        averaged = int(self.get_buffer("averaged_steps")) > 0
        masks = (self.mean_masks if averaged else self.soft_masks()).float().clamp(0, 1).cpu()
        canvases = self.canvases.cpu().clone()
        colours = self.mean_colours if averaged else self.colours.sigmoid()
        canvases[self.colour_index >= 0] = (255 * colours).round().to(torch.uint8).cpu()
        return masks, canvases

    def gradients(
        self, masks: Tensor, images: Tensor, used: Tensor, first: int, last: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses and gradients of the pairs from ``first`` up to, but without, ``last``, one chunk after the other.

        Args:
            masks: All masks in [0, 1], shape ``(P, H, W)``, detached.
            images: In [0, 1], shape ``(B, 3, H, W)``.
            used: The images that each pair sees, boolean ``(P, B)``.
            first: The first pair.
            last: The first pair of the next rank.

        Returns:
            Losses ``(last - first,)``; their gradients by masks ``(P, H, W)`` and by learned colours ``(L, 3, H, W)``;
            zero for pairs of other ranks and for pairs without an image.
        """
        by_mask, by_colour = torch.zeros_like(masks), torch.zeros_like(self.colours)
        used, images = used[first:last], images.to(masks)
        pairs, shown = used.nonzero(as_tuple=True)  # sorted, so that a chunk holds a range of pairs
        weights = (self.alpha / used.sum(dim=1).clamp(min=1)).to(masks)
        area, some = 2 * (1 - self.alpha), used.any(dim=1).to(masks)
        losses = area * masks[first:last].mean(dim=(1, 2)) * some
        by_mask[first:last] = (area / masks[0].numel()) * some[:, None, None]
        for start in range(0, len(pairs), self.chunk):
            pair, image = (part[start : start + self.chunk] for part in (pairs, shown))
            low, high = first + int(pair[0]), first + int(pair[-1]) + 1
            colours = self.colour_index[low:high]
            learned = colours >= 0
            pixels = self.canvases[low:high].to(self.masks) / 255
            pixels[learned] = self.colours.detach()[colours[learned]].sigmoid()
            mask, pixels = masks[low:high].clone().requires_grad_(), pixels.requires_grad_()
            row, image, pair = (part.to(masks.device) for part in (first + pair - low, image, pair))
            logits = self.classifier(paste(images[image], pixels[row], mask[row])).to(masks.dtype)
            target = self.targets.to(masks.device)[first + pair]
            weighted = weights[pair] * F.cross_entropy(logits, target, reduction="none")
            of_mask, of_pixels = torch.autograd.grad(weighted.sum(), [mask, pixels])
            by_mask[low:high] += of_mask
            by_colour[colours[learned]] += of_pixels[learned]
            losses.index_add_(0, pair, weighted.detach())
        return losses, by_mask, by_colour


class SignDescent(Optimizer):
    """Steps of a fixed length against the sign of the gradient; ``bounded`` groups are clipped to [0, 1] after each.

    Args:
        params: Parameter groups, each with ``bounded``.
        lr: Length of a step.
    """

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "bounded": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Make one step; returns the value of ``closure``."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(group["lr"] * parameter.grad.sign())
                    if group["bounded"]:
                        parameter.clamp_(0, 1)
        return loss


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
            f"the classifier has {width} logits, none for class number {outside[0]}: choose classes numbered 0 to "
            f"{width - 1} (class_patterns.classes)"
        )
