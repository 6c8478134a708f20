"""A small world: drawn images, a tiny autoencoder, two tiny classifiers, and a quiet trainer."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import FakeImages
from networks.classifier import Classifier
from networks.segnet import SegNet
from tasks.build import quiet_lightning

STAGES = ((6, 6), (8, 8))
CLASSES = 6


@pytest.fixture
def data() -> FakeImages:
    return FakeImages(class_count=CLASSES, size=16, images=11, batch_size=4)


@pytest.fixture
def autoencoder() -> SegNet:
    torch.manual_seed(1)
    return SegNet(STAGES)


@pytest.fixture
def make_classifier() -> Callable[[int], Classifier]:
    def make(seed: int) -> Classifier:
        torch.manual_seed(seed)
        head = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 7 * 7, CLASSES))
        return Classifier(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), *head))

    def warm(seed: int) -> Classifier:
        classifier = make(seed)
        classifier(torch.rand(8, 3, 16, 16))  # batch-norm statistics that are not the initial ones
        return classifier

    return warm


@pytest.fixture
def make_trainer() -> Callable[..., pl.Trainer]:
    def make(**options: Any) -> pl.Trainer:
        quiet_lightning()
        chosen: dict[str, Any] = {
            "accelerator": "cpu",
            "max_epochs": 1,
            "logger": False,
            "enable_progress_bar": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
        }
        return pl.Trainer(**chosen | options)

    return make


@pytest.fixture
def sgd() -> Callable[..., torch.optim.Optimizer]:
    return functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
