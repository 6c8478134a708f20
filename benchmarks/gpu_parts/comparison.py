"""The same computation on two devices: what is collected of it, and how far the two are apart."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from networks.classifier import Classifier
from networks.segnet import SegNet

Collected = dict[str, dict[str, Tensor]]  # by kind (outputs, loss, gradients, weights, results), then by name
KINDS = ("outputs", "loss", "gradients", "weights", "results")
FLOOR = 1e-3  # share of the largest value of a kind below which a tensor counts as noise
Read = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """A module and one training step or one test of it.

    Attributes:
        name: Its name.
        make: Makes the module and its data, the same in every call; what must stay open meanwhile goes on the stack.
        verb: What the trainer does.
        read: Takes results from the module after that.
        output: The submodule of which the last output in training is compared; ``""``: none.
        bound: Largest relative difference that is expected in float32; ``None``: any, because signs of tiny numbers
            decide.
        unequal: Most whole numbers that may differ, as counts of values at the edge of a bin.
        epochs: Passes of the training.
        half: Whether it also runs in half precision.
        random: Whether it draws random numbers on the device: then it must only run and stay finite.
    """

    name: str
    make: Callable[[ExitStack], tuple[pl.LightningModule, pl.LightningDataModule | None]]
    verb: Literal["fit", "test"]
    read: Read = lambda module: {}
    output: str = ""
    bound: float | None = 1e-4
    unequal: int = 0
    epochs: int = 1
    half: bool = True
    random: bool = False


@dataclass(frozen=True)
class Mode:
    """How a case is computed.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: Lightning's name.
        tf32: Whether convolutions of float32 may round to TF32, PyTorch's default.
    """

    device: str
    precision: str = "32-true"
    tf32: bool = False


class Batches(pl.LightningDataModule):
    """Batches that are in memory, for every split.

    Args:
        batches: The batches.
    """

    def __init__(self, batches: Sequence[Any]) -> None:
        super().__init__()
        self.batches = list(batches)

    def train_dataloader(self) -> DataLoader[Any]:
        """All batches, in their order."""
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]

    val_dataloader = test_dataloader = train_dataloader


class Watch(Callback):
    """Keeps the loss, the gradients and the last output of a submodule of the first training step.

    Args:
        output: Name of the submodule; ``""``: none.
    """

    def __init__(self, output: str) -> None:
        self.output = output
        self.kept: Collected = {kind: {} for kind in KINDS}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hook the submodule."""
        if self.output:
            pl_module.get_submodule(self.output).register_forward_hook(self.keep)

    def keep(self, module: nn.Module, arguments: Any, output: Tensor) -> None:
        """Keep an output of the first step."""
        if not self.kept["loss"]:
            self.kept["outputs"][self.output] = output.detach()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Keep the gradients of the first step."""
        if not self.kept["gradients"]:
            named = pl_module.named_parameters()
            self.kept["gradients"] = {name: part.grad.clone() for name, part in named if part.grad is not None}

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the loss."""
        if not self.kept["loss"] and isinstance(outputs, dict) and "loss" in outputs:
            self.kept["loss"]["loss"] = outputs["loss"].detach().clone()


def collect(case: Case, mode: Mode, seed: int, **trainer_options: Any) -> Collected:
    """Compute a case; everything is on the CPU afterwards.

    Args:
        case: The case.
        mode: How it is computed.
        seed: Of weights and images.
        **trainer_options: Options of the trainer that replace those of the mode.
    """
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, mode.tf32
    watch = Watch(case.output)
    with ExitStack() as stack:
        torch.manual_seed(seed)
        module, data = case.make(stack)
        if mode.precision != "32-true":  # as trainer=gpu
            for part in module.modules():
                if isinstance(part, SegNet | Classifier):
                    part.to(memory_format=torch.channels_last)
        chosen: dict[str, Any] = {"accelerator": "gpu" if mode.device == "cuda" else "cpu", "devices": 1}
        trainer = pl.Trainer(
            **chosen | {"precision": mode.precision} | trainer_options, max_epochs=case.epochs, logger=False,
            enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0,
            limit_val_batches=0, use_distributed_sampler=False, callbacks=[watch],
        )  # fmt: skip
        torch.manual_seed(seed)
        if case.verb == "fit":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*You passed in a `val_dataloader`.*")
                trainer.fit(module, datamodule=data)
            watch.kept["weights"] = dict(module.state_dict())
        else:
            trainer.test(module, datamodule=data, verbose=False)
        results = tensors_of(case.read(module))
        results |= tensors_of({key: value for key, value in trainer.callback_metrics.items() if case.verb == "test"})
    return {kind: on_cpu(named) for kind, named in (watch.kept | {"results": results}).items()}


