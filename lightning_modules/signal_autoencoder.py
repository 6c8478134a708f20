"""Fine-tuning of an autoencoder through a frozen classifier: A_i."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.autoencoder_training import AutoencoderTraining, Trained
from lightning_modules.finiteness import check_finite
from lightning_modules.optimization import OptimizerFactory, Schedule
from lightning_modules.rate_weight import RateWeight
from metrics.nmi import NormalizedMutualInformation
from networks.classifier import Classifier
from networks.segnet import SegNet

Targets = Literal["labels", "class", "distribution"]


class SignalAutoencoder(AutoencoderTraining):
    """An autoencoder fine-tuned by a frozen classifier's loss, so that it keeps what that classifier uses.

    As published, the only loss is the classifier's cross-entropy on the unclamped reconstruction: that is with all
    options after ``nmi_bins`` off (0, ``None`` or empty). Everything that is not trained is frozen. Logs
    ``train/loss``, ``val/loss``, ``val/accuracy`` and ``val/nmi`` (between an image and its reconstruction).

    Source: arXiv 1803.08337, section 3. The options after ``nmi_bins`` are this project's; ``rate`` is the variational
    information bottleneck (arXiv 1612.00410), with noise of variance 1 or less: see ``rate``.

    Args:
        autoencoder: The pre-trained autoencoder, A_S; changed in place.
        classifier: The classifier; frozen.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        trained: Which half of the autoencoder is trained (``decoder`` did best in the paper), or ``both``.
        nmi_bins: Intensity bins of ``val/nmi``.
        anchor: Weight of the mean squared error of the normalised images, added to the cross-entropy. It keeps
            reconstructions near the images that classifiers were trained on.
        energy: Weight of the mean square of the normalised reconstructions. What the classifier does not need fades to
            the mean colour.
        rate: Weight of the code's rate, in nats for each image. In training, normal noise is added to the code, and
            half the code's sum of squares (times this weight) to the loss, so that the code omits what is not needed.
            Each image's noise has a standard deviation drawn from [0, 1].
        tolerance: Cross-entropy, in nats, at which the rate's weight is lowered to 0, see
            :class:`~lightning_modules.rate_weight.RateWeight`. ``None`` keeps it at ``rate``.
        noise: Largest standard deviation of the noise added to reconstructions in training, for pixels in [0, 1]. It
            hides what is too faint. Each image's standard deviation is drawn from [0, ``noise``], so that the
            classifier also sees reconstructions without noise.
        shift: Pixels by which each batch of reconstructions is moved at most in training, in each direction. What
            depends on the exact position is lost.
        siblings: Classifiers trained on the same labels; the loss is the mean over them and ``classifier``.
        targets: ``labels``, those of the images; or the decisions of ``classifier`` on the original images, as it sees
            them after augmentation: the ``class`` that it predicts, or its ``distribution`` (softmax) over all classes.
        least_confidence: Images on which the decision has a lower probability have no part in the training.

    Raises:
        ValueError: If there is a tolerance but no rate.
    """

    def __init__(
        self,
        autoencoder: SegNet,
        classifier: Classifier,
        make_optimizer: OptimizerFactory,
        schedule: Schedule,
        trained: Trained,
        nmi_bins: int,
        *,
        anchor: float,
        energy: float,
        rate: float,
        tolerance: float | None,
        noise: float,
        shift: int,
        siblings: Sequence[Classifier],
        targets: Targets,
        least_confidence: float,
    ) -> None:
        super().__init__(autoencoder, make_optimizer, schedule, trained)
        self.classifier, self.siblings = classifier, nn.ModuleList(siblings)
        self.anchor, self.energy, self.noise, self.shift = anchor, energy, noise, shift
        self.targets, self.least_confidence = targets, least_confidence
        self.rate_weight = RateWeight(rate, tolerance) if rate or tolerance is not None else None
        self.freeze_parts("classifier", "siblings")
        self.nmi = NormalizedMutualInformation(bins=nmi_bins)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """The classifiers' cross-entropy on the reconstructions of one batch, plus the terms that are on."""
        images, labels, _ = batch
        code, switches = self.encode(images)
        sent = with_noise(code, 1.0) if self.rate_weight else code
        reconstructions = self.autoencoder.decode(sent, switches)
        shown = disturbed(reconstructions, self.noise, self.shift)
        classifiers = [self.classifier, *self.siblings]
        targets, weights = self.targets_of(images, labels)
        losses = [mean_cross_entropy(classifier(shown), targets, weights) for classifier in classifiers]
        loss = torch.stack(losses).mean()
        if self.rate_weight:
            if self.rate_weight.tolerance is not None:  # all ranks must use the same weight: reduce first
                self.rate_weight.update(self.trainer.strategy.reduce(loss.detach().clone(), reduce_op="mean"))
            weight = self.rate_weight.value
            self.log("train/rate_weight", weight, on_epoch=True, on_step=False, batch_size=len(images))
            # Half the squares are the KL divergence of N(code, 1) from N(0, 1) (arXiv 1612.00410)
            loss = loss + weight * code.square().flatten(1).sum(dim=1).mean() / 2
        normalize = self.autoencoder.normalization
        if self.anchor:
            loss = loss + self.anchor * F.mse_loss(normalize(reconstructions), normalize(images))
        if self.energy:
            loss = loss + self.energy * normalize(reconstructions).square().mean()
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=len(images), sync_dist=True)
        return loss

    @torch.no_grad()
    def targets_of(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the loss compares logits with, and the weight, 0 or 1, of each image ``(N,)``; ``None``: all count.

        Args:
            images: The originals, ``(N, 3, H, W)``.
            labels: Their labels, ``(N,)``.

        Returns:
            Classes ``(N,)`` or probabilities ``(N, classes)``, and the weights.
        """
        if self.targets == "labels":
            return labels, None
        logits = self.classifier(images)
        probabilities = logits.softmax(dim=1)
        confidence = probabilities.amax(dim=1)
        weights = (confidence >= self.least_confidence).to(logits.dtype) if self.least_confidence else None
        return (logits.argmax(dim=1) if self.targets == "class" else probabilities), weights

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """The classifier's accuracy and loss on reconstructions, and their nMI with the images."""
        images, labels, index = batch
        if not len(images):
            return  # none of them could be read
        reconstructions = self(images)
        check_finite(reconstructions, index, "a reconstruction in validation")
        self.log_predictions(self.classifier(reconstructions), labels)
        self.nmi.update(images, reconstructions.clamp(0, 1))

    def on_validation_epoch_end(self) -> None:
        """Log the mean nMI."""
        # Not passed to log() as a metric: it returns a dictionary
        self.log("val/nmi", self.nmi.compute()["mean"].float(), sync_dist=True)
        self.nmi.reset()


def mean_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """The mean cross-entropy of the images whose weight is 1, or of all; 0 if no image counts.

    Args:
        logits: Shape ``(N, classes)``.
        targets: Classes ``(N,)`` or probabilities ``(N, classes)``.
        weights: 0 or 1 for each image, ``(N,)``, or ``None``.
    """
    if weights is None:
        return F.cross_entropy(logits, targets)
    losses = F.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1)


def disturbed(images: Tensor, noise: float, shift: int) -> Tensor:
    """Images ``(N, 3, H, W)``, all moved alike by up to ``shift`` pixels (edges repeated), with normal noise.

    The standard deviation of the noise is drawn for each image, uniformly from [0, ``noise``].
    """
    if shift:
        down, right = torch.randint(2 * shift + 1, (2,)).tolist()
        height, width = images.shape[-2:]
        images = F.pad(images, [shift] * 4, mode="replicate")[..., down : down + height, right : right + width]
    return with_noise(images, noise) if noise else images


def with_noise(values: Tensor, most: float) -> Tensor:
    """Values ``(N, C, H, W)`` with normal noise; each image's deviation is drawn uniformly from [0, ``most``]."""
    deviation = most * torch.rand(len(values), 1, 1, 1, dtype=values.dtype, device=values.device)
    return values + deviation * torch.randn_like(values)
