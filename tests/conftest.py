"""Small networks and a quiet Trainer, for every test that wants one."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before torch loads, as run.py does

import functools
import gc
from collections.abc import Callable, Iterator, Sequence

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet
from networks.segnet import SegNet
from study.lightning_fixes import quiet_lightning

pytest_plugins = ["tests.studies"]


def pytest_collection_finish() -> None:
    """Modules and tests stay until the end: each search for garbage would go through all of them."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let everything be freed at the end: libraries report what is not."""
    gc.unfreeze()


def stir(module: nn.Module) -> None:
    """Give batch-norms the statistics and weights of a network that was trained; freshly made they do nothing."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(std=0.3)
            layer.running_var.uniform_(0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """For thousands of tiny passes, in which threads would wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_segnet() -> Callable[..., SegNet]:
    """A small autoencoder whose every weight and statistic depends on ``seed``."""

    def make(seed: int = 0, stages: Sequence[Sequence[int]] = ((4, 4), (6,))) -> SegNet:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            autoencoder = SegNet(stages)
            stir(autoencoder)
        return autoencoder

    return make


@pytest.fixture
def make_classifier() -> Callable[..., Classifier]:
    """A small classifier whose every weight and statistic depends on ``seed``."""

    def make(seed: int = 0, classes: int = 6) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            classifier = Classifier(CompactResNet(classes))
            stir(classifier)
        return classifier

    return make


@pytest.fixture
def make_trainer() -> Callable[..., pl.Trainer]:
    """A Trainer as ``study.trainer`` makes it, on one CPU and without a log."""
    quiet_lightning()
    return functools.partial(
        pl.Trainer,
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
