"""The synthesis of images that show what layers find: all clusters, layers and methods in one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.optim import SGD, Adam, Optimizer
from torch.utils.data import DataLoader

from methods.layer_features.numbers import INVERSION, MAXIMIZATION, SYNTHESIS
from methods.layer_features.objective import Aim, terms
from methods.layer_features.presets import Preset, regularized, seen
from methods.layer_features.regularizers import radial_mask
from methods.layer_features.schedules import linear
from networks.activations import Read
from networks.layouts import spatial_mean
from networks.normalization import IMAGENET_STD

TERMS_OF = {  # whether the activation and the distance count
    SYNTHESIS: (1.0, 1.0),
    MAXIMIZATION: (1.0, 0.0),
    INVERSION: (0.0, 1.0),
}
HISTORY = ("loss", "activation", "distance", "sparsity", "cosine")


@dataclass(frozen=True)
class Rows:
    """Images of one layer, which follow each other in the batch.

    Attributes:
        layer: The name of the layer, for :func:`~networks.activations.recorded`.
        inputs: The name of what feeds it, likewise.
        methods: Of each image, one of ``TERMS_OF``.
        clusters: The cluster of each.
        aim: What each aims at.
    """

    layer: str
    inputs: str
    methods: Sequence[str]
    clusters: Sequence[int]
    aim: Aim


class FeatureSynthesis(pl.LightningModule):
    """Images that each minimise their own objective for one layer; the network is frozen and ends at the last layer.

        activation · (−Σ_c pull_c · z_c) + distance · mean_c ρ((z_c − a_c) / scale) + sparsity · ‖p‖₁ / unit

    z is the layer's activation of the image, averaged over places, p the input of its last convolution. Activation
    maximisation is the same without the second term, feature inversion without the first: everything else, from the
    start to the draws of shifts, is shared. A step shows the network every image once.

    Source: arXiv 2101.12447, section 3.

    Args:
        network: From images in [0, 1]; within :func:`~networks.activations.recorded` as long as this is trained.
        read: Its activations.
        rows: The images of each layer, in the order of the batch.
        starts: In [0, 1], shape ``(R, 3, H, W)``.
        preset: How it goes.
        iterations: Instead of the preset's.
        seed: Of shifts and pieces.
        kept: Numbers of finished iterations after which the images are kept; 0 is the start.

    Raises:
        ValueError: If there are not as many starts as rows; in training, if an image, its loss or its gradient is not
            finite: names its layer, cluster, method and iteration.
    """

    strict_loading = False  # checkpoints hold the images; the network has weights of its own

    def __init__(
        self,
        network: nn.Module,
        read: Read,
        rows: Sequence[Rows],
        starts: Tensor,
        preset: Preset,
        *,
        iterations: int | None = None,
        seed: int = 0,
        kept: Sequence[int] = (),
    ) -> None:
        super().__init__()
        count = sum(len(part.methods) for part in rows)
        if count != len(starts):
            raise ValueError(f"{len(starts)} start images for {count} syntheses: expected as many")
        self.network, self.read, self.rows, self.preset = network, read, list(rows), preset
        self.iterations = preset.iterations if iterations is None else iterations
        self.seed, self.kept = seed, set(kept)
        self.images = nn.Parameter(starts.clone())
        self.weights = torch.tensor([TERMS_OF[method] for part in rows for method in part.methods])
        self.history: list[Tensor] = []
        self.pictures: dict[int, Tensor] = {0: starts.detach().cpu().clone()} if 0 in self.kept else {}

    def train(self, mode: bool = True) -> "FeatureSynthesis":
        """Set the mode; the network stays in eval mode."""
        super().train(mode)
        self.network.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The images, without the network."""
        state = super().state_dict(*args, **kwargs)
        return {key: value for key, value in state.items() if not key.startswith("network.")}

    def configure_optimizers(self) -> Optimizer:
        """Adam, or SGD with Nesterov momentum."""
        rate = self.preset.lr[0]
        return Adam([self.images], rate) if self.preset.adam else SGD([self.images], rate, momentum=0.9, nesterov=True)

    def train_dataloader(self) -> DataLoader[int]:
        """The numbers of the iterations, one at a time."""
        return DataLoader(range(self.iterations), batch_size=None)  # type: ignore[arg-type]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate; make the optimiser anew, if the preset does."""
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = linear(self.preset.lr, batch_idx, self.iterations)
        if self.preset.renewed:
            optimizer.state.clear()  # type: ignore[union-attr]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The sum of the losses of all images, each of which depends on its own alone."""
        self.network(seen(self.images, self.preset.regularization, batch_idx, self.seed))
        found = self.terms(self.read())
        losses = (found * self.term_weights(batch_idx).to(found)).sum(dim=1)
        self.check(torch.isfinite(losses), "loss", batch_idx)
        self.history[-1] = torch.cat([losses.detach()[:, None].float(), self.history[-1]], dim=1)
        return losses.sum()

    def terms(self, activations: Mapping[str, Tensor]) -> Tensor:
        """The terms of every image, unweighted, ``(R, 3)``; they are noted, with the cosine of z and a."""
        found, cosines, first = [], [], 0
        for part in self.rows:
            last = first + len(part.methods)
            targets = part.aim.targets
            means = spatial_mean(activations[part.layer][first:last].to(targets.dtype))
            found.append(terms(means, activations[part.inputs][first:last].to(targets.dtype), part.aim))
            cosines.append(cosine_similarity(means.detach(), targets))
            first = last
        made = torch.cat(found)
        self.history.append(torch.cat([made.detach(), torch.cat(cosines)[:, None]], dim=1).float())
        return made

    def term_weights(self, iteration: int) -> Tensor:
        """The weights of the three terms of every image, ``(R, 3)``."""
        sparsity = linear(self.preset.sparsity, iteration, self.iterations)
        both = self.weights * torch.tensor([self.preset.activation, self.preset.distance])
        return torch.cat([both, torch.full((len(both), 1), sparsity)], dim=1)

    def on_fit_start(self) -> None:
        """Bring what the images aim at to where they are."""
        self.rows = [
            Rows(part.layer, part.inputs, part.methods, part.clusters, moved(part.aim, self.images))
            for part in self.rows
        ]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Weigh the gradient as the preset wants."""
        gradient, mask = self.images.grad, self.preset.regularization.mask
        if gradient is None:
            return
        if mask is not None:
            height, width = gradient.shape[-2:]
            sigma = width * linear(mask, len(self.history) - 1, self.iterations)
            gradient.mul_(radial_mask(height, width, sigma).to(gradient))
        if not self.preset.adam:  # steps of normalised pixels, seen as steps of pixels
            gradient.mul_(torch.tensor(IMAGENET_STD).to(gradient).square()[:, None, None])

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the images plain, within [0, 1] and finite."""
        self.check(torch.isfinite(self.images).flatten(1).all(dim=1), "image", batch_idx)
        made = regularized(self.images, self.preset.regularization, batch_idx, self.iterations)
        self.images.copy_((made * 255).round() / 255 if self.preset.rounded else made)
        if batch_idx + 1 in self.kept:
            self.pictures[batch_idx + 1] = self.images.detach().cpu().clone()

    def check(self, finite: Tensor, what: str, iteration: int) -> None:
        """Stop at numbers that are none."""
        if bool(finite.all()):
            return
        place = int((~finite).nonzero()[0])
        for part in self.rows:
            if place < len(part.methods):
                where = f"layer {part.layer}, cluster {part.clusters[place]}, {part.methods[place]}"
                raise ValueError(
                    f"{what} is not finite in iteration {iteration}: {where}. Lower the learning rate "
                    "(layer_features.lr), or use trainer.precision=32-true"
                )
            place -= len(part.methods)


def moved(aim: Aim, like: Tensor) -> Aim:
    """An aim on another device, in another precision."""
    return Aim(*(part.to(like) for part in (aim.targets, aim.pull, aim.scale, aim.input_scale)))
