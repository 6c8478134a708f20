"""Fine-tuning of an autoencoder through a frozen classifier: A_i."""

from typing import Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from lightning_modules.finiteness import check_finite
from lightning_modules.optimization import OptimizerFactory, Schedule, TrainedModule
from metrics import NormalizedMutualInformation
from networks.classifier import Classifier, freeze
from networks.segnet import SegNet

Trained = Literal["decoder", "encoder", "both"]


class SignalAutoencoder(TrainedModule):
    """An autoencoder fine-tuned by a frozen classifier's own loss, so that it keeps what that classifier uses.

    The only loss is the classifier's cross-entropy on the unclamped reconstruction. What is not trained is frozen: no
    gradient, eval mode (also its batch-norm), not in the optimiser, not in checkpoints. Logs ``train/loss``,
    ``val/loss``, ``val/accuracy`` and ``val/nmi`` (between an image and its reconstruction).

    Source: arXiv 1803.08337, section 3.

    Args:
        autoencoder: The pre-trained autoencoder, A_S; changed in place.
        classifier: The classifier whose signal is wanted.
        classes: Number of classes.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        trained: Which half of the autoencoder learns (``decoder`` did best in the paper), or ``both``.
        nmi_bins: Intensity bins of ``val/nmi``.
    """

    strict_loading = False  # checkpoints hold only what is trained; the rest comes from its own weights

    def __init__(
        self,
        autoencoder: SegNet,
        classifier: Classifier,
        classes: int,
        make_optimizer: OptimizerFactory,
        schedule: Schedule = "one_cycle",
        trained: Trained = "decoder",
        nmi_bins: int = 16,
    ) -> None:
        super().__init__(make_optimizer, schedule)
        if trained not in get_args(Trained):
            raise ValueError(f"finetune.trained={trained!r} is unknown; choose from {', '.join(get_args(Trained))}")
        self.autoencoder, self.classifier = autoencoder, classifier
        self.frozen = ["classifier"]
        if trained != "both":
            self.frozen.append("autoencoder.encoder" if trained == "decoder" else "autoencoder.decoder")
        for name in self.frozen:
            freeze(self.get_submodule(name))
        self.accuracy, self.loss = MulticlassAccuracy(classes, average="micro"), MeanMetric(nan_strategy="disable")
        self.nmi = NormalizedMutualInformation(bins=nmi_bins)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what is trained; frozen parts stay in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Weights of what is trained."""
        frozen = tuple(f"{name}." for name in self.frozen)
        state = super().state_dict(*args, **kwargs)
        return {key: value for key, value in state.items() if not key.startswith(frozen)}

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images ``(N, 3, H, W)`` in [0, 1]; the result may leave that range."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and "autoencoder.encoder" not in self.frozen):
            code, switches = self.autoencoder.encode(images)
        return self.autoencoder.decode(code, switches)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """The classifier's cross-entropy on the reconstructions of one batch."""
        images, labels, _ = batch
        loss = F.cross_entropy(self.classifier(self(images)), labels)
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
