"""Every task verifies the files it takes; a job locks its folder before it writes; nothing works through a link."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import run
from datamodules.digests import read_checked, with_digest
from study.files import partial, whole_file
from study.inputs import TRUSTED
from study.jobs import only_one
from study.loggers import put_away_log
from tests.studies import REPOSITORY, Program, compose

FIRST, SECOND = "vgg_compact", "resnet_compact"
Change = Callable[[Path], object]


def add_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def swap(one: Path, other: Path) -> None:
    for suffix in (".safetensors", ".json"):
        first, second = one.with_suffix(suffix), other.with_suffix(suffix)
        first.rename(kept := first.with_suffix(".kept"))
        second.rename(first)
        kept.rename(second)


def autoencoder(root: Path, name: str) -> Path:
    return root / "autoencoders" / f"{name}.safetensors"


def stray(root: Path) -> None:
    for suffix in (".safetensors", ".json"):
        shutil.copy(
            autoencoder(root, FIRST).with_suffix(suffix), autoencoder(root, f"{FIRST}-seed7").with_suffix(suffix)
        )


def forget(path: Path) -> None:
    path.with_suffix(".json").unlink()


def rewrite_predictions(root: Path) -> None:
    path = root / "cross_evaluation" / "predictions.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, allow_pickle=False, **arrays | {"top1": ~arrays["top1"]})


CHANGES: dict[str, tuple[str, Change, str]] = {
    "A_i swapped": (
        "cross_evaluate",
        lambda root: swap(autoencoder(root, FIRST), autoencoder(root, SECOND)),
        "is damaged or was changed",
    ),
    "A_i changed": ("cross_evaluate", lambda root: add_one_bit(autoencoder(root, FIRST)), "is damaged or was changed"),
    "A_i without a record": ("cross_evaluate", lambda root: forget(autoencoder(root, FIRST)), "has no record of how"),
    "a copy as another seed": ("cross_evaluate", stray, "has no record of how it was made"),
    "A_S changed": ("finetune", lambda root: add_one_bit(autoencoder(root, "pretrained")), "is damaged or was changed"),
    "A_S of another classifier's A_i": (
        "cross_evaluate",
        lambda root: swap(autoencoder(root, "pretrained"), autoencoder(root, SECOND)),
        "is damaged or was changed",
    ),
    "classifier changed": (
        "finetune",
        lambda root: add_one_bit(root / "classifiers" / f"{FIRST}.safetensors"),
        "is damaged or was changed",
    ),
    "accuracy edited": (
        "order",
        lambda root: add_one_bit(root / "cross_evaluation" / "accuracy.csv"),
        "accuracy.csv is damaged or was changed",
    ),
    "predictions altered": ("intervals", rewrite_predictions, "predictions.npz is damaged or was changed"),
    "predictions of the statistics altered": ("signal_statistics", rewrite_predictions, "predictions.npz is damaged"),
    "order edited": (
        "report",
        lambda root: add_one_bit(root / "order" / "order.json"),
        "order.json is damaged or was changed",
    ),
    "record edited": (
        "cross_evaluate",
        lambda root: autoencoder(root, FIRST).with_suffix(".json").write_text(
            autoencoder(root, FIRST).with_suffix(".json").read_text().replace('"seed": 0', '"seed": 1')
        ),
        "has no record of how it was made: .* is damaged or was changed after it was written",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_task_refuses_files_that_are_not_what_their_record_says(change: str, copied: Path) -> None:
    task, alter, message = CHANGES[change]
    alter(copied / "smoke")
    before = {path: path.stat().st_mtime_ns for path in (copied / "smoke").rglob("*.*") if "jobs" not in path.parts}
    with pytest.raises(ValueError, match=message):
        run.run(compose(copied, f"task={task}", f"classifier={FIRST}"))
    after = {path: path.stat().st_mtime_ns for path in (copied / "smoke").rglob("*.*") if "jobs" not in path.parts}
    assert after == before


def test_the_error_says_how_to_make_it_again_and_how_to_use_it_as_it_is(copied: Path) -> None:
    path = copied / "smoke" / "cross_evaluation" / "accuracy.csv"
    path.write_text(path.read_text().replace(",0.", ",0.0", 1))
    with pytest.raises(ValueError, match=r"python run.py task=cross_evaluate study=smoke.* add inputs.trusted=true"):
        run.run(compose(copied, "task=order"))
    run.run(compose(copied, "task=order", "inputs.trusted=true"))
    record = read_checked(copied / "smoke" / "order" / "provenance.json")
    assert record["inputs"]["accuracy"].endswith(TRUSTED)
    with pytest.raises(ValueError, match=r"accuracy.csv is damaged or was changed"):
        run.run(compose(copied, "task=order"))


def test_a_study_with_other_images_or_another_architecture_is_not_mixed(copied: Path) -> None:
    for override, key in (
        ("data.size=48", "data.size was"),
        ("autoencoder=segnet", "autoencoder.network._target_ was"),
        ("data.images=40", "data.images was"),
    ):
        for task in ("finetune", "cross_evaluate"):
            with pytest.raises(ValueError, match=re.escape(key)):
                run.run(compose(copied, f"task={task}", "classifier=vgg_compact", override))


def test_a_document_with_a_digest_notices_every_changed_byte(tmp_path: Path) -> None:
    document = {"objective": 0.25, "settings": {"seed": 0, "names": ["a", "ß"]}, "none": None}
    text = json.dumps(with_digest(document))
    path = tmp_path / "record.json"
    path.write_text(text)
    assert read_checked(path) == document
    for position in range(len(text)):
        for bit in range(7):
            changed = text[:position] + chr(ord(text[position]) ^ 1 << bit) + text[position + 1 :]
            path.write_text(changed)
            try:
                read = read_checked(path)
            except ValueError:
                continue
            assert read == document  # white space


def test_temporary_names_cannot_be_known_and_leftovers_go(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    first = partial(path)
    first.write_text("of a killed job")
    (tmp_path / ".job.other.0123456789abcdef.partial.json").write_text("of another file")
    second = partial(path)
    assert first != second
    assert not first.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "mine.txt", tmp_path / "job.json"
    target.write_text("mine")
    link.symlink_to(target)
    with whole_file(link) as temporary:
        temporary.write_text("new")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("mine", "new", False)


@pytest.mark.parametrize("name", ["lock", ""])
def test_a_linked_lock_or_folder_of_a_job_is_refused(name: str, tmp_path: Path) -> None:
    target, job = tmp_path / "mine", tmp_path / "jobs" / "pretrain"
    job.parent.mkdir()
    if name:
        job.mkdir()
        target.write_text("mine")
    else:
        target.mkdir()
    (job / name if name else job).symlink_to(target)
    with pytest.raises(ValueError, match=r"is a link to .*mine: remove it"), only_one(job):
        pass
    assert target.is_dir() or target.read_text() == "mine"


def test_a_job_locks_its_folder_once_however_often_it_asks(tmp_path: Path) -> None:
    other = (
        "import sys; from pathlib import Path; from study.jobs import only_one\n"
        "with only_one(Path(sys.argv[1])): pass"
    )  # fmt: skip
    with only_one(tmp_path):
        with only_one(tmp_path):
            pass
        done = subprocess.run(
            [sys.executable, "-c", other, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert f"is in use by process {os.getpid()}" in done.stderr


def test_only_logs_are_put_away(tmp_path: Path) -> None:
    for name in ("log", "log-1", "log_of_mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    put_away_log(tmp_path, keep=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log-1", "log-2", "log_of_mine"]
    put_away_log(tmp_path, keep=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log_of_mine"]


@pytest.mark.slow
def test_a_refused_second_job_leaves_the_record_of_the_running_one(program: Program, tmp_path: Path) -> None:
    job = tmp_path / "smoke" / "jobs" / "pretrain"
    with only_one(job):
        (job / "job.json").write_text("of the running job")
        (job / "config.yaml").write_text("of the running job")
        done = program("experiment=smoke", "task=pretrain", f"studies={tmp_path}", "seed=3", check=False)
    assert done.returncode == 1
    assert "is in use by process" in done.stderr
    assert (job / "job.json").read_text() == (job / "config.yaml").read_text() == "of the running job"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.5, 3.0])
def test_a_signal_at_any_moment_ends_the_program_in_one_line(seconds: float, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "run.py",
        "experiment=smoke",
        "task=pretrain",
        f"studies={tmp_path}",
        "pretrain.epochs=500",
    ]
    process = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(seconds, process.send_signal, [signal.SIGTERM])
    timer.start()
    output, errors = process.communicate(timeout=120)
    if process.returncode != -signal.SIGTERM:  # before the first line of the program it is Python's
        assert process.returncode == 75, output + errors
        assert "Traceback" not in errors
        assert "stopped by SIGTERM: the same command goes on" in output + errors


def test_output_into_a_closed_pipe_fails_no_job(tmp_path: Path) -> None:
    code = (
        "import time; from study.console import say\n"
        "for number in range(3): say(f'line {number}'); time.sleep(.2)\n"
        f"open({str(tmp_path / 'end')!r}, 'w').close()"
    )
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=writing)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    assert process.wait(60) == 0
    assert (tmp_path / "end").exists()
