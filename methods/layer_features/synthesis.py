"""The synthesis of images that show the features of layers: all clusters, layers and methods in one batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.optim import SGD, Adam, Optimizer
from torch.utils.data import DataLoader

from methods.layer_features.objective import objective_terms
from methods.layer_features.procedure import network_view, regularized
from methods.layer_features.regularizers import radial_mask
from methods.layer_features.results import INVERSION, MAXIMIZATION, METHODS, SYNTHESIS
from methods.layer_features.schedules import linear
from methods.layer_features.settings import LayerFeatures
from methods.layer_features.targets import LayerTargets
from networks.activations import Read
from networks.layouts import spatial_mean
from networks.normalization import IMAGENET_STD

TERMS_OF = {  # factors of the activation term and of the distance term
    SYNTHESIS: (1.0, 1.0),
    MAXIMIZATION: (1.0, 0.0),
    INVERSION: (0.0, 1.0),
}
HISTORY = ("loss", "activation", "distance", "sparsity", "cosine")


def batch_rows(layers: Sequence[LayerTargets]) -> pd.DataFrame:
    """What each image of the batch is: columns ``layer`` (its position), ``cluster`` and ``method``.

    The rows are sorted by layer, then by method (in the order of ``METHODS``), then by cluster.
    """
    rows = [
        (layer, cluster, method)
        for layer, targets in enumerate(layers)
        for method in METHODS
        for cluster in range(len(targets.targets))
    ]
    return pd.DataFrame(rows, columns=["layer", "cluster", "method"])


class FeatureSynthesis(pl.LightningModule):
    """Images that each minimise their own objective for one layer; the network is frozen and ends at the last layer.

        activation · (−Σ_c pull_c · z_c) + distance · mean_c ρ((z_c − a_c) / scale) + sparsity · ‖p‖₁ / unit

    z is the layer's activation of the image, averaged over positions, p the input of its last convolution. Activation
    maximisation has no second term, and feature inversion no first term; start, draws of shifts and everything else
    are the same for the three methods. Every step passes each image through the network once.

    Source: arXiv 2101.12447, section 3.

    Args:
        network: A network that takes images in [0, 1]; :func:`~networks.activations.recorded` must be entered during
            the training.
        read: Its activations.
        layers: The targets of each layer.
        starts: In [0, 1], shape ``(R, 3, H, W)``, in the order of :func:`batch_rows`.
        settings: The resolved settings.
        seed: Of the draws of shifts and crops.
        kept: Numbers of finished iterations after which the images are kept; 0 is the start.

    Raises:
        ValueError: If the number of starts is not that of the rows; in training, if an image or its loss is not
            finite: names its layer, cluster, method and iteration.
    """

    strict_loading = False  # checkpoints hold the images; the network has weights of its own

    def __init__(
        self,
        network: nn.Module,
        read: Read,
        layers: Sequence[LayerTargets],
        starts: Tensor,
        settings: LayerFeatures,
        *,
        seed: int,
        kept: Sequence[int],
    ) -> None:
        super().__init__()
        self.rows = batch_rows(layers)
        if len(self.rows) != len(starts):
            raise ValueError(f"{len(starts)} start images for {len(self.rows)} syntheses: expected as many")
        self.network, self.read, self.layers, self.settings = network, read, list(layers), settings
        self.objectives = [
            targets.objective(settings).map(lambda part: torch.cat([part] * len(METHODS))) for targets in layers
        ]
        self.seed, self.kept = seed, set(kept)
        self.images = nn.Parameter(starts.clone())
        self.factors = torch.tensor([TERMS_OF[method] for method in self.rows["method"]])
        self.history: list[Tensor] = []
        # on the CPU: only the figures need them
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
        rate = self.settings.lr[0]
        if self.settings.optimizer == "adam":
            return Adam([self.images], rate)
        return SGD([self.images], rate, momentum=0.9, nesterov=True)

    def train_dataloader(self) -> DataLoader[int]:
        """The numbers of the iterations, one at a time."""
        return DataLoader(range(self.settings.iterations), batch_size=None)  # type: ignore[arg-type]

    def on_fit_start(self) -> None:
        """Move the objectives to the device and precision of the images."""
        self.objectives = [objective.map(lambda part: part.to(self.images)) for objective in self.objectives]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate, and forget the momentum if the procedure creates the optimiser anew."""
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = linear(self.settings.lr, batch_idx, self.settings.iterations)
        if self.settings.renewed:
            optimizer.state.clear()  # type: ignore[union-attr]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The sum of the losses of all images; each loss depends on one image."""
        self.network(network_view(self.images, self.settings, batch_idx, self.seed))
        terms, cosines = self.terms(self.read())
        losses = (terms * self.term_weights(batch_idx).to(terms)).sum(dim=1)
        self.check(torch.isfinite(losses), "loss", batch_idx)
        columns = [losses.detach()[:, None].float(), terms.detach().float(), cosines[:, None].float()]
        self.history.append(torch.cat(columns, dim=1))
        return losses.sum()  # every image gets the gradient of its own loss: no loss depends on another image

    def terms(self, activations: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The terms of every image, unweighted, ``(R, 3)``, and the cosine of z and a, ``(R,)``."""
        terms, cosines, first = [], [], 0
        for layer, objective in zip(self.layers, self.objectives, strict=True):
            rows, dtype = slice(first, first + len(objective.targets)), objective.targets.dtype
            means = spatial_mean(activations[layer.layer][rows].to(dtype))
            terms.append(objective_terms(means, activations[layer.inputs][rows].to(dtype), objective))
            cosines.append(cosine_similarity(means.detach(), objective.targets))
            first = rows.stop
        return torch.cat(terms), torch.cat(cosines)

    def term_weights(self, iteration: int) -> Tensor:
        """The weights of the three terms of every image, ``(R, 3)``."""
        sparsity = linear(self.settings.sparsity, iteration, self.settings.iterations)
        weights = self.factors * torch.tensor([self.settings.activation, self.settings.distance])
        return torch.cat([weights, torch.full((len(weights), 1), sparsity)], dim=1)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Mask the gradient, and scale it for steps on normalised pixels."""
        gradient, mask = self.images.grad, self.settings.mask
        if gradient is None:
            return
        if mask is not None:
            height, width = gradient.shape[-2:]
            iteration = len(self.history) - 1  # this hook gets no number of the iteration
            sigma = width * linear(mask, iteration, self.settings.iterations)
            gradient.mul_(radial_mask(height, width, sigma).to(gradient))
        if self.settings.optimizer == "sgd":  # x = std · u + mean: a step −r · ∂L/∂u on u is −r · std² · ∂L/∂x on x
            gradient.mul_(torch.tensor(IMAGENET_STD).to(gradient).square()[:, None, None])

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Regularize the images, which stay in [0, 1] and finite."""
        self.check(torch.isfinite(self.images).flatten(1).all(dim=1), "image", batch_idx)
        images = regularized(self.images, self.settings, batch_idx)
        self.images.copy_((images * 255).round() / 255 if self.settings.rounded else images)
        if batch_idx + 1 in self.kept:
            self.pictures[batch_idx + 1] = self.images.detach().cpu().clone()

    def check(self, finite: Tensor, what: str, iteration: int) -> None:
        """Raise an error for the first image that is not finite."""
        if bool(finite.all()):
            return
        layer, cluster, method = self.rows.iloc[int((~finite).nonzero()[0])]
        raise ValueError(
            f"{what} is not finite in iteration {iteration}: layer {self.layers[layer].layer}, cluster {cluster}, "
            f"{method}. Lower the learning rate (layer_features.lr), or use trainer.precision=32-true"
        )
