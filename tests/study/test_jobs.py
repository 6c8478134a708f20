"""Jobs: locks, links, signals, closed pipes, full disks, and errors in one line."""

import multiprocessing.connection
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from safetensors import SafetensorError

import run
from callbacks.checkpoint_file import is_whole
from study.console import say, show_table
from study.errors import one_line_errors
from study.files import partial, whole_file
from study.jobs import only_one
from study.lightning_fixes import WholeFileCheckpointIO
from study.loggers import put_away_log
from tests.studies import REPOSITORY, Program


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


def test_an_unexpected_error_is_one_line_and_its_traceback_in_the_jobs_folder(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors(run.EXPLAIN, in_full=False, folder=tmp_path):
        dict[str, int]()["missing"]
    assert ended.value.code == (
        f"error: unexpected: KeyError: 'missing'. Please report it, with the log at {tmp_path / 'error.log'}"
    )
    assert "in test_an_unexpected_error" in (tmp_path / "error.log").read_text()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MisconfigurationException("No supported gpu backend found!"), "trainer=gpu, but PyTorch sees no GPU here"),
        (UnpicklingError("Weights only load failed. … set `weights_only=False`"), "holds other things than tensors"),
        (MemoryError("Unable to allocate 3 GiB"), "not enough memory"),
        (SafetensorError('IoError(Os { code: 28, kind: StorageFull })'), "make room, and the same command goes on"),
        (ConnectionRefusedError(111, "Connection refused"), "a process that loads images died"),
        (ModuleNotFoundError("No module named 'timm'", name="timm"), "pip install timm"),
        (ValueError("\x1b[31mred\x1b[0m words"), "red words"),
    ],
)  # fmt: skip
def test_errors_of_libraries_are_said_in_our_words(error: Exception, said: str) -> None:
    text = run.EXPLAIN(error)
    assert said in text
    assert "weights_only" not in text
    assert "\x1b" not in text


def test_a_connection_that_ends_at_any_moment_is_a_loading_process_that_died(tmp_path: Path) -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)
    writer.close()
    with pytest.raises(EOFError) as ended:
        reader.recv()
    with pytest.raises(FileNotFoundError) as gone:
        multiprocessing.connection.Client(str(tmp_path / "socket"), family="AF_UNIX")
    for error in (ended.value, gone.value):
        assert "a process that loads images died: " in run.EXPLAIN(error)
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "photo.jpg").read_bytes()
    assert "died" not in run.EXPLAIN(missing.value)


def test_a_disk_that_fills_during_a_checkpoint_is_said_as_any_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(content: object, file: object) -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 704 vs 598")  # noqa: B904

    monkeypatch.setattr("study.lightning_fixes.torch.save", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        WholeFileCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt")
    assert "make room, and the same command goes on" in run.EXPLAIN(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_with_one_changed_bit_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    weights = {"weight": torch.arange(50.0)}
    WholeFileCheckpointIO().save_checkpoint(weights, path)
    assert is_whole(path)
    assert torch.equal(torch.load(path, weights_only=True)["weight"], weights["weight"])
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(bytes(changed))
        assert not is_whole(path)
    for end in (0, 1, 40, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:end])
        assert not is_whole(path)


def test_names_that_look_like_markup_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    say("made: [/x] of [red]")
    show_table("[/title]", ["[/x]", "[bold]"], [["[/y]", "[red]"]])
    shown = capsys.readouterr().out
    for name in ("[/x] of [red]", "[/title]", "[/x]", "[bold]", "[/y]", "[red]"):
        assert name in shown
