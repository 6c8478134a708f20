"""Settings: any key with any task, and no wrong value accepted."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import run
from study.settings.common import Common, Trainer
from study.settings.fields import Settings, check_node, default_of, expected, resolved, settings_type
from tasks.registry import TASKS, check_settings, job_name, settings_classes
from tests.studies import REPOSITORY, Program, compose_any

NODES = settings_classes()
Field = Any
WRONG: dict[str, list[str]] = {
    "whole": ["abc", "-1", "1.5", "true", "[1]", "{a:1}", "1e12.5"],
    "number": ["abc", "-1", "nan", "inf", "true", "[1]", "{a:1}"],
    "true": ["abc", "[true]", "{a:1}"],  # OmegaConf takes every number for true or false
}


def fields_of(settings: type[Settings], key: str) -> Iterator[tuple[str, Field]]:
    """Every key of a node, with its field; of nodes within it as well."""
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name, inner = f"{key}.{field.name}" if key else field.name, settings_type(field.type)
        yield name, field
        if inner is not None:
            yield from fields_of(inner, name)


ALL: dict[str, type[Settings]] = {"": Common, **NODES}
EVERY = [pair for name, node in ALL.items() for pair in fields_of(node, name)]


def wrong_values(field: Field) -> list[str]:
    """Values that a field must refuse, as they are written on the command line."""
    words = expected(field)
    if field.metadata["choices"] is not None and not words.startswith("a list"):
        return ["something_else", "3", "[]"]
    kind = next((kind for kind in WRONG if words.startswith((f"a {kind}", kind))), None)
    if kind is not None:
        zero = ["0"] if field.metadata["above"] == 0 or field.metadata["low"] == 1 else []
        return [value for value in WRONG[kind] if value != "-1" or field.metadata["low"] != -1] + zero
    if words.startswith("a list"):
        return ["3", "abc", "{a:1}", *(["[1,1]"] if field.metadata["unique"] else [])]
    if words.startswith(("a mapping", "a group")):
        return ["3", "abc", "[1]"]
    return []


CASES = [(key, value) for key, field in EVERY for value in wrong_values(field)]


@pytest.fixture(scope="module")
def base() -> DictConfig:
    """The default configuration."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(run.CONF), version_base="1.3"):
        return hydra.compose("config")


def refusal(base: DictConfig, key: str, value: str) -> str:
    """The one line that refuses a value; empty if it is accepted."""
    parser = hydra.core.override_parser.overrides_parser.OverridesParser.create()  # type: ignore[attr-defined]
    changed = base.copy()
    try:
        [override] = parser.parse_overrides([f"{key}={value}"])
        OmegaConf.update(changed, key, override.value(), merge=True)
        check_settings(changed)
    except (ValueError, OmegaConfBaseException) as error:
        if isinstance(error, OmegaConfBaseException):  # Hydra says so in these words, and names the cause
            wrapped = hydra.errors.ConfigCompositionException(f"Error merging override {key}={value}")
            wrapped.__cause__ = error
            return run.EXPLAIN(wrapped)
        return run.EXPLAIN(error)
    return ""


def test_there_are_enough_wrong_values_and_all_nodes_have_some() -> None:
    assert len(CASES) >= 200
    assert {key.split(".")[0] for key, _ in CASES} >= set(NODES)


def test_every_wrong_value_is_refused_in_one_line_that_names_key_value_and_range(base: DictConfig) -> None:
    accepted, unclear = [], []
    for key, value in CASES:
        line = refusal(base, key, value)
        if not line:
            accepted.append((key, value))
        elif "\n" in line or not line.startswith(f"{key.split('.')[0]}") or "give " not in line + "choose use there is":
            unclear.append((key, value, line))
    assert not accepted
    assert not unclear


