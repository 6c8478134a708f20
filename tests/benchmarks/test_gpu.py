"""benchmarks/gpu.py: no part can stop another, results are whole after each, and the small run is right."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.gpu_parts import supervise, tables
from benchmarks.gpu_parts.record import Options, Recorder, read_lines
from benchmarks.gpu_parts.supervise import Part, Results, has_failed, run_parts
from tests.studies import REPOSITORY

MODULE = "tests.benchmarks.parts"


def run_here(folder: Path, *names: str, seconds: float = 120, **needs: Any) -> tuple[Results, list[Results]]:
    """Results of parts, and what was written after each."""
    folder.mkdir(exist_ok=True)
    parts = [Part(name, f"what is {name}", f"{MODULE}:{name}", 30.0, needs.get(name, ())) for name in names]
    results: Results = {
        "commit": "c0ffee", "command": "python benchmarks/gpu.py", "date": "2026-01-02", "seed": 3, "tiny": True,
        "device": "cpu",
    }  # fmt: skip
    kept: list[Results] = []

    def keep(results: Results) -> None:
        gpu.keep(results, folder)
        kept.append(json.loads((folder / "gpu.json").read_text()))
        assert (folder / "gpu.md").read_text() == tables.markdown(results)

    run_parts(parts, Options("cpu", True, 3, str(folder), str(folder), 0.0), seconds, results, keep)
    return results, kept


def statuses(part: Results) -> dict[str, str]:
    return {each["name"]: each["status"] for each in part["measurements"]}


def test_parts_that_fail_or_crash_stop_no_other_part(tmp_path: Path) -> None:
    results, kept = run_here(tmp_path, "failing", "broken", "crashing", "good")
    parts = results["parts"]
    assert {name: part["status"] for name, part in parts.items()} == {
        "failing": "failed", "broken": "failed", "crashing": "failed", "good": "ok",
    }  # fmt: skip
    assert statuses(parts["failing"]) == {
        "before": "ok",
        "wrong": "failed",
        "too large": "out of memory",
        "after": "ok",
    }
    assert "ZeroDivisionError: division by zero" in parts["failing"]["measurements"][1]["error"][-1]
    assert "it cannot even begin" in parts["broken"]["error"][-1]
    # the process died in the second measurement: another one went on behind it
    assert statuses(parts["crashing"]) == {"before": "ok", "fatal": "failed", "after": "ok"}
    assert parts["crashing"]["error"][0] == "ended by signal SIGSEGV"
    assert parts["good"]["measurements"][0]["numbers"] == {"images/s": 12.5, "as expected": True}
    assert has_failed(results)
    # written before the first part and after each, every time as a whole
    assert [[part["status"] for part in each["parts"].values()].count("not run yet") for each in kept] == [
        4,
        3,
        2,
        1,
        0,
    ]
    assert kept[-1] == json.loads(json.dumps(results))


@pytest.mark.slow
def test_a_part_that_hangs_is_killed_with_everything_that_it_started(tmp_path: Path) -> None:
    start = time.monotonic()
    results, _ = run_here(tmp_path, "hanging", "good", seconds=24)
    assert time.monotonic() - start < 60
    hanging = results["parts"]["hanging"]
    assert statuses(hanging) == {"before": "ok", "process": "ok", "endless": "timed out"}
    assert hanging["status"] == "timed out"
    assert hanging["error"][0].startswith("killed at its limit of")
    started = hanging["measurements"][1]["numbers"]["value"]
    assert not is_alive(started)
    assert results["parts"]["good"]["status"] == "ok"


def is_alive(process: int) -> bool:
    """Whether a process runs; a killed one may wait for its parent to take notice."""
    path = Path(f"/proc/{process}/stat")
    return path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")


def test_what_there_is_no_time_for_is_skipped(tmp_path: Path) -> None:
    results, _ = run_here(tmp_path, "slow", "good")
    assert statuses(results["parts"]["slow"]) == {"short": "ok", "long": "skipped for time"}
    assert not has_failed(results)
    results, _ = run_here(tmp_path / "none", "good", seconds=0)
    assert results["parts"]["good"]["status"] == "skipped for time"


def test_a_part_without_its_packages_says_so(tmp_path: Path) -> None:
    results, _ = run_here(tmp_path, "good", good=("os", "no_such_package"))
    [error] = results["parts"]["good"]["error"]
    assert error.startswith("cannot import no_such_package: bring the packages that benchmarks/README.md names")
    assert results["parts"]["good"]["status"] == "failed"


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    told = Options("cpu", True, 0, str(tmp_path), str(tmp_path / "lines.jsonl"), 600.0)
    command = [sys.executable, str(supervise.COMMAND), "--child", f"{MODULE}:hanging", told.to_json()]
    parent = f"import subprocess, time; subprocess.Popen({command!r}, process_group=0); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=REPOSITORY)
    wait_until(lambda: len(read_lines(tmp_path / "lines.jsonl")) >= 5)
    process.kill()
    process.wait()
    started = read_lines(tmp_path / "lines.jsonl")[3]["numbers"]["value"]
    wait_until(lambda: not is_alive(started))


def wait_until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    recorder = Recorder(Options("cpu", True, 0, str(tmp_path), str(path), 60.0, done=["first"]))
    assert recorder.attempt("first", lambda: {"value": 1}) is None  # made by an earlier process
    assert recorder.attempt("second", lambda: {"value": 2}) == {"value": 2}
    path.write_text(path.read_text() + '{"name": "third", "sta')
    assert [line.get("name") for line in read_lines(path)] == [None, "second"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fill", "docs/benchmarks.md"], "--fill needs --summary"),
        (["--minutes", "0"], "--minutes=0.0: give a number above 0"),
        (["--device", "cpu"], "--device cpu needs --tiny"),
        (["--summary", "pyproject.toml"], "not a whole gpu.json of this command"),
        (["--only", "nothing"], "invalid choice: 'nothing'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str) -> None:
    command = [sys.executable, "benchmarks/gpu.py", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_gpu_nothing_is_begun(tmp_path: Path) -> None:
    command = [sys.executable, str(supervise.COMMAND), "--out", str(tmp_path / "gpu")]
    hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=hidden, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --device cuda: PyTorch sees no CUDA device here")
    assert not (tmp_path / "gpu").exists()


@pytest.mark.slow
def test_the_small_run_measures_everything(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--tiny", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert {name: part["status"] for name, part in results["parts"].items()} == dict.fromkeys(
        (part.name for part in gpu.PARTS), "ok"
    )
    for name, part in results["parts"].items():
        assert set(statuses(part).values()) == {"ok"}, name
    # float32 on the CPU twice: every difference is exactly 0, and in half precision it is not
    agreement = tables.measured(results, "agreement")
    exact = {name: numbers for name, numbers in agreement.items() if "bf16" not in name}
    assert all(numbers.get("as expected", True) for numbers in exact.values())
    for name, numbers in exact.items():
        kinds = ("outputs", "loss", "gradients", "weights", "results", "unequal")
        assert not any(numbers.get(kind) for kind in kinds), name
    drifted = ("Pretraining", "SignalAutoencoder", "ClassifierTraining", "Probe", "FeatureSynthesis")
    assert all(0 < agreement[f"{name}, bf16-mixed"]["loss"] < 0.1 for name in drifted)
    study = tables.measured(results, "study")
    assert study["the study, killed while it pre-trains"]["in"] == "pretrain"
    assert done.stdout.startswith(tables.markdown(results))
