"""Fine-tuning of an autoencoder through a frozen classifier: A_i."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from lightning_modules.autoencoder_training import AutoencoderTraining, Trained
from lightning_modules.finiteness import check_finite
from lightning_modules.optimization import OptimizerFactory, Schedule
from lightning_modules.rate_weight import RateWeight
from metrics import NormalizedMutualInformation
from networks.classifier import Classifier
from networks.segnet import SegNet


class SignalAutoencoder(AutoencoderTraining):
    """An autoencoder fine-tuned by a frozen classifier's own loss, so that it keeps what that classifier uses.

    As published, the only loss is the classifier's cross-entropy on the unclamped reconstruction. What is not trained
    is frozen: no gradient, eval mode (also its batch-norm), not in the optimiser, not in checkpoints. Logs
    ``train/loss``, ``val/loss``, ``val/accuracy`` and ``val/nmi`` (between an image and its reconstruction).

    Source: arXiv 1803.08337, section 3. What comes after ``nmi_bins`` is this project's own; ``rate`` is the
    variational information bottleneck (arXiv 1612.00410) with a noise of variance 1, or less: see ``rate``.

    Args:
        autoencoder: The pre-trained autoencoder, A_S; changed in place.
        classifier: The classifier whose signal is wanted.
        classes: Number of classes.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        trained: Which half of the autoencoder learns (``decoder`` did best in the paper), or ``both``.
        nmi_bins: Intensity bins of ``val/nmi``.
        anchor: Weight of the mean squared error of the normalised images, added to the cross-entropy: it keeps
            reconstructions where classifiers were trained.
        energy: Weight of the mean square of the normalised reconstructions: what the classifier does not need fades to
            the mean colour.
        rate: Weight of the code's rate, in nats for each image: in training, normal noise of variance 1 or less is
            added to the code, and half its sum of squares to the loss, so that what is not needed is not sent.
        tolerance: Cross-entropy, in nats, at which that weight is lowered to 0; the smaller the cross-entropy, the
            nearer the weight is to ``rate``. ``None`` keeps it at ``rate``.
        noise: Standard deviation of noise added to the reconstructions in training, of pixels in [0, 1]: it drowns
            what is too faint. Of each image between 0 and this, so that images without noise are learnt, too (as for
            the noise of ``rate``).
        shift: Pixels by which each batch of reconstructions is moved at most in training, in each direction: what
            depends on the exact place is lost.
        siblings: Classifiers that were asked the same; the loss is the mean over them and ``classifier``.
    """

    def __init__(
        self,
        autoencoder: SegNet,
        classifier: Classifier,
        classes: int,
        make_optimizer: OptimizerFactory,
        schedule: Schedule = "one_cycle",
        trained: Trained = "decoder",
        nmi_bins: int = 16,
        *,
        anchor: float = 0.0,
        energy: float = 0.0,
        rate: float = 0.0,
        tolerance: float | None = None,
        noise: float = 0.0,
        shift: int = 0,
        siblings: Sequence[Classifier] = (),
    ) -> None:
        super().__init__(autoencoder, make_optimizer, schedule, trained)
        weights = {"anchor": anchor, "energy": energy, "rate": rate, "noise": noise, "shift": shift}
        for name, value in weights.items():
            if value < 0:
                raise ValueError(f"finetune.{name}={value}: use 0, which is without, or more")
        if rate and trained == "decoder":
            raise ValueError(f"finetune.rate={rate} needs an encoder that learns: use finetune.trained=both")
        self.classifier, self.siblings = classifier, nn.ModuleList(siblings)
        self.anchor, self.energy, self.noise, self.shift = anchor, energy, noise, shift
        self.price = RateWeight(rate, tolerance) if rate or tolerance is not None else None
        self.freeze_part("classifier")
        self.freeze_part("siblings")
        self.accuracy, self.loss = MulticlassAccuracy(classes, average="micro"), MeanMetric(nan_strategy="disable")
        self.nmi = NormalizedMutualInformation(bins=nmi_bins)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """The classifiers' cross-entropy on the reconstructions of one batch, and what else they should be."""
        images, labels, _ = batch
        code, switches = self.encode(images)
        sent = with_noise(code, 1.0) if self.price else code
        reconstructions = self.autoencoder.decode(sent, switches)
        seen = disturbed(reconstructions, self.noise, self.shift)
        readers = [self.classifier, *self.siblings]
        loss = torch.stack([F.cross_entropy(reader(seen), labels) for reader in readers]).mean()
        if self.price:
            if self.price.tolerance is not None:
                self.price.update(self.trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean"))
            self.log("train/price", self.price.value, on_epoch=True, on_step=False, batch_size=len(images))
            loss = loss + self.price.value * code.square().flatten(1).sum(dim=1).mean() / 2
        normalize = self.autoencoder.normalization
        if self.anchor:
            loss = loss + self.anchor * F.mse_loss(normalize(reconstructions), normalize(images))
        if self.energy:
            loss = loss + self.energy * normalize(reconstructions).square().mean()
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """What the classifier makes of the reconstructions, and how much of the images they keep."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        reconstructions = self(images)
        check_finite(reconstructions, index, "a reconstruction in validation")
        logits = self.classifier(reconstructions)
        self.accuracy(logits, labels)
        self.nmi.update(images, reconstructions.clamp(0, 1))
        self.log("val/accuracy", self.accuracy, prog_bar=True, batch_size=len(images))
        self.loss(F.cross_entropy(logits, labels, reduction="none"))
        self.log("val/loss", self.loss, batch_size=len(images))

    def on_validation_epoch_end(self) -> None:
        """Log the mean nMI."""
        self.log("val/nmi", self.nmi.compute()["mean"].float(), sync_dist=True)
        self.nmi.reset()


def disturbed(images: Tensor, noise: float, shift: int) -> Tensor:
    """Images ``(N, 3, H, W)``, moved together by up to ``shift`` pixels (edges repeated), with normal noise.

    The standard deviation of the noise is drawn for each image, evenly between 0 and ``noise``.
    """
    if shift:
        down, right = torch.randint(2 * shift + 1, (2,)).tolist()
        height, width = images.shape[-2:]
        images = F.pad(images, [shift] * 4, mode="replicate")[..., down : down + height, right : right + width]
    return with_noise(images, noise) if noise else images


def with_noise(values: Tensor, most: float) -> Tensor:
    """Values ``(N, C, H, W)`` with normal noise; the deviation of each of N is drawn, evenly from 0 to ``most``."""
    deviation = most * torch.rand(len(values), 1, 1, 1, dtype=values.dtype, device=values.device)
    return values + deviation * torch.randn_like(values)
