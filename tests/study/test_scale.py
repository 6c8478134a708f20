"""Ranks, precision, accumulation, memory layout and compilation: the numbers stay what they were."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import run
from metrics.nmi import normalized_mutual_information
from networks.segnet import SegNet
from study.trainer import Length, make_trainer
from tests.studies import Program, compose

# one training step: float32 sums in another order differ in the last bits, which further steps would amplify
PLAIN = (
    "task=pretrain", "pretrain.epochs=1", "data.images=8", "pretrain.schedule=constant",
    "pretrain.optimizer._target_=torch.optim.SGD", "pretrain.optimizer.lr=0.01",
)  # fmt: skip


def weights(studies: Path, name: str = "pretrained") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(studies / "smoke" / "autoencoders" / f"{name}.safetensors")


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[key].double() - other[key].double()).abs().max()) for key in one)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    studies = tmp_path_factory.mktemp("plain")
    run.run(compose(studies, *PLAIN))
    return weights(studies)


def test_channels_last_changes_nothing_but_the_order_of_sums(plain: dict[str, torch.Tensor], tmp_path: Path) -> None:
    run.run(compose(tmp_path, *PLAIN, "trainer.channels_last=true"))
    assert largest_difference(plain, weights(tmp_path)) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on CPUs")
def test_compiled_networks_train_the_same(
    plain: dict[str, torch.Tensor], tmp_path: Path, program: Program, finished: Path
) -> None:
    program("experiment=smoke", f"studies={tmp_path}", *PLAIN, "trainer.compile=true")
    assert largest_difference(plain, weights(tmp_path)) < 1e-5
    shutil.copytree(finished, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "smoke" / "cross_evaluation")
    program("experiment=smoke", f"studies={tmp_path / 'copy'}", "task=cross_evaluate", "trainer.compile=true")
    for predictions in ("top1", "top5", "predicted"):
        name = Path("smoke") / "cross_evaluation" / "predictions.npz"
        with np.load(finished / name) as one, np.load(tmp_path / "copy" / name) as other:
            assert (one[predictions] == other[predictions]).mean() > 0.99


def test_accumulated_batches_train_as_one_where_no_layer_looks_at_the_batch(tmp_path: Path) -> None:
    """AlexNet's sibling has no batch-norm; its dropout is off. Batch-norms see the smaller batch: not the same."""
    overrides = (
        "task=train_classifier", "classifier=alexnet_compact", "+classifier.network.dropout=0",
        "train_classifier.epochs=2", "train_classifier.optimizer._target_=torch.optim.SGD",
        "train_classifier.optimizer.lr=0.01",
    )  # fmt: skip
    trained = []
    for accumulated in (1, 4):
        studies = tmp_path / str(accumulated)
        run.run(compose(studies, *overrides, f"trainer.accumulate_grad_batches={accumulated}"))
        trained.append(safetensors.torch.load_file(studies / "smoke" / "classifiers" / "alexnet_compact.safetensors"))
    assert largest_difference(*trained) < 1e-5


def test_what_cannot_be_shared_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size=8 cannot be shared by 1 devices × 3 accumulated batches"):
        run.run(compose(tmp_path, *PLAIN, "trainer.accumulate_grad_batches=3"))


@pytest.mark.slow
def test_two_ranks_train_the_network_that_one_does(tmp_path: Path, program: Program) -> None:
    """Through a network without batch-norm and dropout, for the same reason as above."""
    overrides = (
        "experiment=smoke", "task=train_classifier", "classifier=alexnet_compact", "+classifier.network.dropout=0",
        "train_classifier.epochs=2", "train_classifier.optimizer._target_=torch.optim.SGD",
        "train_classifier.optimizer.lr=0.01",
    )  # fmt: skip
    trained = []
    for ranks in (1, 2):
        program(*overrides, f"studies={tmp_path / str(ranks)}", f"trainer.devices={ranks}", "trainer.strategy=ddp")
        path = tmp_path / str(ranks) / "smoke" / "classifiers" / "alexnet_compact.safetensors"
        trained.append(safetensors.torch.load_file(path))
    assert largest_difference(*trained) < 1e-5


def test_half_precision_trains_and_is_noted(plain: dict[str, torch.Tensor], tmp_path: Path) -> None:
    run.run(compose(tmp_path, *PLAIN, "trainer.precision=bf16-mixed"))
    assert 1e-5 < largest_difference(plain, weights(tmp_path)) < 0.1
    with pytest.raises(ValueError, match=r"precision was bf16-mixed, now 32-true"):
        run.run(compose(tmp_path, *PLAIN))


def test_pixels_and_what_is_counted_on_them_are_never_half_precision() -> None:
    torch.manual_seed(0)
    autoencoder = SegNet(((8, 8), (8, 8))).eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        reconstructions = autoencoder(images)
        value = normalized_mutual_information(images, reconstructions.clamp(0, 1), bins=256)
    assert reconstructions.dtype == torch.float32
    levels = reconstructions.unique()
    assert len(levels) > 1.5 * len(levels.bfloat16().unique())  # values that bf16 does not have
    assert value.dtype == torch.float64
    expected = normalized_mutual_information(images, reconstructions.clamp(0, 1), bins=256)
    assert torch.equal(value, expected)


def test_own_keys_do_not_reach_lightning(tmp_path: Path) -> None:
    cfg = compose(tmp_path, "trainer.accumulate_grad_batches=2", "trainer.precision=bf16-mixed")
    trainer = make_trainer(cfg, Length(steps=10, check_every=3))
    assert (trainer.accumulate_grad_batches, trainer.precision, trainer.max_steps) == (2, "bf16-mixed", 10)
    assert (trainer.val_check_interval, trainer.check_val_every_n_epoch) == (3, None)
