"""The optimiser and learning-rate schedule of every trained module."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from lightning_modules.frozen import FrozenParts

Schedule = Literal["constant", "one_cycle", "plateau"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
NEVER = 2**62
OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class TrainedModule(FrozenParts):
    """A module with an optimiser and a learning-rate schedule, of which parts may be frozen.

    Args:
        make_optimizer: Makes the optimiser.
        schedule: Learning-rate schedule; see :func:`configure_optimization`.
    """

    def __init__(self, make_optimizer: OptimizerFactory, schedule: Schedule) -> None:
        super().__init__()
        self.make_optimizer, self.schedule = make_optimizer, schedule

    def configure_optimizers(self) -> Any:
        """The optimiser and schedule of the parameters that are trained."""
        return configure_optimization(self, self.make_optimizer, self.schedule)

    def on_validation_end(self) -> None:
        """Give the plateau schedule the new loss: Lightning would do so at the end of epochs only."""
        if self.schedule == "plateau" and self.trainer.state.fn == TrainerFn.FITTING:
            plateau: Any = self.lr_schedulers()
            plateau.step(self.trainer.callback_metrics["val/loss"])


def configure_optimization(
    module: pl.LightningModule, make_optimizer: OptimizerFactory, schedule: Schedule
) -> dict[str, Any]:
    """The return value of ``configure_optimizers``, for the parameters of a module that have gradients.

    Args:
        module: The module, attached to its trainer.
        make_optimizer: Makes an optimiser of parameters; its learning rate is the peak of ``one_cycle``.
        schedule: ``constant``; ``one_cycle`` (one warm-up and one cosine decay over the whole training); or
            ``plateau`` (× 0.2 after ten validations without a lower ``val/loss``; arXiv 1803.08337, section 3).

    Returns:
        Lightning's dictionary of ``optimizer`` and ``lr_scheduler``.

    Raises:
        ValueError: If the schedule is unknown.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is unknown; choose from {', '.join(SCHEDULES)}")
    optimizer = make_optimizer([parameter for parameter in module.parameters() if parameter.requires_grad])
    if schedule == "constant":
        return {"optimizer": optimizer}
    if schedule == "plateau":
        plateau = ReduceLROnPlateau(optimizer, factor=0.2, patience=9)  # it acts on the check after its patience
        never = {"interval": "epoch", "frequency": NEVER}  # TrainedModule steps it at every check, also in mid-epoch
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"} | never}
    one_cycle = OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=int(module.trainer.estimated_stepping_batches),
        cycle_momentum=False,  # Adam has no momentum to cycle; SGD's stays as configured
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": one_cycle, "interval": "step"}}
