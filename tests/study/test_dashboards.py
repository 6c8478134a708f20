"""Dashboards: real offline wandb runs read back with wandb's own reader, TensorBoard, and loggers that fail."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

import run
from callbacks.loggers import FaultTolerantLogger, RunName
from lightning_modules.signal_autoencoder import SignalAutoencoder
from tests.studies import REPOSITORY, Program, compose

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

WANDB = str(Path(sys.executable).with_name("wandb"))


@pytest.fixture(autouse=True)
def _services_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program started by a test does not use the wandb service that a test in this process has begun."""
    monkeypatch.delenv("WANDB_SERVICE", raising=False)


def records(folder: Path) -> list[dict[str, Any]]:
    """Everything in a run's file, by wandb's own reader."""
    [path] = folder.glob("run-*.wandb")
    said = subprocess.run([WANDB, "leet", "inspect", "--json", str(path)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in said.stdout.splitlines()]


def history(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in found if record["type"] == "history"]


def run_record(found: list[dict[str, Any]]) -> dict[str, Any]:
    [record] = [record["run"] for record in found if record["type"] == "run"]
    return dict(record)


def runs(studies: Path) -> dict[str, list[Path]]:
    """Folders of runs, by job, oldest first."""
    return {
        job.name: sorted((job / "wandb").glob("offline-run-*"))
        for job in sorted(studies.glob("smoke/jobs/*"))
        if (job / "wandb").exists()
    }


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one process, logged by wandb, TensorBoard and to CSV."""
    studies = tmp_path_factory.mktemp("logged")
    command = [
        sys.executable,
        str(REPOSITORY / "run.py"),
        "experiment=smoke",
        f"studies={studies}",
        "finetune.epochs=8",
    ]
    done = subprocess.run(
        [*command, "logger=[csv,wandb_offline,tensorboard]", "log_every=2", "pretrain.epochs=8"],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wandb" not in done.stderr
    return studies


def test_each_job_is_one_run_grouped_by_study(logged: Path) -> None:
    found = runs(logged)
    assert set(found) == {
        "train_classifier-vgg_compact", "train_classifier-resnet_compact", "pretrain", "finetune-vgg_compact",
        "finetune-resnet_compact", "cross_evaluate", "order", "report", "band_tolerance-random_weights",
        *(f"band_tolerance-{name}" for name in ("vgg_compact", "resnet_compact")),
        *(f"band_tolerance-second_wavelet-{name}" for name in ("vgg_compact", "resnet_compact")),
        *(f"band_tolerance-second_seed-{name}-seed1" for name in ("vgg_compact", "resnet_compact")),
    }  # fmt: skip
    described = [run_record(records(folder)) for [folder] in found.values()]
    assert [record["display_name"] for record in described] == list(found)
    assert {record["run_group"] for record in described} == {"smoke"}
    assert {record["project"] for record in described} == {"like-to-see"}
    assert len({record["run_id"] for record in described}) == len(found)  # one process, a run for each


def test_a_training_run_holds_its_curves_pictures_and_configuration(logged: Path) -> None:
    [folder] = runs(logged)["finetune-vgg_compact"]
    found = records(folder)
    entries = history(found)
    counts = {key: sum(key in entry for entry in entries) for entry in entries for key in entry}
    assert counts["train/batch_loss"] == 12  # 8 epochs of 3 steps, every 2
    assert counts["train/loss"] == 8
    for key in ("val/accuracy", "val/loss", "val/nmi"):
        assert counts[key] == 8
    assert counts["val/reconstructions.path"] == 8
    assert counts["train/learning_rate"] == counts["train/images_per_second"] == 16  # every 2 steps, and before checks
    assert all(entry["train/images_per_second"] > 0 for entry in entries if "train/images_per_second" in entry)
    assert [entry["_step"] for entry in entries] == sorted({entry["_step"] for entry in entries})
    [config] = [record["config"]["update"] for record in found if record["type"] == "config"]
    assert config["finetune"]["epochs"] == 8
    assert config["classifier"]["name"] == "vgg_compact"
    assert len(list(folder.glob("files/media/images/val/*.png"))) == 8


def test_final_tables_and_figures_are_there(logged: Path) -> None:
    found = runs(logged)
    [folder] = found["cross_evaluate"]
    [entry] = history(records(folder))
    for name in ("accuracy", "accuracy_top5", "nmi"):
        assert entry[f"{name}._type"] == "table-file"
        assert entry[f"{name}.nrows"] == 4
    [path] = folder.glob("files/media/table/accuracy_0_*.json")
    table = json.loads(path.read_text())
    assert table["columns"] == ["autoencoder", "images", "vgg_compact", "resnet_compact"]
    assert [row[0] for row in table["data"]] == ["original", "pretrained", "vgg_compact", "resnet_compact"]
    artifacts = [record["artifact"] for record in records(folder) if record["type"] == "artifact"]
    files = [entry["path"] for entry in artifacts[0]["manifest"]["contents"]]
    assert len([name for name in files if name.endswith(".png")]) == 4  # one for each row
    [folder] = found["order"]
    assert history(records(folder))[0]["rrc._type"] == "table-file"
    [folder] = found["report"]
    assert len(list(folder.glob("files/media/images/*.png"))) == len(list(logged.glob("smoke/report/figures/*.png")))


def test_tensorboard_gets_the_same_numbers_and_pictures(logged: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = logged / "smoke" / "jobs" / "finetune-vgg_compact"
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/batch_loss", "train/loss", "val/nmi", "train/learning_rate"} <= set(tags["scalars"])
    assert tags["images"] == ["val/reconstructions"]
    entries = history(records(runs(logged)["finetune-vgg_compact"][0]))
    expected = [entry["train/batch_loss"] for entry in entries if "train/batch_loss" in entry]
    assert [event.value for event in events.Scalars("train/batch_loss")] == pytest.approx(expected)
    lines = (folder / "log" / "metrics.csv").read_text().splitlines()
    assert len(lines) > 20


class Interruption(Exception):
    pass


def test_a_resumed_job_goes_on_with_its_run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    for path in (tmp_path / "smoke" / "autoencoders").glob("vgg_compact.*"):
        path.unlink()
    overrides = ("task=finetune", "classifier=vgg_compact", "finetune.epochs=4", "logger=wandb_offline", "log_every=1",
                 "checkpoint_every=0")  # fmt: skip
    original, seen = SignalAutoencoder.training_step, []

    def stop(self: SignalAutoencoder, batch: Any, batch_idx: int) -> Any:
        seen.append(batch_idx)
        if len(seen) == 8:
            raise Interruption
        return original(self, batch, batch_idx)

    monkeypatch.setattr(SignalAutoencoder, "training_step", stop)
    with pytest.raises(Interruption):
        run.run(compose(tmp_path, *overrides))
    monkeypatch.setattr(SignalAutoencoder, "training_step", original)
    run.run(compose(tmp_path, *overrides))
    first, second = (records(folder) for folder in runs(tmp_path)["finetune-vgg_compact"])
    assert run_record(first)["run_id"] == run_record(second)["run_id"]
    steps = [[entry["_step"] for entry in history(part)] for part in (first, second)]
    assert steps == [list(range(1, 8)), list(range(8, 13))]
    exits = [record["exit"]["exit_code"] for part in (first, second) for record in part if record["type"] == "exit"]
    assert exits == [1, 0]


def test_the_id_of_a_run_is_that_of_its_job() -> None:
    names = [RunName("a", "finetune", "x"), RunName("b", "finetune", "x"), RunName("a", "pretrain", "x"),
             RunName("a", "finetune", "y")]  # fmt: skip
    assert len({name.id for name in names}) == 4
    assert RunName("a", "finetune", "x").id == names[0].id


def test_a_dead_network_stops_nothing_and_loses_nothing(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    arguments = ("experiment=smoke", "task=pretrain", "pretrain.epochs=2", f"studies={tmp_path}")
    said = program(*arguments, "logger=wandb", "logger.wandb.seconds=2").stdout
    assert "wandb cannot be reached" in said
    [folder] = runs(tmp_path)["pretrain"]
    assert sum("val/loss" in entry for entry in history(records(folder))) == 2
    assert (tmp_path / "smoke" / "autoencoders" / "pretrained.safetensors").exists()


def is_service(path: Path, parent: int) -> bool:
    """Whether a process is the wandb service of another one."""
    try:
        arguments = path.read_text().split("\0")
    except OSError:
        return False
    return arguments[0].endswith("wandb-core") and str(parent) in arguments


@pytest.mark.slow
def test_a_dead_wandb_service_stops_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable, str(REPOSITORY / "run.py"), "experiment=smoke", "task=pretrain", "pretrain.epochs=600",
        f"studies={tmp_path}", "logger=wandb_offline", "log_every=1",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY)
    while process.poll() is None and not list(tmp_path.glob("smoke/jobs/pretrain/wandb/offline-run-*/run-*.wandb")):
        time.sleep(0.02)
    time.sleep(3)  # until it trains
    [service] = [
        int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if is_service(path, process.pid)
    ]
    os.kill(service, signal.SIGKILL)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "wandb failed and logs no more, the job goes on" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe")])
def test_a_logger_that_fails_is_left_out_and_named_once(
    error: OSError, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(CSVLogger, "save", fail)
    run.run(compose(tmp_path, "task=pretrain", "pretrain.epochs=2", "log_every=1"))
    assert capsys.readouterr().out.count("csv failed and logs no more, the job goes on") == 1
    assert (tmp_path / "smoke" / "autoencoders" / "pretrained.safetensors").exists()


def test_pictures_are_never_asked_of_a_logger_without(tmp_path: Path) -> None:
    board = FaultTolerantLogger(CSVLogger(str(tmp_path)), "csv", print)
    assert not board.shows_pictures
    board.log_picture("a", torch.zeros(3, 4, 4))
    assert not board.broken
