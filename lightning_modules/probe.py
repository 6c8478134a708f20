"""A fresh reader of an autoencoder's images: what is there to be read, whoever it was made for."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from datamodules.base import Split
from lightning_modules.finiteness import check_finite
from lightning_modules.optimization import OptimizerFactory, Schedule, TrainedModule
from metrics import PerImage
from networks.classifier import freeze
from networks.segnet import SegNet


class Probe(TrainedModule):
    """A network trained on frozen reconstructions to answer several questions about each image at once.

    Noise covers what is too faint for a reader to rely on; it is new in every training step, and a function of the
    image alone in the test. After ``trainer.test`` the classes seen are in ``predicted``, ``(images, Q)``, the same for
    any number of ranks.

    Args:
        autoencoder: Makes the images that are read; ``None`` leaves them as they are.
        reader: From images ``(N, 3, H, W)`` to logits ``(N, Q × classes)``.
        answers: The right classes of each split's images, ``(images, Q)``.
        classes: Number of classes of every question.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        noise: Standard deviation of normal noise on the images read, of pixels in [0, 1].
        seed: Decides the noise in the test.
    """

    def __init__(
        self,
        autoencoder: SegNet | None,
        reader: nn.Module,
        answers: Mapping[Split, Tensor],
        classes: int,
        make_optimizer: OptimizerFactory,
        schedule: Schedule = "one_cycle",
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(make_optimizer, schedule)
        self.autoencoder = nn.Identity() if autoencoder is None else freeze(autoencoder)
        self.reader, self.classes, self.noise, self.seed = reader, classes, noise, seed
        for name, right in answers.items():
            self.register_buffer(f"{name}_answers", right, persistent=False)
        self.accuracy = MeanMetric(nan_strategy="disable")
        self.predictions = PerImage(len(answers["test"]), answers["test"].shape[1:], torch.long, complete=False)

    def train(self, mode: bool = True) -> "Probe":
        """Set the mode of the reader; the autoencoder stays in eval mode."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Logits ``(N, Q, classes)`` of images, whose reconstructions get the noise added."""
        with torch.no_grad():
            seen = self.autoencoder(images)
        logits: Tensor = self.reader(seen + self.noise * noise)
        return logits.unflatten(1, (-1, self.classes))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean cross-entropy over the questions."""
        images, _, index = batch
        logits = self(images, torch.randn_like(images))
        return F.cross_entropy(logits.flatten(0, 1), self.get_buffer("train_answers")[index].flatten())

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Mean accuracy over the questions; logged as ``val/accuracy``."""
        images, _, index = batch
        if not len(images):
            return  # none of them could be read
        self.accuracy((self.read(images, index) == self.get_buffer("val_answers")[index]).float())
        self.log("val/accuracy", self.accuracy, prog_bar=True, batch_size=len(images))

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Note the classes seen."""
        images, _, index = batch
        if not len(images):
            return  # none of them could be read
        self.predictions.update(self.read(images, index), index)

    def read(self, images: Tensor, index: Tensor) -> Tensor:
        """The classes seen in images with their own noise, ``(N, Q)``."""
        logits = self(images, fixed_noise(index, images.shape[1:], self.seed).to(images))
        check_finite(logits, index, "the output of a probe")
        return logits.argmax(dim=-1)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        self.predictions.reset()

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        self.predicted = self.predictions.compute()


class Readers(nn.Module):
    """Several networks that read the same images; their logits ``(N, Q × classes)`` are joined.

    Args:
        networks: By name.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images ``(N, 3, H, W)``, network after network."""
        return torch.cat([network(images) for network in self.networks.values()], dim=1)


def fixed_noise(index: Tensor, shape: torch.Size, seed: int) -> Tensor:
    """Normal noise for each image ``(N, *shape)``, decided by the seed and the image's position alone."""
    generators = [torch.Generator().manual_seed(hash((seed, image)) % 2**62) for image in index.tolist()]
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])
