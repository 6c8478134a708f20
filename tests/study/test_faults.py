"""What goes wrong on real machines: each with a clear message, nothing half-written, nobody left hanging."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import run
from tests.studies import REPOSITORY, Program, compose

LONG = ("experiment=smoke", "task=pretrain", "pretrain.epochs=4000", "checkpoint_every=0.5")


def start(studies: Path, *overrides: str) -> subprocess.Popen[str]:
    """A long training, which has begun to save when this returns."""
    command = [sys.executable, str(REPOSITORY / "run.py"), *LONG, *overrides, f"studies={studies}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY, start_new_session=True
    )
    checkpoint = studies / "smoke" / "jobs" / "pretrain" / "last.ckpt"
    end = time.monotonic() + 60
    while process.poll() is None and not checkpoint.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert checkpoint.exists(), process.communicate()[0]
    return process


def stop(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.communicate()


def children(parent: int, word: str) -> list[int]:
    """Processes started by another one whose command line holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = (path / "stat").read_text().rsplit(")", 1)[1].split()
            arguments = (path / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if int(status[1]) == parent and status[0] != "Z" and word in arguments:
            found.append(int(path.name))
    return sorted(found)


def gone(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
def test_a_second_job_in_the_same_folder_is_told_who_holds_it(tmp_path: Path, program: Program) -> None:
    first = start(tmp_path)
    try:
        done = program(*LONG, f"studies={tmp_path}", check=False)
        assert done.returncode == 1
        assert f"is in use by process {first.pid} on " in done.stderr
        assert "wait for it, stop it, or use another study=<name>" in done.stderr
        assert first.poll() is None
    finally:
        stop(first)
    done = program(*LONG[:2], "pretrain.epochs=1", f"studies={tmp_path}", check=False)
    assert "is in use" not in done.stderr  # the lock went with the process that was killed
    assert "last.ckpt is of a training with other settings" in done.stderr


@pytest.mark.slow
def test_a_loading_process_that_dies_is_named(tmp_path: Path) -> None:
    process = start(tmp_path, "data.workers=2")
    [server] = children(process.pid, "forkserver")
    os.kill(children(server, "forkserver")[0], signal.SIGKILL)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "error: a process that loads images died" in said
    assert "lower data.workers; the same command goes on from the last checkpoint" in said
    assert "Traceback" not in said.split("error:")[-1]
    assert (tmp_path / "smoke" / "jobs" / "pretrain" / "last.ckpt").exists()


@pytest.mark.slow
def test_loading_processes_leave_signals_to_the_job_and_end_with_it(tmp_path: Path) -> None:
    process = start(tmp_path, "data.workers=2")
    try:
        [server] = children(process.pid, "forkserver")
        loaders = children(server, "forkserver")
        assert len(loaders) >= 2
        for number in (server, *loaders):
            for asked in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
                os.kill(number, asked)
        time.sleep(0.5)
        assert not any(gone(number) for number in (server, *loaders))
        os.kill(process.pid, signal.SIGKILL)
        end = time.monotonic() + 30
        while not all(gone(number) for number in (server, *loaders)) and time.monotonic() < end:
            time.sleep(0.1)
        assert all(gone(number) for number in (server, *loaders))
    finally:
        stop(process)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["first", "second"])
def test_when_a_rank_dies_the_others_end_within_a_minute(victim: str, tmp_path: Path) -> None:
    process = start(tmp_path, "trainer.devices=2", "trainer.strategy=ddp")
    [second] = children(process.pid, "run.py")
    killed_at = time.monotonic()
    os.kill(process.pid if victim == "first" else second, signal.SIGKILL)
    said = process.communicate(timeout=60)[0]
    while not gone(second):
        assert time.monotonic() - killed_at < 60
        time.sleep(0.2)
    assert time.monotonic() - killed_at < 60
    assert process.returncode != 0
    assert "another rank of this job died" in said
    assert (tmp_path / "smoke" / "jobs" / "pretrain" / "last.ckpt").exists()


def test_a_folder_that_cannot_be_written_is_named(program: Program) -> None:
    done = program("experiment=smoke", "task=pretrain", "studies=/sys/like-to-see", check=False)
    if "File exists" in done.stderr or done.returncode == 0:
        pytest.skip("this machine lets its /sys be written")
    assert done.stderr.startswith("error: ")
    assert "/sys/like-to-see" in done.stderr
    assert "name one, as studies=/path/to/studies" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_study_is_left_as_it_is(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        mode = str(arguments[0] if arguments else options.get("mode", "r"))
        if set(mode) & set("wax+") and str(self).startswith(str(tmp_path)):
            raise OSError(30, "Read-only file system", str(self))
        return original(self, *arguments, **options)

    def refuse_lock(path: Path, *_: Any) -> int:
        raise OSError(30, "Read-only file system", str(path))

    original: Any = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("study.jobs.os.open", refuse_lock)
    with pytest.raises(OSError, match="Read-only file system") as caught:
        run.run(compose(tmp_path, "task=pretrain", "pretrain.epochs=1"))
    assert "Results need a folder that can be written" in run.EXPLAIN(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
