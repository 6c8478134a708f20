"""Parts of a LightningModule that are never trained."""

from typing import Any, Self

import pytorch_lightning as pl

from networks.classifier import freeze


class FrozenParts(pl.LightningModule):
    """A module of which some parts stay as they are: frozen parts have no gradients and are always in eval mode.

    Frozen parts are left out of checkpoints, which then hold only what is trained; the rest comes from its own weight
    files. Optimisers get only parameters with gradients (:mod:`lightning_modules.optimization`), so they never see
    a frozen part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.frozen: list[str] = []

    def freeze_parts(self, *names: str) -> None:
        """Freeze submodules, given by their names as in ``named_modules``."""
        self.frozen += names
        self.strict_loading = False  # checkpoints lack the frozen parts
        for name in names:
            freeze(self.get_submodule(name))

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what is trained; frozen parts stay in eval mode: no dropout, no batch-norm updates."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Weights of what is not frozen."""
        frozen = tuple(f"{name}." for name in self.frozen)
        state = super().state_dict(*args, **kwargs)
        return {key: value for key, value in state.items() if not key.startswith(frozen)}