def test_every_default_is_right(base: DictConfig) -> None:
    check_settings(base)
    for name, node in ALL.items():
        for key, field in fields_of(node, name):
            if settings_type(field.type) is None and default_of(field) != "???" and "${" not in str(default_of(field)):
                assert OmegaConf.select(base, key) == OmegaConf.create({"x": default_of(field)}).x or key == (
                    "robustness.alone.attack.steps"  # 20, of robust accuracy; 10 where classifiers are trained
                )


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_any_key_is_accepted_with_any_task(task: str, tmp_path: Path) -> None:
    others = [f"{name}.{first_number(node)[0]}={first_number(node)[1]}" for name, node in NODES.items()]
    cfg = compose_any(tmp_path, f"task={task}", *others)
    check_settings(cfg)
    assert job_name(cfg).startswith(task)


def first_number(node: type[Settings]) -> tuple[str, Any]:
    """A key of a node and a value for it that is right and not the default."""
    for field in dataclasses.fields(node):  # type: ignore[arg-type]
        if field.type is int:
            return field.name, default_of(field) + 1
    field = dataclasses.fields(node)[0]  # type: ignore[arg-type]
    return field.name, field.metadata["choices"][-1] if field.metadata["choices"] else "[mine]"


def test_a_documented_override_of_another_step_runs(tmp_path: Path) -> None:
    cfg = compose_any(tmp_path, "experiment=smoke", "task=pretrain", "pretrain.epochs=0", "finetune.batch_size=4")
    assert run.run(cfg) > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("finetune.epochs=abc", "finetune.epochs=abc: give a whole number from 0 on"),
        ("intervals.level=1e-30", "intervals.level=1e-30: give a number from 0.5 below 1"),
        ("noise_curves.clamp=abc", "noise_curves.clamp=abc: give true or false"),
        ("class_patterns.alpha=nan", "class_patterns.alpha=nan: give a number from 0 to 1"),
        (
            "seeds=3",
            "seeds=3: give a list, each element a whole number from 0 on, 1 or more of them, each once, or null",
        ),
        ("trainer.precision=8", "trainer.precision=8: give 32-true or"),
        ("trainer.compile=maybe", "trainer.compile=maybe: give true or false"),
        ("finetune=3", "finetune=3: a group of settings; give one of them, as finetune.epochs="),
        ("finetune.optimizer.lr=-1", "finetune.optimizer.lr=-1: give a number from 0 on"),
        ("finetune.optimizer.momentum=0.9", "to add it, write +finetune.optimizer.momentum"),
        ("measurements=[robust]", "measurements: there is no robust; did you mean robustness"),
    ],
)
def test_the_program_refuses_before_any_work(override: str, message: str, tmp_path: Path, program: Program) -> None:
    done = program("experiment=smoke", f"studies={tmp_path}", override, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        *((f"finetune.{name}", "-1", "from 0 on") for name in ("anchor", "energy", "rate", "noise", "shift")),
        ("finetune.tolerance", "0", "give a number above 0, or null"),
        ("finetune.trained", "head", "give decoder or encoder or both"),
        ("pretrain.schedule", "cosine", "give constant or one_cycle or plateau"),
        *(
            ("noise_curves.epsilons", wrong, "from 0 to 1, 1 or more of them, each once")
            for wrong in ("[]", "[0,1.5]", "[0.1,0.1]", "[nan]")
        ),
        ("robustness.alone.attack.epsilon", "8/255", "robustness.alone.attack.epsilon"),
        (
            "robustness.epsilons.linf",
            "[inf]",
            "linf=[inf]: give a list, each element a number above 0",
        ),
        ("train_classifier.adversary", "{norm:l1,epsilon:0.03}", "adversary.norm=l1: give linf or l2"),
        ("train_classifier.adversary", "{norm:l2,epsilon:8/255}", "adversary.epsilon"),
        ("train_classifier.adversary", "{norm:l2,epsilon:-0.1}", "adversary.epsilon=-0.1: give a number from 0 on"),
        ("train_classifier.adversary", "{norm:l2,epsilon:nan}", "'epsilon': nan}: give a value, or null"),
        ("train_classifier.adversary", "{norm:l2,epsilon:0.1,steps:0}", "steps=0: give a whole number from 1 on"),
        ("train_classifier.adversary", "{norm:l2,epsilon:0.1,steps:2.5}", "adversary.steps"),
        ("train_classifier.adversary", "{norm:l2,epsilon:0.1,relative_step:0}", "give a number above 0"),
        ("train_classifier.adversary", "{norm:l2,epsilon:0.1,random_start:maybe}", "adversary.random_start"),
    ],
)
def test_options_of_the_main_method_that_make_no_sense_are_refused(
    base: DictConfig, key: str, value: str, message: str
) -> None:
    assert message in refusal(base, key, value)


