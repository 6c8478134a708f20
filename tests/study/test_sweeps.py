"""Sweeps: every job with its own settings and folder, failures told and not spread, one table at the end."""

import json
import shutil
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

import run
from report.figures.sweep import sweep_figure
from stats.sweeps import factors, means, sweep_table
from tests.studies import Program, compose

NAMES = ("vgg_compact", "resnet_compact")


def without_autoencoders(finished: Path, studies: Path) -> None:
    shutil.copytree(finished / "smoke", studies / "smoke")
    for name in NAMES:
        for path in (studies / "smoke" / "autoencoders").glob(f"{name}.*"):
            path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["one_by_one", "parallel"])
def test_a_failed_job_takes_no_other_down_and_a_second_run_mends_it(
    launcher: str, finished: Path, tmp_path: Path, program: Program
) -> None:
    without_autoencoders(finished, tmp_path)
    sweep = (
        "-m", "experiment=smoke", f"studies={tmp_path}", "task=finetune", f"hydra/launcher={launcher}",
        "classifier=vgg_compact,alexnet_compact,resnet_compact", "trainer.devices=2", "trainer.strategy=ddp",
    )  # fmt: skip
    done = program(*sweep, check=False)
    assert done.returncode == 1
    assert "1 of 3 jobs have not finished" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if "│ classifier=alexnet_compact" in line]
    assert "failed" in line
    assert "task=train_classifier classifier=alexnet_compact" in " ".join(done.stdout.replace("│", " ").split())
    assert done.stdout.count(" finished ") == 2
    for name in NAMES:
        folder = tmp_path / "smoke" / "jobs" / f"finetune-{name}"
        record = json.loads((folder / "job.json").read_text())
        assert record["status"] == "finished"
        assert f"classifier={name}" in record["overrides"]
        assert f"name: {name}" in (folder / "config.yaml").read_text()
    program("experiment=smoke", f"studies={tmp_path}", "task=train_classifier", "classifier=alexnet_compact",
            "train_classifier.epochs=1")  # fmt: skip
    made = {name: (tmp_path / "smoke" / "autoencoders" / f"{name}.safetensors").stat().st_mtime_ns for name in NAMES}
    said = program(*sweep).stdout
    assert "have not finished" not in said
    assert said.count("there already") == 2
    for name, time in made.items():
        assert (tmp_path / "smoke" / "autoencoders" / f"{name}.safetensors").stat().st_mtime_ns == time


@pytest.mark.slow
def test_seeds_are_found_averaged_and_drawn(finished: Path, tmp_path: Path, program: Program) -> None:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    program(
        "-m", "experiment=smoke", f"studies={tmp_path}", "task=finetune", f"classifier={','.join(NAMES)}", "seed=1,2",
        "hydra/launcher=parallel",
    )  # fmt: skip
    program("experiment=smoke", f"studies={tmp_path}", "task=cross_evaluate")
    folder = tmp_path / "smoke" / "cross_evaluation"
    by_seed = pd.read_csv(folder / "accuracy_by_seed.csv", index_col=0)
    assert list(by_seed.index) == ["original", "pretrained"] + [
        f"{name}{suffix}" for name in NAMES for suffix in ("", "-seed1", "-seed2")
    ]
    table = pd.read_csv(folder / "accuracy.csv", index_col=0)
    for name in NAMES:
        expected = by_seed.loc[[name, f"{name}-seed1", f"{name}-seed2"]].mean()
        assert table.loc[name].to_numpy() == pytest.approx(expected.to_numpy())
    former = pd.read_csv(finished / "smoke" / "cross_evaluation" / "accuracy.csv", index_col=0)
    assert by_seed.loc[list(former.index)].equals(former)
    for name in NAMES:
        seeds = [(tmp_path / "smoke" / "autoencoders" / f"{name}{suffix}.safetensors").read_bytes()
                 for suffix in ("", "-seed1", "-seed2")]  # fmt: skip
        assert len(set(seeds)) == 3
    said = program("experiment=smoke", f"studies={tmp_path}", "task=sweep_table", "sweep_table.number=val/nmi").stdout
    jobs = pd.read_csv(tmp_path / "smoke" / "sweep" / "jobs.csv")
    assert len(jobs) == 4
    assert set(jobs["status"]) == {"finished"}
    assert "val/nmi of task=finetune" in said
    assert (tmp_path / "smoke" / "sweep" / "jobs.png").stat().st_size > 5_000
    for task in ("order", "report"):
        program("experiment=smoke", f"studies={tmp_path}", f"task={task}")


