"""Trainings that are interrupted at any moment end with the bits of those left alone; nothing good is overwritten."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import run
from callbacks.stopping import STOP_REQUESTS, Stopped
from lightning_modules.classifier_training import ClassifierTraining
from lightning_modules.pretraining import Pretraining
from tests.studies import REPOSITORY, Program, compose

CLASSIFIER = (
    "task=train_classifier", "classifier=alexnet_compact", "train_classifier.epochs=4",
    "train_classifier.augmentation=paper", "checkpoint_every=0",
)  # fmt: skip


class Interruption(Exception):
    pass


def weights(studies: Path, name: str = "classifiers/alexnet_compact") -> bytes:
    return (studies / "smoke" / f"{name}.safetensors").read_bytes()


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int, action: Any) -> None:
    """Have something happen at the beginning of a training step, counted over this process."""
    original, seen = ClassifierTraining.training_step, []

    def step(self: ClassifierTraining, batch: Any, batch_idx: int) -> Any:
        seen.append(batch_idx)
        if len(seen) == at:
            action()
        return original(self, batch, batch_idx)

    monkeypatch.setattr(ClassifierTraining, "training_step", step)


def raise_interruption() -> None:
    raise Interruption


def interrupted(monkeypatch: pytest.MonkeyPatch, at: int, studies: Path, overrides: tuple[str, ...]) -> None:
    """Run a job that is interrupted at the beginning of a step."""
    with monkeypatch.context() as patched:
        interrupt(patched, at, raise_interruption)
        with pytest.raises(Interruption):
            run.run(compose(studies, *overrides))


@pytest.fixture(autouse=True)
def _no_signal_is_left() -> Iterator[None]:
    yield
    STOP_REQUESTS.received, STOP_REQUESTS.held_back = None, False


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Weights of trainings that were left alone, by schedule. AlexNet's sibling has dropout in two places."""
    made = {}
    for schedule in ("one_cycle", "plateau", "constant"):
        studies = tmp_path_factory.mktemp(schedule)
        run.run(compose(studies, *CLASSIFIER, f"train_classifier.schedule={schedule}"))
        made[schedule] = weights(studies)
    return made


@pytest.mark.parametrize("schedule", ["one_cycle", "plateau", "constant"])
@pytest.mark.parametrize("steps", [(5,), (3,), (4, 3, 5)], ids=str)  # 3 steps an epoch: within, at its end, repeatedly
def test_dropout_noise_order_and_schedule_go_on(
    schedule: str, steps: tuple[int, ...], whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*CLASSIFIER, f"train_classifier.schedule={schedule}")
    for step in steps:
        interrupted(monkeypatch, step, tmp_path, overrides)
    run.run(compose(tmp_path, *overrides))
    assert weights(tmp_path) == whole[schedule]
    assert not list(tmp_path.rglob("*.ckpt"))


def test_how_often_is_saved_decides_nothing(whole: dict[str, bytes], tmp_path: Path) -> None:
    run.run(compose(tmp_path, *CLASSIFIER, "checkpoint_every=1000"))
    assert weights(tmp_path) == whole["one_cycle"]


