"""Per-image results go together exactly once each, from any number of ranks."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metrics.per_image import PerImage
from tests.metrics.conftest import on_ranks

SIZE = 7


def filled(size: int = SIZE, batch: int = 3) -> PerImage:
    metric = PerImage(size, complete=True)
    for index in torch.arange(size).flip(0).split(batch):
        metric.update(index * 10.0, index)
    return metric


def test_values_come_back_in_the_order_of_the_split() -> None:
    assert filled().compute().tolist() == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int16, torch.int32, torch.int64, torch.bfloat16, torch.float32, torch.float64]
)
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_shape_and_dtype_are_kept(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values = torch.arange(4 * torch.Size(shape).numel()).reshape(4, *shape).to(dtype)
    metric = PerImage(4, shape, dtype, complete=True)
    for part in (torch.tensor([2, 0]), torch.tensor([3]), torch.tensor([1])):
        metric.update(values[part], part)
    result = metric.compute()
    assert result.dtype == dtype
    assert torch.equal(result, values)


def test_one_image_keeps_its_dimension() -> None:
    metric = PerImage(1, complete=True)
    metric.update(torch.tensor([5.0]), torch.tensor([0]))
    assert metric.compute().shape == (1,)


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_two_uneven_ranks_equal_one(dtype: torch.dtype, tmp_path: Path) -> None:
    values = torch.randint(0, 255, (SIZE, 2), generator=torch.Generator().manual_seed(0)).to(dtype)
    share = {0: [torch.tensor([6, 1]), torch.tensor([0, 3, 4])], 1: [torch.tensor([5, 2])]}

    def work(rank: int) -> Tensor:
        metric = PerImage(SIZE, (2,), dtype, complete=True)
        for index in share[rank]:
            metric.update(values[index], index)
        return metric.compute()

    for result in on_ranks(work, 2, tmp_path):
        assert isinstance(result, Tensor)
        assert result.dtype == dtype
        assert torch.equal(result, values)


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\) may lead to deadlocks:DeprecationWarning")
def test_an_image_on_two_ranks_raises_on_both(tmp_path: Path) -> None:
    def work(rank: int) -> str:
        metric = PerImage(3, complete=True)
        index = torch.tensor([0, 1]) + rank
        metric.update(index.float(), index)
        with pytest.raises(RuntimeError) as error:
            metric.compute()
        return str(error.value)

    for message in on_ranks(work, 2, tmp_path):
        assert message == "of 3 images, 1 seen more than once (first: [1]); each must be seen exactly once"


def test_a_merged_metric_holds_both_parts() -> None:
    first, second = PerImage(4, complete=True), PerImage(4, complete=True)
    first.update(torch.tensor([1.0, 2.0]), torch.tensor([3, 0]))
    second.update(torch.tensor([3.0, 4.0]), torch.tensor([1, 2]))
    first.merge_state(second)
    assert first.compute().tolist() == [2, 3, 4, 1]


def test_missing_images_are_counted_and_named() -> None:
    metric = PerImage(20, complete=True)
    metric.update(torch.ones(12), torch.arange(12))
    with pytest.raises(RuntimeError, match=r"of 20 images, 8 missing \(first: \[12, 13, 14, 15, 16\]\)"):
        metric.compute()


@pytest.mark.parametrize("batches", [[[0, 1, 1, 2]], [[0, 1], [1, 2]]], ids=["one batch", "two batches"])
def test_repeated_images_are_counted_and_named(batches: list[list[int]]) -> None:
    metric = PerImage(4, complete=True)
    for batch in batches:
        metric.update(torch.zeros(len(batch)), torch.tensor(batch))
    with pytest.raises(RuntimeError, match=r"1 missing \(first: \[3\]\) and 1 seen more than once \(first: \[1\]\)"):
        metric.compute()


@pytest.mark.parametrize(
    ("values", "index", "message"),
    [
        (torch.zeros(2), torch.tensor([0, 4]), "index runs from 0 to 4; expected 0 to 3"),
        (torch.zeros(2), torch.tensor([-1, 2]), "index runs from -1 to 2"),
        (torch.zeros(2), torch.tensor([1, 2, 3]), r"values have shape \(2,\); expected \(3,\)"),
        (torch.zeros(2, 1), torch.tensor([1, 2]), r"values have shape \(2, 1\); expected \(2,\)"),
        (torch.zeros(1), torch.tensor(1), r"expected integers of shape \(B,\)"),
        (torch.zeros(1), torch.tensor([1.0]), r"expected integers of shape \(B,\)"),
        (torch.zeros(4), torch.tensor([True, False, True, True]), r"expected integers of shape \(B,\)"),
        (torch.zeros(1, dtype=torch.complex64), torch.tensor([1]), "expected what casts to dtype=torch.float32"),
    ],
)
def test_wrong_updates_are_refused_and_leave_no_trace(values: Tensor, index: Tensor, message: str) -> None:
    metric = PerImage(4, complete=True)
    with pytest.raises(ValueError, match=message):
        metric.update(values, index)
    assert not metric.seen.any()


def test_fractions_do_not_become_integers() -> None:
    with pytest.raises(ValueError, match=r"values are torch.float32; expected what casts to dtype=torch.int32"):
        PerImage(4, dtype=torch.int32, complete=True).update(torch.tensor([0.5]), torch.tensor([0]))


def test_predictions_become_integers() -> None:
    metric = PerImage(2, dtype=torch.uint8, complete=True)
    metric.update(torch.tensor([True, False]), torch.tensor([1, 0]))
    assert metric.compute().tolist() == [0, 1]


def test_impossible_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="size=0"):
        PerImage(0, complete=True)
    with pytest.raises(ValueError, match=r"dtype=torch.bool"):
        PerImage(2, dtype=torch.bool, complete=True)


def test_an_empty_batch_changes_nothing() -> None:
    metric = filled()
    metric.update(torch.zeros(0), torch.zeros(0, dtype=torch.long))
    assert torch.equal(metric.compute(), filled().compute())


def test_forward_is_update() -> None:
    metric = PerImage(2, complete=True)
    for index in torch.arange(2).split(1):
        metric(index + 1.0, index)
    assert metric.compute().tolist() == [1, 2]


def test_infinite_values_stay_what_they_are() -> None:
    metric = PerImage(3, complete=True)
    metric.update(torch.tensor([torch.inf, torch.nan, -torch.inf]), torch.arange(3))
    assert torch.equal(metric.compute().nan_to_num(nan=-1), torch.tensor([torch.inf, -1, -torch.inf]).nan_to_num())


def test_copies_are_independent() -> None:
    metric = filled()
    twins: list[PerImage] = [copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))]  # noqa: S301
    metric.reset()
    for twin in twins:
        assert torch.equal(twin.compute(), filled().compute())


def test_dtypes_survive_casts_of_the_module_around() -> None:
    metric = PerImage(2, dtype=torch.float64, complete=True)
    metric.update(torch.tensor([1 / 3, 2 / 3], dtype=torch.float64), torch.arange(2))
    module = torch.nn.ModuleDict({"metric": metric})
    module.half().bfloat16().to(torch.bfloat16).to("cpu", torch.float16)
    metric.set_dtype(torch.float16)
    assert metric.compute().tolist() == [1 / 3, 2 / 3]
    metric.reset()
    assert (metric.values.dtype, metric.seen.dtype) == (torch.float64, torch.int32)


def test_inference_mode_may_end_between_updates() -> None:
    metric = PerImage(2, complete=True)
    with torch.inference_mode():
        metric.reset()
        metric.update(torch.tensor([1.0]), torch.tensor([0]))
    metric.update(torch.tensor([2.0]), torch.tensor([1]))
    assert metric.compute().tolist() == [1, 2]
