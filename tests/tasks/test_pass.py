"""Pre-training counted in images: unlabelled trees and shards, loss checks, and going on in the middle of a pass."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

import run
from lightning_modules.pretraining import Pretraining
from study import training
from tests.datamodules.trees import jpeg, write_tar
from tests.studies import REPOSITORY, Program, compose

BUDGET = (
    "task=pretrain",
    "pretrain.batch_size=4",
    "pretrain.check_every=8",
    "pretrain.schedule=plateau",
    "checkpoint_every=0",
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for number in range(34):
        path = root / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number, 40, 36))
    return root


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    root = tmp_path / "shards"
    root.mkdir()
    for shard in range(4):
        write_tar(root / f"{shard}.tar", {f"{number}.jpg": jpeg(10 * shard + number, 40, 36) for number in range(10)})
    return root


def data(kind: str, images: Path, shards: Path) -> tuple[str, ...]:
    root = shards if kind == "shards" else images
    held_out = "data.held_out_shards=1" if kind == "shards" else "data.held_out=4"
    return (f"data={kind}", f"data.root={root}", "data.size=32", "data.resize=36", held_out, "data.workers=1")


class Interruption(Exception):
    """What a power cut is to a test."""


def file(studies: Path, name: str) -> bytes:
    return (studies / "smoke" / name).read_bytes()


@pytest.mark.parametrize("kind", ["unlabelled", "shards"])
@pytest.mark.parametrize("augmentation", ["crop_flip", "paper"])
def test_a_pass_that_was_cut_off_ends_with_the_same_bits(
    kind: str, augmentation: str, images: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*BUDGET, "pretrain.images=28", f"pretrain.augmentation={augmentation}", *data(kind, images, shards))
    run.run(compose(tmp_path / "whole", *overrides))
    seen: list[int] = []
    original = Pretraining.training_step

    def watch(self: Pretraining, batch: Any, batch_idx: int) -> Any:
        seen.extend(batch[2].tolist())
        if len(seen) == 20:  # the fifth step, after a checkpoint at the fourth
            raise Interruption
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Pretraining, "training_step", watch)
    with pytest.raises(Interruption):
        run.run(compose(tmp_path / "cut", *overrides))
    before, seen[:] = seen[:16], []
    run.run(compose(tmp_path / "cut", *overrides))
    assert len(set(before + seen)) == len(before + seen) == 28  # no image twice
    name = "autoencoders/pretrained.safetensors"
    assert file(tmp_path / "cut", name) == file(tmp_path / "whole", name)
    assert not list((tmp_path / "cut").rglob("*.ckpt"))


@pytest.mark.parametrize("passes", [1, 3])
def test_budgets_of_several_passes_go_on_too(
    passes: int, images: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*BUDGET, f"pretrain.images={28 * passes}", *data("unlabelled", images, shards))
    run.run(compose(tmp_path / "whole", *overrides))
    original, steps = Pretraining.training_step, []

    def stop(self: Pretraining, batch: Any, batch_idx: int) -> Any:
        steps.append(batch_idx)
        if len(steps) == 7 * passes - 1:
            raise Interruption
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Pretraining, "training_step", stop)
    with pytest.raises(Interruption):
        run.run(compose(tmp_path / "cut", *overrides))
    monkeypatch.setattr(Pretraining, "training_step", original)
    run.run(compose(tmp_path / "cut", *overrides))
    name = "autoencoders/pretrained.safetensors"
    assert file(tmp_path / "cut", name) == file(tmp_path / "whole", name)


def test_the_loss_is_checked_every_so_many_images_and_the_rate_follows(
    images: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, rates = [], []

    def no_better(self: Pretraining, *_: Any) -> None:
        self.log("val/loss", torch.tensor(1.0))

    class Watch(pl.Callback):
        def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            checks.append(trainer.global_step)

        def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    monkeypatch.setattr(Pretraining, "validation_step", no_better)
    make_trainer = training.make_trainer

    def watched(*arguments: Any, **options: Any) -> pl.Trainer:
        trainer = make_trainer(*arguments, **options)
        trainer.callbacks.append(Watch())  # type: ignore[attr-defined]
        return trainer

    monkeypatch.setattr(training, "make_trainer", watched)
    run.run(
        compose(
            tmp_path, *BUDGET, "pretrain.images=112", "pretrain.optimizer.lr=0.1", *data("unlabelled", images, shards)
        )
    )
    assert checks[:-1] == list(range(2, 29, 2))[: len(checks) - 1]  # eight images are two batches, over passes of seven
    assert rates[:22] == [0.1] * 22  # the first check and ten that are no better
    assert rates[22:] == [pytest.approx(0.02)] * 6


def test_a_budget_beyond_one_pass_of_shards_is_refused(images: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"pretrain.images=40 are more than the 28 training images, and each may be seen"
    ):
        run.run(compose(tmp_path, *BUDGET, "pretrain.images=40", *data("shards", images, shards)))


def test_no_classifier_is_trained_on_images_without_labels(images: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no weights, and these images have no labels to train it with"):
        run.run(compose(tmp_path, "task=train_classifier", *data("unlabelled", images, shards)))


def test_a_study_takes_other_images_for_pretraining(images: Path, shards: Path, tmp_path: Path) -> None:
    other = tuple(override.replace("data", "pretrain_data", 1) for override in data("unlabelled", images, shards)[1:])
    overrides = ("data@pretrain_data=unlabelled", *other, "pretrain.epochs=1")
    run.run(compose(tmp_path, *overrides, "task=pretrain"))
    first = file(tmp_path, "autoencoders/pretrained.safetensors")
    run.run(compose(tmp_path, *overrides, "train_classifier.epochs=15"))
    assert file(tmp_path, "autoencoders/pretrained.safetensors") == first


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(
    images: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*BUDGET, "pretrain.images=28", *data("unlabelled", images, shards))
    original = Pretraining.training_step

    def stop(self: Pretraining, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 3:
            raise Interruption
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Pretraining, "training_step", stop)
    with pytest.raises(Interruption):
        run.run(compose(tmp_path, *overrides))
    monkeypatch.setattr(Pretraining, "training_step", original)
    [checkpoint] = tmp_path.rglob("last.ckpt")
    content = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=r"last.ckpt is of a training with other settings, images or devices"):
        run.run(compose(tmp_path, *overrides, "pretrain.optimizer.lr=1e-4"))
    checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"last.ckpt is damaged: remove it"):
        run.run(compose(tmp_path, *overrides))
    checkpoint.write_bytes(content)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        run.run(compose(tmp_path, *overrides))
    assert checkpoint.read_bytes() == content


def test_skipped_images_are_counted_and_listed(
    images: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a" / "broken.jpg").write_bytes(b"no image")
    (images / "a" / "cut.jpg").write_bytes(jpeg()[:100])
    overrides = (*BUDGET, "pretrain.images=32", *data("unlabelled", images, shards))
    with pytest.raises(ValueError, match=r"(broken|cut).jpg cannot be read as an image .* or data.on_error=skip"):
        run.run(compose(tmp_path, *overrides))
    run.run(compose(tmp_path, *overrides, "data.on_error=skip"))
    assert "2 images could not be read and were skipped" in capsys.readouterr().out
    [listing] = tmp_path.rglob("unreadable.txt")
    assert [Path(line).name for line in listing.read_text().splitlines()] == ["broken.jpg", "cut.jpg"]


@pytest.mark.slow
def test_two_ranks_share_a_pass_and_go_on_after_a_kill(images: Path, tmp_path: Path, program: Program) -> None:
    root = tmp_path / "more"
    root.mkdir()
    for shard in range(5):
        with tarfile.open(root / f"{shard}.tar", "w") as tar:
            for number in range(40):
                content = jpeg(40 * shard + number, 40, 36)
                member = tarfile.TarInfo(f"{number}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    overrides = (
        "experiment=smoke", *BUDGET, "pretrain.images=160", *data("shards", images, root), "trainer.devices=2",
        "trainer.strategy=ddp",
    )  # fmt: skip
    program(*overrides, f"studies={tmp_path / 'whole'}")
    command = [sys.executable, str(REPOSITORY / "run.py"), *overrides, f"studies={tmp_path / 'cut'}"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "cut" / "smoke" / "jobs" / "pretrain" / "last.ckpt"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    said = program(*overrides, f"studies={tmp_path / 'cut'}").stdout
    assert "going on from" in said
    name = "autoencoders/pretrained.safetensors"
    assert file(tmp_path / "cut", name) == file(tmp_path / "whole", name)