def test_accumulated_gradients_are_never_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = (*CLASSIFIER, "trainer.accumulate_grad_batches=2")
    run.run(compose(tmp_path / "whole", *overrides))
    interrupted(monkeypatch, 10, tmp_path / "cut", overrides)  # in the second half of a step
    run.run(compose(tmp_path / "cut", *overrides))
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_a_checkpoint_holds_what_is_trained_and_can_be_loaded_without_pickle(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from lightning_modules.signal_autoencoder import SignalAutoencoder

    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    for path in (tmp_path / "smoke" / "autoencoders").glob("vgg_compact.*"):
        path.unlink()

    def stop(self: SignalAutoencoder, batch: Any, batch_idx: int) -> Any:
        if self.trainer.global_step == 2:
            raise Interruption
        return original(self, batch, batch_idx)

    original = SignalAutoencoder.training_step
    monkeypatch.setattr(SignalAutoencoder, "training_step", stop)
    with pytest.raises(Interruption):
        run.run(compose(tmp_path, "task=finetune", "classifier=vgg_compact", "checkpoint_every=0"))
    [path] = tmp_path.rglob("last.ckpt")
    state = torch.load(path, weights_only=True)
    assert all(key.startswith("autoencoder.decoder.") for key in state["state_dict"])
    assert state["optimizer_states"]
    assert state["lr_schedulers"]


def test_a_signal_stops_a_training_between_batches_and_saves(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*CLASSIFIER, "checkpoint_every=1000")
    with monkeypatch.context() as patched:
        interrupt(patched, 5, lambda: STOP_REQUESTS.receive(signal.SIGUSR1, None))
        with pytest.raises(Stopped, match="SIGUSR1"):
            run.run(compose(tmp_path, *overrides))
    STOP_REQUESTS.received = None
    assert len(list(tmp_path.rglob("last.ckpt"))) == 1
    assert not STOP_REQUESTS.held_back
    run.run(compose(tmp_path, *overrides))
    assert weights(tmp_path) == whole["one_cycle"]


def test_a_signal_outside_a_training_stops_at_once() -> None:
    with pytest.raises(Stopped, match="SIGTERM"):
        STOP_REQUESTS.receive(signal.SIGTERM, None)
    STOP_REQUESTS.received = None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_two_ranks_stop_together(number: signal.Signals, tmp_path: Path, program: Program) -> None:
    overrides = (
        "experiment=smoke", "task=pretrain", "pretrain.epochs=150", "trainer.devices=2", "trainer.strategy=ddp",
        "checkpoint_every=1000",
    )  # fmt: skip
    program(*overrides, f"studies={tmp_path / 'whole'}")
    command = [sys.executable, str(REPOSITORY / "run.py"), *overrides, f"studies={tmp_path / 'cut'}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = tmp_path / "cut" / "smoke" / "jobs" / "pretrain" / "log" / "metrics.csv"
    while process.poll() is None and not log.exists():
        time.sleep(0.05)
    process.send_signal(number)  # the first rank alone
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 75, said
    assert f"stopped by {number.name}: the same command goes on from here" in said
    record = json.loads((tmp_path / "cut" / "smoke" / "jobs" / "pretrain" / "job.json").read_text())
    assert record["status"] == "stopped"
    assert "going on from" in program(*overrides, f"studies={tmp_path / 'cut'}").stdout
    name = "autoencoders/pretrained"
    assert weights(tmp_path / "cut", name) == weights(tmp_path / "whole", name)


@pytest.mark.slow
def test_a_study_killed_at_twenty_random_moments_ends_with_the_same_bits() -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "kill_and_resume.py"), "--kills", "20", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert sum(report["kills"].values()) == 20
    assert len(report["kills"]) > 3
    assert report["files"] > 15
    assert report["differing"] == []


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch, 5, tmp_path, CLASSIFIER)
    [checkpoint] = tmp_path.rglob("last.ckpt")
    before = checkpoint.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            run.run(compose(tmp_path, *CLASSIFIER))
    assert "make room, and the same command goes on" in run.EXPLAIN(caught.value)
    assert checkpoint.read_bytes() == before
    assert not list(tmp_path.rglob("*.partial*"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_job_and_names_the_images(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("task=pretrain", "checkpoint_every=0", "pretrain.epochs=3")
    original, seen, saved = Pretraining.training_step, [], []

    def poisoned(self: Pretraining, batch: Any, batch_idx: int) -> Any:
        seen.append(batch[2].tolist())
        loss = original(self, batch, batch_idx)
        if len(seen) == 5:
            saved.append(next(tmp_path.rglob("last.ckpt")).read_bytes())
            return loss * value
        return loss

    monkeypatch.setattr(Pretraining, "training_step", poisoned)
    with pytest.raises(ValueError, match=r"the loss of step 5 \(epoch 1, batch 1\) is not finite"):
        run.run(compose(tmp_path, *overrides))
    job = tmp_path / "smoke" / "jobs" / "pretrain"
    report = json.loads((job / "loss_not_finite.json").read_text())
    assert report == {"epoch": 1, "batch": 1, "step": 5, "images": {"0": seen[4]}}
    assert (job / "last.ckpt").read_bytes() == saved[0]
    monkeypatch.setattr(Pretraining, "training_step", original)
    run.run(compose(tmp_path, *overrides))
    run.run(compose(tmp_path / "whole", *overrides))
    name = "autoencoders/pretrained"
    assert weights(tmp_path, name) == weights(tmp_path / "whole", name)
    assert not (job / "loss_not_finite.json").exists()


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Pretraining.training_step

    def broken(self: Pretraining, batch: Any, batch_idx: int) -> Any:
        loss = original(self, batch, batch_idx)
        if self.trainer.global_step == 2:  # after a good save
            with torch.no_grad():
                next(self.parameters()).data.fill_(float("nan"))
        return loss

    monkeypatch.setattr(Pretraining, "training_step", broken)
    with pytest.raises(ValueError, match=r"is not finite"):
        run.run(compose(tmp_path, "task=pretrain", "checkpoint_every=0"))
    [checkpoint] = tmp_path.rglob("last.ckpt")
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_another_number_of_workers_reads_the_same_images(whole: dict[str, bytes], tmp_path: Path) -> None:
    run.run(compose(tmp_path, *CLASSIFIER, "data.workers=1"))
    assert weights(tmp_path) == whole["one_cycle"]
