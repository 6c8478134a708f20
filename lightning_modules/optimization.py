"""The optimiser, the learning-rate schedule and the validation of every trained module."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import torch.nn.functional as F
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torchmetrics import MeanMetric

from lightning_modules.frozen import FrozenParts

Schedule = Literal["constant", "one_cycle", "plateau"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
NEVER = 2**62
OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class TrainedModule(FrozenParts):
    """A module with an optimiser and a learning-rate schedule, of which parts may be frozen.

    Args:
        make_optimizer: Makes an optimiser of parameters; its learning rate is the peak of ``one_cycle``.
        schedule: ``constant``; ``one_cycle`` (one warm-up and one cosine decay over the whole training); or
            ``plateau`` (× 0.2 after ten validations without a lower ``val/loss``; arXiv 1803.08337, section 3).
    """

    def __init__(self, make_optimizer: OptimizerFactory, schedule: Schedule) -> None:
        super().__init__()
        self.make_optimizer, self.schedule = make_optimizer, schedule
        # By default torchmetrics leaves NaN out of a mean, which would hide a broken network
        self.accuracy, self.loss = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")

    def log_predictions(self, logits: Tensor, labels: Tensor) -> None:
        """Log ``val/accuracy`` and ``val/loss`` (the cross-entropy) of all images of the split.

        Args:
            logits: Of the images of a batch, ``(N, classes)``.
            labels: The right class of each image, ``(N,)``.
        """
        self.accuracy((logits.argmax(dim=1) == labels).float())
        self.log("val/accuracy", self.accuracy, prog_bar=True, batch_size=len(labels))
        self.loss(F.cross_entropy(logits, labels, reduction="none"))
        self.log("val/loss", self.loss, batch_size=len(labels))

    def configure_optimizers(self) -> Any:
        """The optimiser and schedule of the parameters that are trained."""
        optimizer = self.make_optimizer([parameter for parameter in self.parameters() if parameter.requires_grad])
        if self.schedule == "constant":
            return {"optimizer": optimizer}
        if self.schedule == "plateau":
            plateau = ReduceLROnPlateau(optimizer, factor=0.2, patience=9)  # it acts on the check after its patience
            never = {"interval": "epoch", "frequency": NEVER}  # on_validation_end steps it, also in mid-epoch
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"} | never}
        one_cycle = OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=int(self.trainer.estimated_stepping_batches),
            cycle_momentum=False,  # Adam has no momentum to cycle; SGD's stays as configured
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": one_cycle, "interval": "step"}}

    def on_validation_end(self) -> None:
        """Give the plateau schedule the new loss: Lightning would do so at the end of epochs only."""
        if self.schedule == "plateau" and self.trainer.state.fn == TrainerFn.FITTING:
            plateau: Any = self.lr_schedulers()
            plateau.step(self.trainer.callback_metrics["val/loss"])
