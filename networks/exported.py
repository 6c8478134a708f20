"""Programs of ``torch.export`` as classifiers: any architecture, without its code."""

import math
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest.mock import patch

import torch
import torch.export
from torch import Tensor, nn
from torch.export.pt2_archive import _package
from torch.fx import GraphModule
from torch.fx.node import map_aggregate

from networks.program_files import ProgramFile

SPECIALISED = 2  # the lowest size that torch.export writes of a dimension that it takes to be free


class ExportedNetwork(nn.Module):
    """A program as a module: gradients reach its input, and it can be moved and frozen.

    Args:
        program: The program; it takes images ``(N, 3, H, W)``.

    Attributes:
        limits: The fewest and the most images that the program takes at once; ``None`` for no most.
        sides: Height and width that it takes; ``None`` where any.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        [shape] = [value.shape for value in inputs(program)]
        self.limits = batch_limits(program, shape[0])
        self.sides = tuple(side if isinstance(side, int) else None for side in shape[2:])
        self.program = program.module()
        self.register_buffer("place", torch.empty(0), persistent=False)

    def forward(self, images: Tensor) -> Any:
        """The output of the program for any number of images.

        Of more images than it takes at once, parts are computed one after the other; of fewer, the last image is
        repeated, and what is computed for the copies is cut off.

        Raises:
            ValueError: If the images have another size than the program takes.
        """
        if any(side not in (None, given) for side, given in zip(self.sides, images.shape[2:], strict=True)):
            shapes = [" × ".join(map(str, shape)) for shape in (self.sides, images.shape[2:])]
            raise ValueError(f"the program takes images of {shapes[0]} pixels, not {shapes[1]}: set network.size")
        fewest, most = self.limits
        if fewest <= len(images) <= (most or math.inf):
            return self.program(images)
        parts = []
        for part in images.split(most or len(images)):
            missing = max(0, fewest - len(part))
            filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
            parts.append(cut(self.program(filled), len(part)))
        return joined(parts)

    def train(self, mode: bool = True) -> Self:
        """Do nothing to the program: it was exported in one mode, and refuses to change it."""
        self.training = mode
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move the program, with the devices that its operators name."""
        super()._apply(fn, recurse)
        for module in self.program.modules():
            if isinstance(module, GraphModule):
                move_operators(module, self.get_buffer("place").device)
        return self


def exported_network(path: str, classes: int | None) -> ExportedNetwork:
    """A classifier from a file of ``torch.export.save``.

    Args:
        path: The file, usually ``.pt2``.
        classes: Not used: the program knows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no program, takes something else than images, or holds what could run code.
    """
    file = ProgramFile(path).rewritten()
    with nothing_is_unpickled():
        try:
            program = _package.load_pt2(file).exported_programs["model"]
        except Exception as error:  # of a damaged file, anything
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{path} cannot be loaded as a program of torch.export ({reason}): export it again"
            ) from error
    [taken] = inputs(program)
    if taken.ndim != 4 or taken.shape[1] != 3 or taken.dtype != torch.float32:
        shape = " × ".join(map(str, taken.shape))
        raise ValueError(f"{path} takes {shape} of {taken.dtype}: export a program of float32 images (N, 3, H, W)")
    if trains(program):
        raise ValueError(f"{path} was exported in training mode: call eval() of the network, then export it again")
    return ExportedNetwork(program)


def inputs(program: torch.export.ExportedProgram) -> list[Tensor]:
    """The inputs that a user gives, as tensors without values; sizes that are not fixed are symbols."""
    names = program.graph_signature.user_inputs
    return [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def batch_limits(program: torch.export.ExportedProgram, batch: Any) -> tuple[int, int | None]:
    """The fewest and the most images that a program takes at once.

    Raises:
        ValueError: If only some numbers between them are possible, as multiples of 8.
    """
    if isinstance(batch, int):
        return batch, batch
    limits = program.range_constraints.get(batch.node.expr)
    if limits is None:
        raise ValueError(f"the program takes batches of {batch} images: export it with a fixed or any number of images")
    fewest, most = float(limits.lower), float(limits.upper)
    return 1 if fewest <= SPECIALISED else int(fewest), int(most) if math.isfinite(most) else None


def trains(program: torch.export.ExportedProgram) -> bool:
    """Whether an operator of a program is in training mode, as dropout and batch norms can be."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema is not None else []
        given = dict(zip(names, node.args, strict=False)) | node.kwargs
        if given.get("train") is True or given.get("training") is True:
            return True
    return bool(program.graph_signature.buffers_to_mutate)


def move_operators(program: GraphModule, device: torch.device) -> None:
    """Let operators make tensors on a device, where they name another."""

    def placed(value: Any) -> Any:
        return device if isinstance(value, torch.device) else value

    for node in program.graph.nodes:
        node.args, node.kwargs = map_aggregate(node.args, placed), map_aggregate(node.kwargs, placed)
    program.recompile()


def cut(output: Any, count: int) -> Any:
    """The first rows of every tensor of an output."""
    if isinstance(output, dict):
        return {name: cut(value, count) for name, value in output.items()}
    if isinstance(output, list | tuple):
        return tuple(cut(value, count) for value in output)
    return output[:count] if isinstance(output, Tensor) and output.ndim else output


def joined(parts: list[Any]) -> Any:
    """Outputs for parts of a batch, put together."""
    first = parts[0]
    if isinstance(first, dict):
        return {name: joined([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple):
        return tuple(joined([part[number] for part in parts]) for number in range(len(first)))
    return torch.cat(parts) if isinstance(first, Tensor) and first.ndim else first


def exported_metadata(path: str) -> dict[str, Any]:
    """What a file says of itself in its extra file ``metadata.json``, such as ``mean``, ``std`` and ``class_names``.

    The size of images is taken from the program if it is fixed there.
    """
    file = ProgramFile(path)
    size = fixed_side(file.program)
    return ({"size": size} if size else {}) | file.metadata


def fixed_side(program: dict[str, Any]) -> int | None:
    """The side of the square images that a program takes, in pixels, if it is fixed."""
    module = program["graph_module"]
    [given] = [spec["user_input"]["arg"] for spec in module["signature"]["input_specs"] if "user_input" in spec]
    sides = [size.get("as_int") for size in module["graph"]["tensor_values"][given["as_tensor"]["name"]]["sizes"][2:]]
    return sides[0] if len(set(sides)) == 1 else None


@contextmanager
def nothing_is_unpickled() -> Iterator[None]:
    """Let ``torch.load`` read tensors alone, and refuse every other way to unpickle, while a program is loaded."""
    load = torch.load

    def tensors_alone(*arguments: Any, **options: Any) -> Any:
        return load(*arguments, **options | {"weights_only": True})

    def refuse(*_: Any, **__: Any) -> Any:
        raise pickle.UnpicklingError("it holds a pickled object, which could run code")

    with (
        patch.object(torch, "load", tensors_alone),
        patch.object(_package.pickle, "loads", refuse),
        patch.object(torch._C, "_pickle_load_obj", refuse),
    ):
        yield