def test_a_rate_needs_an_encoder_that_learns(base: DictConfig) -> None:
    assert "use finetune.trained=both" in refusal(base, "finetune.rate", "0.1")


def test_a_node_is_completed_with_its_defaults() -> None:
    complete = resolved(OmegaConf.create({"precision": "32-true"}), PrecisionOnly, "node")
    assert dict(complete) == {"precision": "32-true", "steps": 3}
    with pytest.raises(ValueError, match=r"there is no key node\.stepz; did you mean steps"):
        resolved(OmegaConf.create({"stepz": 1}), PrecisionOnly, "node")


@dataclasses.dataclass
class PrecisionOnly(Settings):
    """Two keys."""

    precision: str = dataclasses.field(default="???", metadata=dataclasses.fields(Trainer)[4].metadata)
    steps: int = dataclasses.field(default=3, metadata={**dataclasses.fields(Trainer)[2].metadata})


def test_a_missing_value_is_named() -> None:
    with pytest.raises(ValueError, match=r"node\.precision is not set: give 32-true or"):
        check_node(OmegaConf.structured(PrecisionOnly), PrecisionOnly, "node")


def test_help_is_short_and_quick_and_names_every_task(program: Program) -> None:
    start = time.monotonic()
    done = program("--help")
    seconds = time.monotonic() - start
    lines = done.stdout.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120
    assert all(f"  {task.name} " in done.stdout for task in TASKS)
    assert all(f"{folder.name}=" in done.stdout for folder in run.CONF.iterdir() if list(folder.glob("*.yaml")))
    assert seconds < 10  # 0.2 s on a quiet machine
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", str(REPOSITORY / "run.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [
        line for line in loaded.stderr.splitlines() if line.split("|")[-1].strip() in ("torch", "pandas", "numpy")
    ]


@pytest.mark.parametrize("task", [task.name for task in TASKS if task.settings is not None])
def test_help_of_a_task_lists_its_keys(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    run.show_help([f"task={task}"])
    text = capsys.readouterr().out
    for key, field in fields_of(NODES[task], task):
        if settings_type(field.type) is None:
            assert f"{key}=" in text
    assert max(map(len, text.splitlines())) <= 120 or "classifiers=[" in text


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_every_task_can_be_loaded(task: str) -> None:
    [entry] = [one for one in TASKS if one.name == task]
    assert callable(entry.load())


@pytest.mark.filterwarnings("ignore:You requested to overfit")
@pytest.mark.parametrize("debug", sorted(path.stem for path in (run.CONF / "debug").glob("*.yaml")))
def test_debug_works_on_top_of_an_experiment(debug: str, tmp_path: Path) -> None:
    pretraining = ("experiment=smoke", "task=pretrain", "pretrain.epochs=2")
    run.run(compose_any(tmp_path, *pretraining, f"debug={debug}"))
    assert (tmp_path / "smoke" / "autoencoders" / "pretrained.safetensors").exists()
    whole = compose_any(tmp_path, *pretraining)
    if debug == "profiler":
        assert run.run(whole) > 0
    else:  # what was limited is not taken for the real thing
        with pytest.raises(ValueError, match="other settings: trainer"):
            run.run(whole)
