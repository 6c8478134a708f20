"""Sweeps on a real Slurm: preempted, out of time, killed, and run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import Slurm, wait_until
from tests.studies import REPOSITORY

pytestmark = pytest.mark.cluster

NAMES = ("vgg_compact", "resnet_compact")
SMOKE = ("experiment=smoke", "train_classifier.epochs=1", "pretrain.epochs=1")
SWEEP = (
    "-m", *SMOKE, "task=finetune", f"classifier={','.join(NAMES)}", "finetune.epochs=150", "checkpoint_every=0.5",
    "trainer.devices=2", "trainer.strategy=ddp", "hydra/launcher=slurm", "hydra.launcher.partition=main",
)  # fmt: skip


def program(slurm: Slurm, studies: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "run.py"), *arguments, f"studies={studies}"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=slurm.environment, check=False, cwd=REPOSITORY, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def weights(studies: Path) -> list[bytes]:
    return [(studies / "smoke" / "autoencoders" / f"{name}.safetensors").read_bytes() for name in NAMES]


def ranks_of(classifier: str, studies: Path) -> list[int]:
    """The training processes of a job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if {f"classifier={classifier}", f"studies={studies}", "hydra.mode=RUN"} <= set(arguments):
            found.append(int(path.parent.name))
    return sorted(found)


def test_a_disturbed_sweep_ends_with_the_weights_of_an_undisturbed_one(slurm: Slurm, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for studies in (whole, cut):
        for name in NAMES:
            program(slurm, studies, *SMOKE, "task=train_classifier", f"classifier={name}")
        program(slurm, studies, *SMOKE, "task=pretrain")
    said = program(slurm, whole, *SWEEP).stdout
    assert said.count("finished") == 2

    command = [sys.executable, str(REPOSITORY / "run.py"), *SWEEP, f"studies={cut}"]
    sweep = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=slurm.environment, cwd=REPOSITORY)
    jobs = cut / "smoke" / "jobs"
    wait_until(lambda: len(list(jobs.glob("finetune-*/last.ckpt"))) == 2)

    urgent = subprocess.Popen(
        ["srun", "--partition=urgent", "--ntasks=2", "sleep", "1"], env=slurm.environment, cwd=slurm.root
    )
    wait_until(lambda: "PENDING" in slurm.states().values() or "COMPLETING" in slurm.states().values())
    preempted = next(job for job, state in slurm.states().items() if state in ("PENDING", "COMPLETING"))
    other = NAMES[1 - int(preempted.split("_")[1])]
    os.kill(ranks_of(other, cut)[-1], signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: not ranks_of(other, cut), seconds=60)
    assert time.monotonic() - killed_at < 60  # the other rank does not hang
    urgent.wait(timeout=60)
    slurm.start_at_once(preempted)

    checkpoint = jobs / f"finetune-{NAMES[int(preempted.split('_')[1])]}" / "last.ckpt"
    before = checkpoint.stat().st_mtime_ns
    wait_until(lambda: checkpoint.exists() and checkpoint.stat().st_mtime_ns > before)
    slurm.call("scancel", "--signal=USR2", preempted)  # as Slurm does some time before a job's limit
    slurm.start_at_once(preempted)

    said = sweep.communicate(timeout=200)[0]
    assert sweep.returncode == 1
    lines = {name: next(line for line in said.splitlines() if "│" in line and name in line) for name in NAMES}
    assert "finished" in lines[NAMES[int(preempted.split("_")[1])]]
    assert "killed" in lines[other] or "failed" in lines[other]
    assert "SIGKILL" in said
    assert "1 of 2 jobs have not finished" in said

    again = program(slurm, cut, *SWEEP).stdout
    assert "there already" in again
    assert again.count("Slurm job") == 1
    assert "going on from" in "".join(path.read_text() for path in jobs.glob(".submitit/*/*_0_log.out"))
    assert weights(cut) == weights(whole)
    assert not slurm.states()


def test_jobs_of_different_sizes_get_their_own_places(slurm: Slurm, tmp_path: Path) -> None:
    said = program(
        slurm, tmp_path, "-m", "experiment=smoke", "task=pretrain", "study=one,two", "pretrain.epochs=1",
        "trainer.devices=1,2", "trainer.strategy=ddp", "hydra/launcher=slurm", check=False,
    )  # fmt: skip
    assert "two jobs of this sweep would work in" in said.stderr
    said = program(
        slurm, tmp_path, "-m", "experiment=smoke", "task=pretrain", "study=on_${trainer.devices}", "pretrain.epochs=1",
        "trainer.devices=1,2", "trainer.strategy=ddp", "hydra/launcher=slurm",
    )  # fmt: skip
    assert said.stdout.count("finished") == 2
    for devices in (1, 2):
        folder = tmp_path / f"on_{devices}"
        assert (folder / "autoencoders" / "pretrained.safetensors").exists()
        [log] = folder.glob("jobs/.submitit/*/*submitted.pkl")
        assert len(list(log.parent.glob("*_result.pkl"))) == devices
