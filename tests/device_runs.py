"""What tests run on the pretended device, in a process of its own: PyTorch must know a device from its start.

python -m tests.device_runs modules          every module; prints, as JSON, how far each is from the CPU, or its error
python -m tests.device_runs tasks FOLDER     a study with every measurement, in FOLDER
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

import run
import study.trainer
from benchmarks.gpu_parts.cases import CASES
from benchmarks.gpu_parts.comparison import Case, Mode, apart, collect
from study.lightning_fixes import quiet_lightning
from tests.devices import NAME, DeviceMismatchError, pretended_device, register
from tests.studies import compose

# tensors that wrap others cannot be made in inference mode and changed outside of it
OPTIONS: dict[str, Any] = {"accelerator": "auto", "devices": "auto", "inference_mode": False}
EVERYTHING = (
    "measurements=[signal_statistics,noise_curves,robustness,probe]", "controls=[extra_training,random_weights]",
    "analyses=[class_patterns,layer_features,concepts,band_tolerance]", "pretrain.epochs=2", "finetune.epochs=1",
    "data.images=12", "pretrain.batch_size=6", "finetune.batch_size=6", "probe.batch_size=6", "probe.epochs=1",
    "class_patterns.epochs=1", "class_patterns.search_images=8", "class_patterns.classes=3",
    "class_patterns.evaluation_images=2",
    "class_patterns.seeds=[0]", "class_patterns.canvases={own:0,other:0,noise:1,learned:1}", "concepts.k=2",
    "concepts.ranks=[]", "concepts.seeds=[0]", "concepts.permutations=9", "concepts.top_images=2",
    "concepts.importance_images=1", "concepts.passes=3", "layer_features.iterations=2", "layer_features.clusters=2",
    "layer_features.seeds=[0]", "robustness.steps=1", "robustness.images=6",
    "robustness.epsilons={linf:[0.03],l2:[0.5]}", "robustness.alone.attack.steps=1", "report.test_images=1",
    "report.photographs=1", "noise_curves.epsilons=[0,0.2]", "band_tolerance.first_steps=2", "band_tolerance.steps=2",
    "band_tolerance.batch_size=6", "band_tolerance.evaluation_images=6",
)  # fmt: skip


def on_the_device(case: Case) -> dict[str, Any]:
    """How far a case on the device is from the CPU, or its error."""
    expected = collect(case, Mode("cpu"), seed=0)
    try:
        with pretended_device() as strategy:
            found = collect(case, Mode("cpu"), seed=0, strategy=strategy(), **OPTIONS)
    except Exception as error:
        return {"error": repr(error)}
    return {kind: value for kind, value in apart(expected, found).items() if value}


def refused() -> list[str]:
    """Operations that a GPU refuses and the device does not; empty if it is right."""
    with pretended_device():
        there, here, index = torch.arange(3.0, device=NAME), torch.ones(3), torch.tensor([2])
        assert (there * torch.tensor(2.0))[index].tolist() == [4.0]  # single numbers and indices may be on the CPU
        wrong = {
            "sum": lambda: there + here,
            "index": lambda: here[index.to(NAME)],
            "generator": lambda: torch.rand(2, device=NAME, generator=torch.Generator()),
            "numpy": there.numpy,
        }
        return [name for name, work in wrong.items() if not is_refused(work)]


def is_refused(work: Any) -> bool:
    """Whether something raises what it should."""
    try:
        work()
    except (DeviceMismatchError, RuntimeError, TypeError):
        return True
    return False


def run_tasks(folder: Path) -> dict[str, Any]:
    """Run a study on the device; returns how many trainers it has made, and their devices."""
    made: list[pl.Trainer] = []

    def trainer(make: Any, strategy_of: Any, **options: Any) -> pl.Trainer:
        made.append(make(**options | OPTIONS | {"strategy": strategy_of()}))
        return made[-1]

    with pretended_device() as strategy:
        study.trainer.pl.Trainer = functools.partial(trainer, pl.Trainer, strategy)  # type: ignore[assignment,misc]
        run.run(compose(folder, *EVERYTHING))
    return {"trainers": len(made), "devices": sorted({each.strategy.root_device.type for each in made})}


if __name__ == "__main__":
    register()
    quiet_lightning()
    torch.set_num_threads(1)
    if sys.argv[1] == "modules":
        found: dict[str, Any] = {"not refused": refused()} | {case.name: on_the_device(case) for case in CASES}
    else:
        found = run_tasks(Path(sys.argv[2]))
    sys.stdout.write(json.dumps(found) + "\n")
