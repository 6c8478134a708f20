"""The optimiser and learning-rate schedule that every trained module shares."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

Schedule = Literal["constant", "one_cycle", "plateau"]
OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


def configure_optimization(
    module: pl.LightningModule, make_optimizer: OptimizerFactory, schedule: Schedule
) -> dict[str, Any]:
    """Build what ``configure_optimizers`` returns, for the parameters of a module that want a gradient.

    Args:
        module: The module, attached to its trainer.
        make_optimizer: Makes an optimiser of parameters; its learning rate is the peak of ``one_cycle``.
        schedule: ``constant``; ``one_cycle`` (one warm-up and one cosine decay over the whole training); or
            ``plateau`` (× 0.2 after ten validations without a lower ``val/loss``; arXiv 1803.08337, section 3).

    Returns:
        Lightning's dictionary of ``optimizer`` and ``lr_scheduler``.
    """
    if schedule not in get_args(Schedule):
        raise ValueError(f"schedule={schedule!r} is unknown; choose from {', '.join(get_args(Schedule))}")
    optimizer = make_optimizer([parameter for parameter in module.parameters() if parameter.requires_grad])
    if schedule == "constant":
        return {"optimizer": optimizer}
    if schedule == "plateau":
        plateau = ReduceLROnPlateau(optimizer, factor=0.2, patience=9)  # it acts on the check after its patience
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"} | checks(module)}
    one_cycle = OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=int(module.trainer.estimated_stepping_batches),
        cycle_momentum=False,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": one_cycle, "interval": "step"}}


def checks(module: pl.LightningModule) -> dict[str, Any]:
    """When the trainer validates, in Lightning's words for a scheduler."""
    epochs = module.trainer.check_val_every_n_epoch
    if epochs is not None:
        return {"interval": "epoch", "frequency": epochs}
    return {"interval": "step", "frequency": int(module.trainer.val_check_interval)}
