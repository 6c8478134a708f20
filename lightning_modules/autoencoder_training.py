"""What every training of an autoencoder shares: which half of it learns."""

from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from lightning_modules.optimization import OptimizerFactory, Schedule, TrainedModule
from networks.classifier import freeze
from networks.segnet import SegNet, Switches

Trained = Literal["decoder", "encoder", "both"]


class AutoencoderTraining(TrainedModule):
    """An autoencoder of which a part learns; what is frozen stays out of optimiser and checkpoints, in eval mode.

    Args:
        autoencoder: The network, changed in place.
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule.
        trained: Which half of the autoencoder learns, or ``both``.
    """

    strict_loading = False  # checkpoints hold only what is trained; the rest comes from its own weights

    def __init__(
        self, autoencoder: SegNet, make_optimizer: OptimizerFactory, schedule: Schedule, trained: Trained
    ) -> None:
        super().__init__(make_optimizer, schedule)
        if trained not in get_args(Trained):
            raise ValueError(f"finetune.trained={trained!r} is unknown; choose from {', '.join(get_args(Trained))}")
        self.autoencoder = autoencoder
        self.frozen: list[str] = []
        if trained != "both":
            self.freeze_part("autoencoder.encoder" if trained == "decoder" else "autoencoder.decoder")

    def freeze_part(self, name: str) -> None:
        """Keep a submodule as it is."""
        self.frozen.append(name)
        freeze(self.get_submodule(name))

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
        return {key: value for key, value in state.items() if not key.startswith(frozen)} if frozen else state

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images ``(N, 3, H, W)`` in [0, 1]; the result may leave that range."""
        return self.autoencoder.decode(*self.encode(images))

    def encode(self, images: Tensor) -> tuple[Tensor, Switches]:
        """The code and the switches of images; without gradients where the encoder is frozen."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and "autoencoder.encoder" not in self.frozen):
            return self.autoencoder.encode(images)