def tensors_of(values: Any, prefix: str = "") -> dict[str, Tensor]:
    """The numbers in nested mappings, dataclasses and lists, by a dotted name."""
    if is_dataclass(values) and not isinstance(values, type):
        values = {field.name: getattr(values, field.name) for field in fields(values)}
    if isinstance(values, Tensor):
        return {prefix: values}
    if isinstance(values, np.ndarray):
        return {prefix: torch.from_numpy(values)} if values.dtype.kind in "biuf" else {}
    if isinstance(values, bool | int | float):
        return {prefix: torch.tensor(values)}
    if isinstance(values, Mapping):
        entries = [(str(key), value) for key, value in values.items()]
    elif isinstance(values, list | tuple):
        entries = [(str(number), value) for number, value in enumerate(values)]
    else:
        return {}
    found: dict[str, Tensor] = {}
    for key, value in entries:
        found |= tensors_of(value, f"{prefix}.{key}" if prefix else key)
    return found


def on_cpu(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU; floats in float64."""
    copies = {name: tensor.detach().cpu() for name, tensor in named.items()}
    return {name: tensor.double() if tensor.is_floating_point() else tensor.clone() for name, tensor in copies.items()}


def apart(reference: Collected, other: Collected) -> dict[str, Any]:
    """How far two computations are apart.

    Args:
        reference: The one on the CPU.
        other: The other one.

    Returns:
        For each kind the largest relative difference (:func:`largest_difference`); ``unequal``, the number of whole
        numbers that differ; ``None`` for a kind that there is none of.

    Raises:
        ValueError: If one has a name or shape that the other does not have.
    """
    found: dict[str, Any] = {}
    unequal: int | None = None
    for kind in KINDS:
        one, two = reference[kind], other[kind]
        if one.keys() != two.keys():
            raise ValueError(f"{kind}: {sorted(one.keys() ^ two.keys())} are on one device only")
        for name, tensor in one.items():
            if tensor.shape != two[name].shape:
                raise ValueError(f"{kind}: {name} has shape {tuple(tensor.shape)}, then {tuple(two[name].shape)}")
            if not tensor.is_floating_point():
                unequal = (unequal or 0) + int((tensor != two[name]).sum())
        floats = {name: tensor for name, tensor in one.items() if tensor.is_floating_point()}
        found[kind] = largest_difference(floats, two) if floats else None
    return found | {"unequal": unequal}


def largest_difference(reference: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest difference in a tensor, relative to the tensor's largest value; the largest over all tensors.

    Tensors that are nearly 0 beside the others, as the gradient of a bias before a batch-norm, count relative to
    ``FLOOR`` times the largest value of all. NaN in the same positions of both is no difference; otherwise the result
    is infinite.
    """
    sizes = {name: largest(tensor) for name, tensor in reference.items()}
    floor = FLOOR * max(sizes.values(), default=0.0)
    worst = 0.0
    for name, tensor in reference.items():
        missing = torch.isnan(tensor)
        if not torch.equal(missing, torch.isnan(other[name])):
            return float("inf")
        difference = largest((tensor - other[name])[~missing & (tensor != other[name])])
        worst = max(worst, difference / max(sizes[name], floor) if difference else 0.0)
    return worst


def largest(tensor: Tensor) -> float:
    """The largest absolute value; NaN does not count."""
    values = tensor[~torch.isnan(tensor)].abs()
    return float(values.max()) if values.numel() else 0.0


def is_finite(collected: Collected) -> bool:
    """Whether every loss, gradient and weight is finite."""
    kinds = ("loss", "gradients", "weights")
    return all(bool(torch.isfinite(tensor).all()) for kind in kinds for tensor in collected[kind].values())
