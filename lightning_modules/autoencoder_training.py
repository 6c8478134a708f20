"""Training of an autoencoder, or of one half of it."""

from typing import Literal

import torch
from torch import Tensor

from lightning_modules.optimization import OptimizerFactory, Schedule, TrainedModule
from networks.segnet import SegNet, Switches

Trained = Literal["decoder", "encoder", "both"]


class AutoencoderTraining(TrainedModule):
    """An autoencoder of which a part is trained and the rest is frozen.

    Args:
        autoencoder: The network, changed in place.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        trained: Which half of the autoencoder is trained, or ``both``.
    """

    def __init__(
        self, autoencoder: SegNet, make_optimizer: OptimizerFactory, schedule: Schedule, trained: Trained
    ) -> None:
        super().__init__(make_optimizer, schedule)
        self.autoencoder = autoencoder
        if trained != "both":
            self.freeze_parts("autoencoder.encoder" if trained == "decoder" else "autoencoder.decoder")

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images ``(N, 3, H, W)`` in [0, 1]; the result may leave that range."""
        return self.autoencoder.decode(*self.encode(images))

    def encode(self, images: Tensor) -> tuple[Tensor, Switches]:
        """The code and the switches of images; without gradients if the encoder is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and "autoencoder.encoder" not in self.frozen):
            return self.autoencoder.encode(images)
