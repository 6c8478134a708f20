"""A small world: drawn images, a tiny autoencoder, tiny classifiers, and a program for any number of ranks."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from datamodules import FakeImages
from networks.classifier import Classifier
from networks.segnet import SegNet
from tests.images import fake_images

TESTED_ON_RANKS = """
import sys

import numpy as np
import pytorch_lightning as pl
import torch

from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet, CompactVGG
from networks.segnet import SegNet
from tests.images import fake_images

torch.manual_seed(0)
torch.set_num_threads(1)
autoencoders = {name: SegNet(((6, 6), (8, 8))) for name in ("pretrained", "a", "b")}
classifiers = {"a": Classifier(CompactVGG(6)), "b": Classifier(CompactResNet(6))}
data = fake_images(class_count=6, size=32, images=11, batch_size=4)


def make_trainer(**options):
    return pl.Trainer(
        accelerator="cpu", devices=int(sys.argv[1]), strategy="auto" if sys.argv[1] == "1" else "ddp", logger=False,
        enable_progress_bar=False, enable_checkpointing=False, use_distributed_sampler=False, **options,
    )


def tested(module, data=data):
    trainer = make_trainer()
    trainer.test(module, datamodule=data, verbose=False)
    assert trainer.world_size == int(sys.argv[1])
    return module.result


def save(arrays):
    rank = 0 if sys.argv[1] == "1" else torch.distributed.get_rank()
    np.savez(f"{sys.argv[2]}/{sys.argv[1]}_{rank}.npz", **arrays)

"""
Arrays = dict[str, np.ndarray]
STAGES = ((6, 6), (8, 8))
CLASSES = 6


@pytest.fixture
def data() -> FakeImages:
    return fake_images(class_count=CLASSES, size=16, images=11, batch_size=4)


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
def sgd() -> Callable[..., torch.optim.Optimizer]:
    return functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)


@pytest.fixture
def on_ranks(tmp_path: Path) -> Callable[[str, Sequence[int]], dict[int, list[Arrays]]]:
    """Runs a script that calls ``save(arrays)`` on some numbers of ranks: for each number the arrays of every rank.

    It has ``tested(module)``, ``make_trainer(**options)`` and small networks and data (``TESTED_ON_RANKS``).
    """

    def compute(script: str, numbers: Sequence[int]) -> dict[int, list[Arrays]]:
        (tmp_path / "script.py").write_text(TESTED_ON_RANKS + script)
        found = {}
        for ranks in numbers:
            command = [sys.executable, str(tmp_path / "script.py"), str(ranks), str(tmp_path)]
            environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "before the ``update``" not in done.stderr  # a rank that had nothing to measure
            found[ranks] = [dict(np.load(tmp_path / f"{ranks}_{rank}.npz")) for rank in range(ranks)]
        return found

    return compute


@pytest.fixture
def on_one_and_two_ranks(on_ranks: Any) -> Callable[[str], tuple[Arrays, Arrays, Arrays]]:
    """The same for one rank and for each of two."""

    def compute(script: str) -> tuple[Arrays, Arrays, Arrays]:
        found = on_ranks(script, (1, 2))
        return found[1][0], found[2][0], found[2][1]

    return compute
