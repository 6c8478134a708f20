"""Training of A_S, the autoencoder that all A_i start from."""

import torch.nn.functional as F
from torch import Tensor

from lightning_modules.autoencoder_training import AutoencoderTraining


class Pretraining(AutoencoderTraining):
    """An autoencoder trained without labels; logs ``train/loss`` and ``val/loss``.

    Source: arXiv 1803.08337, section 3: mean squared error of the normalised images.

    Args:
        See :class:`~lightning_modules.autoencoder_training.AutoencoderTraining`.
    """

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        """Mean squared error of one batch."""
        loss = F.mse_loss(*self.normalized(batch[0]))
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=len(batch[0]), sync_dist=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Mean squared error over all images of the split."""
        if len(batch[0]):  # else none of them could be read
            self.loss(F.mse_loss(*self.normalized(batch[0]), reduction="none").flatten(1).mean(1))
            self.log("val/loss", self.loss, prog_bar=True, batch_size=len(batch[0]))

    def normalized(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstructions of images ``(N, 3, H, W)`` in [0, 1], and the images, both normalised."""
        normalize = self.autoencoder.normalization
        return normalize(self(images)), normalize(images)
