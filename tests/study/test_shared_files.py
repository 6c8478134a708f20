"""A folder of configuration files that someone shares can set values; it cannot run code through Hydra."""

import logging
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository

from study.configuration import shared_files
from tests.hostile import CANARY, refusal, start, written
from tests.studies import Program

TOUCH = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [CANARY]}}
LOGGING = {"version": 1, "handlers": {"a": {"()": "logging.FileHandler", "filename": CANARY}},
           "root": {"handlers": ["a"]}}  # fmt: skip
CLASS = {"version": 1, "handlers": {"a": {"class": "logging.FileHandler", "filename": CANARY}},
         "root": {"handlers": ["a"]}}  # fmt: skip


def hydra(**node: Any) -> dict[str, Any]:
    """An experiment that sets keys of Hydra's node."""
    return {"experiment/shared.yaml": {"hydra": node}}


KEYS: dict[str, dict[str, Any]] = {  # the key that is refused, of an experiment
    "hydra.callbacks.a": hydra(callbacks={"a": TOUCH}),
    "hydra.callbacks": hydra(callbacks="${evil}"),
    "hydra.job_logging": hydra(job_logging=LOGGING),
    "hydra.job_logging.": hydra(job_logging=CLASS),
    "hydra.hydra_logging": hydra(hydra_logging=LOGGING),
    "hydra.hydra_logging.": hydra(hydra_logging=CLASS),
    "hydra.launcher._target_": hydra(launcher={"_target_": "os.system", "command": f"touch {CANARY}"}),
    "hydra.launcher.setup": hydra(launcher={"setup": [f"touch {CANARY}"]}),
    "hydra.launcher.srun_args": hydra(launcher={"srun_args": [f"--task-prolog={CANARY}"]}),
    "hydra.launcher.additional_parameters": hydra(launcher={"additional_parameters": {"wrap": f"touch {CANARY}"}}),
    "hydra.launcher.submitit_folder": hydra(launcher={"submitit_folder": CANARY}),
    "hydra.launcher.partition": hydra(launcher={"partition": f"gpu\ntouch {CANARY}"}),
    "hydra.launcher.a": hydra(launcher={"a": {"_target_": "os.abort"}}),
    "hydra.launcher.timeout_min": hydra(launcher={"timeout_min": f"60\ntouch {CANARY}"}),
    "hydra.launcher.jobs_at_once": hydra(launcher={"jobs_at_once": "${evil}"}),
    "hydra.launcher.mem_gb": hydra(launcher={"mem_gb": True}),
    "hydra.launcher.cpus_per_task": hydra(launcher={"cpus_per_task": -1}),
    "hydra.launcher.array_parallelism": hydra(launcher={"array_parallelism": {"_target_": "os.abort"}}),
    "hydra.sweeper._target_": hydra(sweeper=TOUCH),
    "hydra.sweeper.params": hydra(sweeper={"params": {"+hydra.callbacks.a._target_": "os.abort"}}),
    "hydra.job.env_set.PATH": hydra(job={"env_set": {"PATH": CANARY}}),
    "hydra.job.env_set.LD_PRELOAD": hydra(job={"env_set": {"LD_PRELOAD": CANARY}}),
    "hydra.job.env_set.PYTHONPATH": hydra(job={"env_set": {"PYTHONPATH": CANARY}}),
    "hydra.job.env_copy": hydra(job={"env_copy": ["HOME"]}),
    "hydra.job.chdir": hydra(job={"chdir": True}),
    "hydra.job.name": hydra(job={"name": CANARY}),
    "hydra.job.id": hydra(job={"id": f"1\ntouch {CANARY}"}),
    "hydra.run.dir": hydra(run={"dir": CANARY}),
    "hydra.sweep.dir": hydra(sweep={"dir": CANARY}),
    "hydra.sweep.subdir": hydra(sweep={"subdir": CANARY}),
    "hydra.output_subdir": hydra(output_subdir=CANARY),
    "hydra.verbose": hydra(verbose="root"),
    "hydra.help.template": hydra(help={"template": "${evil}"}),
    "hydra.overrides.task": hydra(overrides={"task": ["hydra.run.dir=/"]}),
    "hydra.runtime.output_dir": hydra(runtime={"output_dir": CANARY}),
    "hydra.mode": hydra(mode="${evil}"),
    "hydra in": {"experiment/shared.yaml": {"hydra": "${evil}"}},
    "hydra  in": {"experiment/shared.yaml": {"hydra": ["callbacks"]}},
    "hydra   in": {"experiment/shared.yaml": {"hydra": None}},
    "hydra.searchpath": hydra(searchpath=["pkg://this", "file:///tmp"]),
}
PLACES: dict[str, tuple[dict[str, Any], list[str], str]] = {  # files, overrides, what the line names
    "a package of a file": ({"experiment/shared.yaml": "# @package hydra.callbacks.a\n_target_: os.abort\n"}, [],
                            "hydra.callbacks.a._target_"),
    "a global package": ({"experiment/shared.yaml": "# @package _global_.hydra\ncallbacks: {a: {_target_: os.abort}}"},
                         [], "hydra.callbacks"),
    "a package in defaults": ({"experiment/shared.yaml": {"defaults": ["/extra/a@_global_.hydra.callbacks.a"]},
                               "extra/a.yaml": "_target_: os.abort\n"}, [], "/extra/a"),
    "a group in a package": ({"experiment/shared.yaml": {"defaults": [{"/extra@hydra.callbacks.a": "a"}]},
                              "extra/a.yaml": "_target_: os.abort\n"}, [], "/extra"),
    "a package by a keyword": ({"experiment/hydra.yaml": "# @package _name_\nx: 1\n",
                                "experiment/shared.yaml": "# @package _group_\nx: 1",
                                "hydra/callbacks/shared.yaml": "a: {_target_: os.abort}\n"},
                               ["hydra/callbacks=shared"], "hydra.callbacks.a._target_"),
    "a group of Hydra": ({"experiment/shared.yaml": {"defaults": [{"override /hydra/job_logging": "evil"}]},
                          "hydra/job_logging/evil.yaml": "version: 1"}, [], "/hydra/job_logging"),
    "a group of Hydra, chosen by the user": (
        {"hydra/job_logging/evil.yaml": f"handlers: {{a: {{(): logging.FileHandler, filename: {CANARY}}}}}",
         "experiment/shared.yaml": {}}, ["hydra/job_logging=evil"], "hydra.job_logging.handlers.a.()"),
    "a relative group": ({"hydra/extra/shared.yaml": {"defaults": [{"../launcher": "slurm"}]},
                          "experiment/shared.yaml": {}}, ["+hydra/extra=shared"], ""),
    "another launcher": ({"experiment/shared.yaml": {"defaults": [{"override /hydra/launcher": "basic"}]}}, [],
                         "/hydra/launcher"),
    "another sweeper": ({"experiment/shared.yaml": {"defaults": [{"override /hydra/sweeper": "basic"}]}}, [],
                        "/hydra/sweeper"),
    "the project's own file as a launcher": (
        {"experiment/shared.yaml": {"defaults": [{"/data@hydra.launcher": "fake"}]}}, [], "/data"),
    "the project's own file, by a package relative to that of the file": (
        {"experiment/shared.yaml": "# @package hydra\ndefaults: [{/data@launcher: fake}]\n"}, [], "data/fake.yaml"),
    "a launcher of the project as a callback": (
        {"experiment/shared.yaml": "# @package hydra.callbacks\ndefaults: [{/hydra/launcher@a: slurm}]\n"}, [],
        "/hydra/launcher"),
    "types of all settings": ({"settings/all.yaml": {"study": "x"}, "experiment/shared.yaml": {}}, [], "settings/all"),
    "a path": ({"experiment/shared.yaml": {"defaults": ["/../../../tmp/evil"]}}, [], "is a path, not a name"),
    "a path of a group": ({"experiment/shared.yaml": {"defaults": [{"/extra": "../../evil"}]}}, [],
                          "is a path, not a name"),
    "a file that chooses itself": ({"experiment/shared.yaml": {"defaults": [{"/experiment": "smoke"}]}}, [],
                                   "chooses itself"),
    "a path by an override": ({"experiment/shared.yaml": {}}, ["experiment=../../../../tmp/evil"], "is a path"),
    "a Python object": ({"experiment/shared.yaml": f"a: !!python/object/apply:os.system ['touch {CANARY}']\n"}, [],
                        "experiment/shared.yaml cannot be read"),
    "a Python name": ({"experiment/shared.yaml": "a: !!python/name:os.system\n"}, [], "cannot be read"),
    "a Python module": ({"experiment/shared.yaml": "a: !!python/module:antigravity\n"}, [], "cannot be read"),
    "a file within itself": ({"experiment/shared.yaml": "a: &a [*a]\n"}, [], "cannot be read"),
    "a deep file": ({"experiment/shared.yaml": "a: " + "[" * 100_000}, [], "levels"),
    "a billion values": ({"experiment/shared.yaml": "a0: &a0 [x, x]\n" + "".join(
        f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))}, [], "more than 20 aliases"),
    "no text": ({"experiment/shared.yaml": "a: \udcff\udcfe\n"}, [], "cannot be read"),
    "no YAML": ({"experiment/shared.yaml": "a: [1\nb: }\n"}, [], "cannot be read"),
}  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A folder to share, one for studies, and a file that must not appear."""
    return tmp_path / "shared", tmp_path / "studies", tmp_path / "canary"


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_hydra_in_a_shared_experiment_is_refused(key: str, folders: tuple[Path, Path, Path]) -> None:
    shared, studies, canary = folders
    written(shared, KEYS[key], canary)
    line = refusal(shared, studies, "experiment=shared")
    assert key.split()[0] in line
    assert "hydra.… on the command line" in line
    assert str(shared / "experiment" / "shared.yaml") in line
    assert not canary.exists()
    assert not studies.exists()


@pytest.mark.parametrize("trick", PLACES)
def test_no_other_way_leads_to_hydras_node(trick: str, folders: tuple[Path, Path, Path]) -> None:
    shared, studies, canary = folders
    files, overrides, named = PLACES[trick]
    written(shared, files, canary)
    chosen = [] if any(text.startswith("experiment=") for text in overrides) else ["experiment=shared"]
    assert named in refusal(shared, studies, *chosen, *overrides)
    assert not canary.exists()
    assert not studies.exists()


@pytest.mark.parametrize("node", [{"searchpath": ["pkg://evil"]}, "${x}", {"callbacks": {"a": TOUCH}}])
def test_a_primary_configuration_from_elsewhere_is_checked_as_well(
    node: Any, folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, studies, canary = folders
    written(shared, {"mine.yaml": {"defaults": ["config", "_self_"], "hydra": node, "x": {"searchpath": ["pkg://evil"]}},
                     "evil/__init__.py": f"open({CANARY!r}, 'w')"}, canary)  # fmt: skip
    monkeypatch.syspath_prepend(shared)
    assert "hydra" in refusal(shared, studies, config="mine")
    assert not canary.exists()
    assert not studies.exists()


def test_a_folder_of_the_command_lines_search_path_is_checked_as_well(folders: tuple[Path, Path, Path]) -> None:
    shared, studies, canary = folders
    written(shared, hydra(callbacks={"a": TOUCH}), canary)
    line = refusal(shared / "experiment", studies, f"hydra.searchpath=[file://{shared}]", "experiment=shared")
    assert "hydra.callbacks.a" in line
    assert not canary.exists()


def test_variables_are_not_copied_into_saved_files(folders: tuple[Path, Path, Path]) -> None:
    shared, studies, canary = folders
    written(shared, {"experiment/shared.yaml": {}}, canary)
    assert "hydra.job.env_copy would save values" in refusal(shared, studies, "hydra.job.env_copy=[HOME]")
    assert not studies.exists()


@pytest.mark.parametrize("name", ["callbacks", "hydra_logging"])
def test_without_the_guard_these_files_do_run_code(
    name: str, folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, studies, canary = folders
    written(shared, hydra(callbacks={"a": TOUCH}) if name == "callbacks" else hydra(hydra_logging=LOGGING), canary)
    monkeypatch.setattr(ConfigRepository, "load_config", shared_files.load_file)
    monkeypatch.setattr(ConfigLoaderImpl, "_load_single_config", shared_files.place_file)
    with pytest.raises((ValueError, UserWarning), match=r"there is no such task|Callback NoneType"):
        start(shared, studies, "experiment=shared", "task=none")
    assert canary.exists()
    for handler in list(logging.root.handlers):
        if getattr(handler, "baseFilename", "") == str(canary):
            logging.root.removeHandler(handler)
            handler.close()


def test_a_shared_experiment_with_plain_values_works(folders: tuple[Path, Path, Path]) -> None:
    shared, studies, canary = folders
    experiment = {"defaults": ["smoke", {"override /hydra/launcher": "parallel"}], "study": "mine",
                  "classifiers": ["vgg_compact"], "train_classifier": {"epochs": 1},
                  "hydra": {"launcher": {"jobs_at_once": 3, "timeout_min": 60}}}  # fmt: skip
    written(shared, {"experiment/shared.yaml": experiment}, canary)
    [cfg] = start(shared, studies, "experiment=shared", "task=train_classifier", "classifier=vgg_compact")
    assert cfg.train_classifier.batch_size == 8  # of smoke, in the project's own folder
    assert (studies / "mine" / "classifiers" / "vgg_compact.safetensors").exists()


@pytest.mark.slow
def test_the_program_refuses_in_one_line_before_anything_runs(
    folders: tuple[Path, Path, Path], program: Program
) -> None:
    shared, studies, canary = folders
    written(shared, hydra(callbacks={"a": TOUCH}), canary)
    for more in ([], ["-m"]):
        done = program("--config-dir", str(shared), "experiment=shared", f"studies={studies}", *more, check=False)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith("error: hydra.callbacks.a._target_ in ")
    assert not canary.exists()
    assert not studies.exists()