def test_seeds_made_with_other_settings_are_not_mixed(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    run.run(compose(tmp_path, "task=finetune", "classifier=vgg_compact", "seed=1", "finetune.epochs=1"))
    with pytest.raises(ValueError, match=r"vgg_compact-seed1.safetensors and .* not made alike: finetune.epochs was 3"):
        run.run(compose(tmp_path, "task=cross_evaluate"))


def test_a_study_makes_several_seeds_by_itself(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    run.run(compose(tmp_path, "seeds=[0,5]"))
    assert (tmp_path / "smoke" / "autoencoders" / "resnet_compact-seed5.safetensors").exists()
    rows = pd.read_csv(tmp_path / "smoke" / "cross_evaluation" / "accuracy_by_seed.csv", index_col=0).index
    assert list(rows)[2:] == ["vgg_compact", "vgg_compact-seed5", "resnet_compact", "resnet_compact-seed5"]


def test_two_jobs_of_one_folder_are_refused_before_any_work(tmp_path: Path, program: Program) -> None:
    done = program("-m", "experiment=smoke", f"studies={tmp_path}", "task=pretrain", "pretrain.epochs=1,2", check=False)
    assert done.returncode == 1
    assert "two jobs of this sweep would work in" in done.stderr
    assert "Give each a study of its own" in done.stderr
    assert not list(tmp_path.rglob("job.json"))


def test_a_mistyped_value_ends_a_sweep_before_any_job(tmp_path: Path, program: Program) -> None:
    done = program(
        "-m",
        "experiment=smoke",
        f"studies={tmp_path}",
        "task=finetune",
        "classifier=vgg_compact,vgg_compat",
        check=False,
    )
    assert "Did you mean classifier=vgg_compact or vit_compact?" in done.stderr
    assert not list(tmp_path.rglob("job.json"))


@pytest.mark.slow
def test_the_plugins_own_launcher_works_too(finished: Path, tmp_path: Path, program: Program) -> None:
    without_autoencoders(finished, tmp_path)
    program(
        "-m", "experiment=smoke", f"studies={tmp_path}", "task=finetune", f"classifier={','.join(NAMES)}",
        "hydra/launcher=submitit_local",
    )  # fmt: skip
    for name in NAMES:
        path = Path("smoke") / "autoencoders" / f"{name}.safetensors"
        assert (tmp_path / path).read_bytes() == (finished / path).read_bytes()


def job(study: str, lr: str, seed: int, value: float, **more: str) -> dict[str, object]:
    return {
        "study": study, "job": f"pretrain-{seed}", "task": "pretrain", "classifier": None, "seed": seed,
        "status": "finished", "objective": value, "seconds": 1.0, "error": None, "metrics": {"val/loss": value},
        "overrides": {"pretrain.optimizer.lr": lr, "experiment": "smoke", "seed": str(seed)} | more,
    }  # fmt: skip


def test_means_are_taken_over_seeds_of_what_varies() -> None:
    jobs = [job(f"lr_{lr}", lr, seed, value + seed) for lr, value in (("0.1", 1.0), ("0.01", 5.0)) for seed in (0, 2)]
    table = sweep_table(jobs)
    assert "experiment" not in table
    assert factors(table) == ["pretrain.optimizer.lr"]  # the study's name says the same
    summary = means(table, "objective").set_index("pretrain.optimizer.lr")
    assert summary.to_numpy().ravel().tolist() == pytest.approx([2.0, 2**0.5, 2, 6.0, 2**0.5, 2])
    [axes] = sweep_figure(table, "objective", factors(table)).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.01"]
    assert sorted(np.concatenate([line.get_ydata() for line in axes.lines])) == [1.0, 3.0, 5.0, 7.0]


def test_a_slurm_job_asks_for_what_its_trainer_wants(tmp_path: Path) -> None:
    overrides = [
        "hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=60",
        "hydra.launcher.additional_parameters={reservation: vision}", "hydra.launcher.setup=[module load cuda]",
        "trainer=ddp", "trainer.devices=4", "trainer.num_nodes=2", "data=imagenet", f"studies={tmp_path}",
    ]  # fmt: skip
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        config = hydra.compose("config", overrides, return_hydra_config=True)
    asked: Any = OmegaConf.to_container(config.hydra.launcher, resolve=True)
    assert asked["partition"] == "gpu"
    assert (asked["timeout_min"], asked["nodes"], asked["tasks_per_node"], asked["gpus_per_node"]) == (60, 2, 4, 4)
    assert asked["cpus_per_task"] == 9  # eight loading processes
    assert asked["additional_parameters"] == {"reservation": "vision"}
    assert asked["setup"] == ["module load cuda"]


def test_a_number_of_devices_is_needed_on_a_cluster(tmp_path: Path) -> None:
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        config = hydra.compose("config", ["hydra/launcher=slurm", "trainer.devices=auto"], return_hydra_config=True)
    with pytest.raises(InterpolationResolutionError, match="on a cluster, give the number of devices of each node"):
        OmegaConf.to_container(config.hydra.launcher, resolve=True)
