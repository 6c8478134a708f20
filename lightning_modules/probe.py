"""A network trained on reconstructions: which labels can be learnt from them at all."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules.base import Split
from lightning_modules.finiteness import check_finite
from lightning_modules.optimization import OptimizerFactory, Schedule, TrainedModule
from metrics.per_image import PerImage
from networks.seeding import image_noise
from networks.segnet import SegNet


class Probe(TrainedModule):
    """A reader: a network trained on a frozen autoencoder's reconstructions to predict Q labels of each image at once.

    Noise hides what is too faint to rely on; it is drawn anew in every training step, and depends on the image alone in
    the test. After ``trainer.test`` the predictions are in ``predicted``, ``(images, Q)``, the same for any number of
    ranks.

    Args:
        autoencoder: Reconstructs the images; ``None``: the reader sees the originals.
        reader: From images ``(N, 3, H, W)`` to logits ``(N, Q × classes)``.
        targets: The right classes of each split's images, ``(images, Q)``.
        classes: Number of classes of every label.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        noise: Standard deviation of the normal noise added to reconstructions, for pixels in [0, 1].
        seed: Decides the noise in the test.
    """

    def __init__(
        self,
        autoencoder: SegNet | None,
        reader: nn.Module,
        targets: Mapping[Split, Tensor],
        classes: int,
        make_optimizer: OptimizerFactory,
        schedule: Schedule,
        *,
        noise: float,
        seed: int,
    ) -> None:
        super().__init__(make_optimizer, schedule)
        self.autoencoder = nn.Identity() if autoencoder is None else autoencoder
        self.freeze_parts("autoencoder")
        self.reader, self.classes, self.noise, self.seed = reader, classes, noise, seed
        for name, right in targets.items():
            self.register_buffer(f"{name}_targets", right, persistent=False)
        self.predictions = PerImage(len(targets["test"]), targets["test"].shape[1:], torch.long, complete=False)

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Logits ``(N, Q, classes)`` of images; the noise is added to their reconstructions."""
        with torch.no_grad():
            shown = self.autoencoder(images)
        logits: Tensor = self.reader(shown + self.noise * noise)
        return logits.unflatten(1, (-1, self.classes))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy over the labels."""
        images, _, index = batch
        logits = self(images, torch.randn_like(images))
        return F.cross_entropy(logits.flatten(0, 1), self.get_buffer("train_targets")[index].flatten())

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Mean accuracy over the labels; logged as ``val/accuracy``."""
        images, _, index = batch
        if len(images):  # else none of them could be read
            self.accuracy((self.read(images, index) == self.get_buffer("val_targets")[index]).float())
            self.log("val/accuracy", self.accuracy, prog_bar=True, batch_size=len(images))

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Keep the predictions."""
        images, _, index = batch
        if len(images):  # else none of them could be read
            self.predictions.update(self.read(images, index), index)

    def read(self, images: Tensor, index: Tensor) -> Tensor:
        """The predictions for images with noise that depends on the image alone, ``(N, Q)``."""
        logits = self(images, image_noise("normal", index, images.shape[1:], self.seed).to(images))
        check_finite(logits, index, "the output of a probe")
        return logits.argmax(dim=-1)

    def on_test_start(self) -> None:
        """Discard the predictions of an earlier test: Lightning resets only metrics that are logged."""
        self.predictions.reset()

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        self.predicted = self.predictions.compute()


class Readers(nn.Module):
    """Several networks that see the same images; their logits are joined to ``(N, Q × classes)``.

    Args:
        networks: By name.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images ``(N, 3, H, W)``, one network's after another's."""
        return torch.cat([network(images) for network in self.networks.values()], dim=1)
