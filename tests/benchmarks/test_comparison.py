"""The comparison of two devices: every module is in it, and it sees differences."""

import importlib
import inspect
import pkgutil
from contextlib import ExitStack

import pytest
import pytorch_lightning as pl
import torch

from benchmarks.gpu_parts.agreement import METRICS, compare
from benchmarks.gpu_parts.cases import CASES
from benchmarks.gpu_parts.comparison import KINDS, apart, is_finite, largest_difference, tensors_of
from metrics.fixed_dtype import FixedDtypeMetric

# bases that others extend
BASES = {"ImageTest", "FrozenParts", "TrainedModule", "AutoencoderTraining", "ReconstructionEvaluation"}


def classes_of(base: type, *rooms: str) -> set[str]:
    """Names of the classes of some rooms that extend a class."""
    found = set()
    for room in rooms:
        package = importlib.import_module(room)
        for info in pkgutil.walk_packages(package.__path__, f"{room}."):
            module = importlib.import_module(info.name)
            for name, thing in inspect.getmembers(module, inspect.isclass):
                if issubclass(thing, base) and thing.__module__ == info.name:
                    found.add(name)
    return found


def test_every_module_of_lightning_is_compared() -> None:
    made = set()
    for case in CASES:
        with ExitStack() as stack:
            module, _ = case.make(stack)
            made.add(type(module).__name__)
    assert made == classes_of(pl.LightningModule, "lightning_modules", "methods") - BASES


def test_every_metric_is_compared() -> None:
    assert classes_of(FixedDtypeMetric, "metrics") - {"FixedDtypeMetric"} <= METRICS.keys()


def test_a_difference_is_relative_to_the_largest_value_of_its_tensor() -> None:
    one = {"a": torch.tensor([4.0, -8.0]), "b": torch.tensor([1.0])}
    assert largest_difference(one, {"a": torch.tensor([4.0, -6.0]), "b": torch.tensor([1.1])}) == pytest.approx(0.25)
    # what is nearly 0 beside the others is noise: its difference counts relative to a thousandth of the largest
    tiny = {"a": torch.tensor([8.0]), "b": torch.tensor([1e-9])}
    assert largest_difference(tiny, {"a": torch.tensor([8.0]), "b": torch.tensor([2e-9])}) == pytest.approx(1.25e-7)


def test_numbers_that_are_none_agree_with_the_same_only() -> None:
    nan, inf = float("nan"), float("inf")
    assert largest_difference({"": torch.tensor([1.0, nan, inf])}, {"": torch.tensor([1.0, nan, inf])}) == 0
    assert largest_difference({"": torch.tensor([1.0, nan])}, {"": torch.tensor([1.0, 2.0])}) == inf
    assert largest_difference({"": torch.tensor([1.0, 2.0])}, {"": torch.tensor([1.0, inf])}) == inf


def test_whole_numbers_are_counted_and_shapes_and_names_must_agree() -> None:
    empty: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in KINDS}
    one = empty | {"results": {"n": torch.tensor([1, 2, 3])}, "loss": {"loss": torch.tensor(2.0)}}
    other = empty | {"results": {"n": torch.tensor([1, 5, 4])}, "loss": {"loss": torch.tensor(2.5)}}
    assert apart(one, other) == {
        "outputs": None, "loss": 0.25, "gradients": None, "weights": None, "results": None, "unequal": 2,
    }  # fmt: skip
    with pytest.raises(ValueError, match="shape"):
        apart(one, one | {"results": {"n": torch.tensor([1, 2])}})
    with pytest.raises(ValueError, match="on one device only"):
        apart(one, one | {"results": {}})
    assert is_finite(one)
    assert not is_finite(one | {"weights": {"w": torch.tensor(float("inf"))}})


def test_results_are_found_in_any_nesting() -> None:
    found = tensors_of({"a": [1, {"b": torch.ones(2)}], "c": "text", "d": None})
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"a.0": 1, "a.1.b": [1, 1]}


def test_a_metric_that_differs_is_not_as_expected() -> None:
    devices = iter((1.0, 1.001))
    found = compare(lambda device: torch.tensor(next(devices)), "cpu")
    assert found["results"] == pytest.approx(1e-3, rel=1e-3)
    assert not found["as expected"]
