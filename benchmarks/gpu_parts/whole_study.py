"""Part ``study``: ``experiment=paper_small`` on generated JPEGs, from ``task=prepare`` to the page, as a user runs it.

Each command is a process. The study is killed by SIGKILL while it pre-trains and started again; then one A_i is
fine-tuned in each of some other settings.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import torch
from torch import nn

from benchmarks.gpu_parts.pictures import TEN, make_tree
from benchmarks.gpu_parts.record import Numbers, Options, Recorder, tail
from networks.classifier import Classifier, calibrate
from networks.torchvision_classifiers import torchvision_network

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSIFIERS = ("alexnet", "vgg16_bn", "resnet50", "inception_v3")
SMALL_CLASSIFIERS = ("squeezenet1_1", "mobilenet_v3_small")
FAVOUR = 50.0  # added to the logit of the first class: accuracies above 0, which the order needs
STUDY = "paper_small"
COMPILATION = 60.0  # seconds
LOOK = 0.05  # seconds between two looks for a checkpoint


def measure(recorder: Recorder) -> None:
    """Run the commands, each if the earlier ones have left what it needs."""
    options = recorder.options
    study = Study(options)
    cuda = options.device == "cuda"
    recorder.attempt("files and weights", study.make_files)
    recorder.attempt("task=prepare", partial(study.run, "task=prepare"))
    recorder.attempt("the study, killed while it pre-trains", study.kill)
    recorder.attempt("the study again, to the page", study.finish)
    others = {
        "trainer=ddp with one device": ("trainer=ddp", "trainer.devices=1", *study.trainer),
        **({"float32": ("trainer.precision=32-true",), "float16": ("trainer.precision=16-mixed",)} if cuda else {}),
        "compiled": ("trainer.compile=true",),
    }
    for seed, (label, settings) in enumerate(others.items(), start=1):
        expected = COMPILATION if label == "compiled" and cuda else 1.0
        chosen = ("task=finetune", *study.choice(), f"seed={seed}", *settings)
        recorder.attempt(f"A_i, {label}", partial(study.run, *chosen), expected)


@dataclass(frozen=True)
class Study:
    """The study and its files.

    Attributes:
        options: What the part was told.
    """

    options: Options

    @property
    def folder(self) -> Path:
        """Of all files."""
        return Path(self.options.folder) / "whole_study"

    @property
    def names(self) -> tuple[str, ...]:
        """The classifiers, as torchvision calls them."""
        return SMALL_CLASSIFIERS if self.options.tiny else CLASSIFIERS

    @property
    def classifiers(self) -> list[str]:
        """The classifiers, as the configuration calls them."""
        return [f"torchvision/{name}" if self.options.tiny else name for name in self.names]

    @property
    def trainer(self) -> tuple[str, ...]:
        """Settings that turn the recipe's GPU into a CPU, and nothing else."""
        return () if self.options.device == "cuda" else ("trainer.accelerator=cpu",)

    def choice(self) -> tuple[str, ...]:
        """The first classifier, as the task for one classifier wants it."""
        name = self.names[0]
        return ("classifier=torchvision", f"classifier.name={name}") if self.options.tiny else (f"classifier={name}",)

    def settings(self) -> list[str]:
        """Everything that makes the recipe small."""
        tiny = self.options.tiny
        weights = ",".join(f"{name}:{{weights:{self.folder / name}.pth}}" for name in self.names)
        batch, images, interval = (4, 40, 0) if tiny else (32, 6400, 2)  # interval: seconds between checkpoints
        small = ["autoencoder=segnet_compact", "data.size=32", "data.resize=36"]
        small += ["band_tolerance.first_steps=2", "band_tolerance.steps=2", "band_tolerance.images=4"]
        small = small if tiny else []
        return [
            f"experiment={STUDY}", f"studies={self.folder / 'studies'}", f"data.root={self.folder / 'images'}",
            f"data.workers={0 if tiny else min(8, os.cpu_count() or 1)}", f"classifiers=[{','.join(self.classifiers)}]",
            f"classifier_settings={{{weights}}}", f"checkpoint_every={interval}", f"pretrain.images={images}",
            f"pretrain.check_every={images // 2}", f"pretrain.batch_size={batch}", "finetune.epochs=1",
            f"finetune.batch_size={batch}", f"cross_evaluate.batch_size={batch}", "report.test_images=2",
            "report.photographs=1", *small, *self.trainer,
        ]  # fmt: skip

    def make_files(self) -> Numbers:
        """Images of ten classes, and weights of classifiers that favour the first class."""
        train, val = (2, 2) if self.options.tiny else (64, 16)
        make_tree(self.folder / "images", TEN, {"train": train, "val": val}, 500, 375, self.options.seed)
        torch.manual_seed(self.options.seed)
        for name in self.names:
            network = torchvision_network(name, 1000)
            calibrate(Classifier(network), torch.rand(4, 3, 224, 224))
            last = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
            assert last.bias is not None
            with torch.no_grad():
                last.bias[0] += FAVOUR
            torch.save(network.state_dict(), self.folder / f"{name}.pth")
        return {"images": len(TEN) * (train + val), "classifiers": len(self.names)}

    def start(self, log: IO[str], *more: str) -> "subprocess.Popen[str]":
        """Start a command."""
        extra = {"TORCH_COMPILE_DISABLE": "1"} if self.options.tiny else {}  # compilers take minutes on two cores
        return subprocess.Popen(  # noqa: S603
            [sys.executable, str(REPOSITORY / "run.py"), *self.settings(), *more],
            stdout=log, stderr=subprocess.STDOUT, text=True, cwd=self.folder, env=os.environ | extra,
        )  # fmt: skip

    def run(self, *more: str) -> Numbers:
        """Run a command to its end.

        Raises:
            RuntimeError: If it fails, with the end of what it printed.
        """
        start = time.monotonic()
        self.output(*more)
        return {"wall s": time.monotonic() - start}

    def output(self, *more: str) -> str:
        """What a command prints until it ends."""
        path = self.folder / "log.txt"
        with path.open("w", encoding="utf-8") as log:
            status = self.start(log, *more).wait()
        text = path.read_text(encoding="utf-8", errors="replace")
        if status:
            raise RuntimeError(f"status {status}: " + " / ".join(tail(text, 6)))
        return text

    def kill(self) -> Numbers:
        """Kill the study as soon as its pre-training has a checkpoint.

        Raises:
            RuntimeError: If it ended before.
        """
        start, path = time.monotonic(), self.folder / "killed.txt"
        with path.open("w", encoding="utf-8") as log:
            process = self.start(log)
            while process.poll() is None and not self.checkpoints():
                time.sleep(LOOK)
            process.kill()
            process.wait()
        checkpoints = self.checkpoints()
        if not checkpoints:
            raise RuntimeError("it ended before it could be killed: " + " / ".join(tail(path.read_text(), 6)))
        return {"wall s": time.monotonic() - start, "in": checkpoints[0].parent.name}

    def checkpoints(self) -> list[Path]:
        """Checkpoints of unfinished trainings."""
        return sorted((self.folder / "studies" / STUDY / "jobs").glob("*/last.ckpt"))

    def finish(self) -> Numbers:
        """Start the study again, until its page is there.

        Raises:
            RuntimeError: If it did not go on from the checkpoint, or there is no page.
        """
        start = time.monotonic()
        text = self.output()
        if "going on from" not in text:
            raise RuntimeError("it did not go on from the checkpoint: " + " / ".join(tail(text, 6)))
        page = self.folder / "studies" / STUDY / "report" / "index.html"
        if not page.is_file():
            raise RuntimeError(f"it ended well, but there is no {page.name}: " + " / ".join(tail(text, 6)))
        return {"wall s": time.monotonic() - start, "page, kB": page.stat().st_size / 1e3}
