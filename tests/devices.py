"""A device that exists without hardware: it computes on the CPU, and refuses what a GPU refuses.

Tensors on it are wrappers around tensors of the CPU. As on a GPU, an operation on tensors of two devices is an error
(numbers without dimensions and indices may be on the CPU), so is ``.numpy()``, and so is a generator of the CPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning.accelerators import Accelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as trees
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "pretended"
INDEXED = ("aten.index.", "aten.index_put", "aten._index_put", "aten._unsafe_index")  # indices may be on the CPU
MOVING = ("aten._to_copy", "aten.to.", "aten.copy_", "aten.lift_fresh")


class DeviceMismatchError(RuntimeError):
    """An operation that a GPU would refuse."""


class Pretended(Tensor):
    """A tensor on the device.

    Args:
        inner: Its values, on the CPU.
    """

    inner: Any
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls: type["Pretended"], inner: Tensor) -> "Pretended":
        made: Pretended = Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=torch.device(NAME, 0),
        )  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return compute(func, args, kwargs or {})


class Device(TorchDispatchMode):
    """Within this context, tensors can be made on the device and moved to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class Constants(TorchFunctionMode):
    """Within this context, what does not dispatch knows the device: ``torch.tensor`` and ``Tensor.tolist``."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.tolist and isinstance(args[0], Pretended):
            return args[0].inner.tolist()
        return func(*args, **kwargs)


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU, and put its result where a GPU would."""
    name, leaves = str(func), trees.tree_leaves((args, kwargs))
    tensors = [each for each in leaves if isinstance(each, Tensor)]
    there = [each for each in tensors if isinstance(each, Pretended)]
    wanted = [each for each in leaves if isinstance(each, torch.device)]
    placed = wanted[0].type == NAME if wanted else bool(there)
    check(name, args, kwargs, tensors, there, placed)
    results = func(*trees.tree_map(on_cpu, args), **trees.tree_map(on_cpu, kwargs))
    known = {id(each.inner): each for each in there}
    given = {id(each) for each in tensors}

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor) or isinstance(value, Pretended):
            return value
        if id(value) in known:  # the tensor itself: changed in place, or already where it should be
            return known[id(value)] if placed else value.clone()
        if not placed or (id(value) in given and not name.startswith(MOVING)):
            return value
        return Pretended(value.clone() if id(value) in given else value)

    return trees.tree_map(wrapped, results)


def on_cpu(value: Any) -> Any:
    """A tensor's values on the CPU; the CPU instead of a device."""
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.inner if isinstance(value, Pretended) else value


def check(name: str, args: Any, kwargs: dict[str, Any], tensors: list[Any], there: list[Any], placed: bool) -> None:
    """Refuse what a GPU refuses."""
    generator = kwargs.get("generator")
    if placed and generator is not None:
        raise DeviceMismatchError(f"{name}: a generator of the CPU for numbers on the device")
    elsewhere = [each for each in tensors if not isinstance(each, Pretended) and each.dim()]
    if not there or not elsewhere or name.startswith(MOVING):
        return
    if name.startswith(INDEXED) and isinstance(args[0], Pretended):
        indices = {id(each) for each in trees.tree_leaves(args[1])}
        elsewhere = [each for each in elsewhere if id(each) not in indices]
    if elsewhere:
        raise DeviceMismatchError(f"{name}: tensors on the device and on the CPU, {tuple(elsewhere[0].shape)}")


class Backend(backend_registration._DummyBackendModule):
    """What PyTorch asks a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """Types of autocast."""
        return [torch.bfloat16, torch.float16]


class PretendedAccelerator(Accelerator):
    """What Lightning asks an accelerator."""

    def setup_device(self, device: torch.device) -> None:
        """Nothing to do."""

    def teardown(self) -> None:
        """Nothing to do."""

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        """No statistics."""
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> Any:
        """As given."""
        return devices

    @staticmethod
    def get_parallel_devices(devices: Any) -> Any:
        """The only one."""
        return [torch.device(NAME, 0)]

    @staticmethod
    def auto_device_count() -> int:
        """One."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Always."""
        return True

    @staticmethod
    def name() -> str:
        """The device's name."""
        return NAME


def can_be_pretended() -> bool:
    """Whether this PyTorch can have devices that are written in Python; newer than 2.10."""
    return hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


def register() -> None:
    """Make the device known to PyTorch; once in a process, and before its first backward pass."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, Backend())


@contextmanager
def pretended_device() -> Iterator[Callable[[], SingleDeviceStrategy]]:
    """Within this context the registered device works; gives a function that makes a strategy for a Trainer."""
    with Device(), Constants():
        yield lambda: SingleDeviceStrategy(torch.device(NAME, 0), PretendedAccelerator())
