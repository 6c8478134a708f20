"""Only what the list of targets names can be made from a configuration, and exactly what was checked is made."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import OmegaConf

import run
from study.classifiers import classifier_weights, published_accuracy
from study.configuration.instantiation import TARGETS, instantiate
from tests.hostile import CANARY, refusal, written
from tests.studies import REPOSITORY, compose

REFUSED = (
    "os.system", "subprocess.run", "builtins.eval", "builtins.exec", "pickle.load", "importlib.import_module",
    "shutil.rmtree", "hydra.utils.call", "hydra.utils.get_method", "numpy.load", "webdataset.WebDataset", "run.main",
    "torch.load", "torch.hub.load", "torch.utils.cpp_extension.load", "torch.jit.load", "torch.serialization.load",
    "torch.package.PackageImporter", "torch.os.system", "torch.nn.functional.torch.load", "torchvision.os.system",
    "torch.multiprocessing.Process", "torch.utils.data.sys.exit", "torch.nn.modules.module.warnings.warn",
    "datamodules.base.Path", "datamodules.folder.Path.unlink", "networks.weights.torch.load", "networks.weights.torch",
    "networks.segnet.nn.Module.load_state_dict", "callbacks.loggers.Path", "callbacks.loggers.contextlib.suppress",
    "pytorch_lightning.utilities.cloud_io.load", "pytorch_lightning.Trainer.fit", "lightning_fabric.utilities.load",
    "timm.models.torch.load", "torchmetrics.os.remove", "study.artifact.subprocess.run", "study.jobs.run_task",
    "torchvision.models.torch.hub.load", "networks", "torch.nn", "torch", "networks..os.system", "", "torch.nn.Nothing",
    "timm.models.load_state_dict", "timm.models.load_checkpoint", "timm.models.load_custom_pretrained",
    "timm.create_model", "timm.models.create_model", "torchvision.models.resnet18", "torchvision.models.get_model",
    "torchvision.models._api.WeightsEnum.get_state_dict", "torchvision.models.ResNet18_Weights.get_state_dict",
    "torch.nn.Linear", "torch.nn.Module.load_state_dict", "torch.optim.Optimizer", "torch.optim.LBFGS.load_state_dict",
    "torch.optim.swa_utils.AveragedModel", "torch.optim.lr_scheduler.LambdaLR", "torch.optim.adam.os.system",
    "study.lightning_fixes.WholeFileCheckpointIO", "study.lightning_fixes.WholeFileCheckpointIO.save_checkpoint",
    "study.files.save_weights", "study.files.write_text", "callbacks.checkpointing.Checkpointing",
    "callbacks.loggers.offline_run", "pytorch_lightning.loggers.CSVLogger", "datamodules.PoisonedImages",
    "datamodules.FakeImages.__init__", "datamodules.FakeImages ", " datamodules.FakeImages", "datamodules.fake",
    "datamodules.fakeimages", "datamodules.fake.FakeImages", "networks.segnet.SegNet.__class__",
    "networks/segnet.SegNet", "networks.segnet:SegNet", "networks.ѕegnet.SegNet",
)  # fmt: skip


@pytest.mark.parametrize("target", REFUSED)
def test_other_targets_are_refused_and_not_imported(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr("study.configuration.instantiation.importlib.import_module", tried.append)
    for kind in TARGETS:
        with pytest.raises(ValueError, match=r"^node\._target_=.* is not allowed for node: give "):
            instantiate(OmegaConf.create({"_target_": target, "_partial_": True}), "node", kind)
    assert not tried


@pytest.mark.parametrize("target", [None, 3, True, ["datamodules.FakeImages"], {"a": "datamodules.FakeImages"}])
def test_a_target_is_text(target: Any) -> None:
    with pytest.raises(ValueError, match=r"node\._target_=.* is not allowed"):
        instantiate(OmegaConf.create({"_target_": target}), "node", "images")


def test_a_target_of_another_kind_is_refused() -> None:
    for kind, targets in TARGETS.items():
        for other in TARGETS.keys() - {kind}:
            with pytest.raises(ValueError, match=r"_target_=.* is not allowed for node"):
                instantiate({"_target_": targets[0], "_partial_": True}, "node", other)


SMALL = {"_target_": "networks.compact_classifiers.CompactVGG", "classes": 2}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"widths": {"_target_": "os.getpid"}}, r"node\.widths\._target_ is not allowed: .* plain values"),
        ({"widths": [{"a": [{"_target_": "os.abort"}]}]}, r"node\.widths\[0\]\.a\[0\]\._target_ is not allowed"),
        ({"widths": [SMALL]}, r"node\.widths\[0\]\._target_ is not allowed"),
        ({"_args_": [2]}, r"node\._args_ is not allowed"),
        ({"_recursive_": False}, r"node\._recursive_ is not allowed"),
        ({"_convert_": "object"}, r"node\._convert_ is not allowed"),
        ({"_partial_": True}, r"node\._partial_ is not allowed"),
        ({"__class__": 1}, r"node\.__class__ is not allowed"),
        ({"widths": r"\${oc.env:HOME}"}, r"node\.widths=\$\{oc\.env:HOME\}: an escaped interpolation"),
        ({"widths": [r"\${a}"]}, r"node\.widths\[0\]=\$\{a\}: an escaped interpolation"),
        ({r"\${a}": 1}, r"an escaped interpolation"),
        ({"_target_": r"\${name}", "name": "os.system"}, r"node\._target_=\$\{name\}: an escaped interpolation"),
        ({"_target_": "${.name}", "name": "os.system"}, r"node\._target_=os\.system is not allowed"),
        ({"_target_": "${oc.decode:'os.system'}"}, r"node\._target_=os\.system is not allowed"),
        ({"_target_": "${oc.env:A_TARGET}"}, r"node\._target_=os\.system is not allowed"),
        ({"widths": "${oc.create:'{_target_: os.system}'}"}, r"node\.widths\._target_ is not allowed"),
        ({"widths": "${.b}", "b": {"_target_": "os.abort"}}, r"node\.(widths|b)\._target_ is not allowed"),
        ({"wdths": [1]}, r"CompactVGG got an unexpected keyword argument 'wdths'; its arguments are .*widths"),
        ({"hidden": "???"}, r"node\.hidden is not set"),
    ],
)
def test_what_is_not_a_plain_value_is_refused(
    more: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TARGET", "os.system")
    with pytest.raises(ValueError, match=message):
        instantiate(OmegaConf.create(SMALL | more), "node", "classifier")


def test_arguments_that_the_program_gives_are_refused() -> None:
    with pytest.raises(ValueError, match=r"node\.classes is not allowed: the program gives .* its classes"):
        instantiate(SMALL, "node", "classifier", classes=3)


def test_what_was_checked_is_what_is_made() -> None:
    """A resolver that answers differently the second time does not get a second time."""
    answers = iter(["networks.segnet.CompactSegNet", "os.system"])
    OmegaConf.register_new_resolver("changing", lambda: next(answers))
    try:
        made = instantiate(OmegaConf.create({"_target_": "${changing:}"}), "node", "autoencoder")
    finally:
        OmegaConf.clear_resolver("changing")
    assert type(made).__name__ == "CompactSegNet"
    assert next(answers) == "os.system"


@pytest.mark.parametrize("target", [target for targets in TARGETS.values() for target in targets])
def test_every_target_is_an_own_class_or_function_or_an_optimiser(target: str) -> None:
    module, _, name = target.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    assert (REPOSITORY / module.split(".")[0]).is_dir() or issubclass(thing, torch.optim.Optimizer)
    assert inspect.isclass(thing) or inspect.isfunction(thing)
    assert thing.__module__.startswith(module)
    assert thing.__name__ == name


def test_every_file_of_the_configuration_names_targets_of_the_list() -> None:
    named = set()
    for path in (REPOSITORY / "conf").rglob("*.yaml"):
        if "hydra" not in path.parts:
            lines = path.read_text(encoding="utf-8").split("_target_: ")[1:]
            named |= {line.split()[0].rstrip("}") for line in lines}
    assert len(named) > 20
    assert named <= {target for targets in TARGETS.values() for target in targets}


def test_the_list_of_targets_loads_no_pytorch() -> None:
    modules = ", ".join(f"study.configuration.{name}" for name in ("instantiation", "shared_files", "names"))
    command = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], cwd=REPOSITORY, check=True)


def test_an_optimiser_waits_for_its_parameters() -> None:
    node = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5, "momentum": 0.25}
    optimizer = instantiate(OmegaConf.create(node), "node", "optimizer")([torch.zeros(2, requires_grad=True)])
    assert isinstance(optimizer, torch.optim.SGD)
    assert (optimizer.defaults["lr"], optimizer.defaults["momentum"]) == (0.5, 0.25)
    with pytest.raises(ValueError, match=r"node\._partial_: give true"):
        instantiate(node | {"_partial_": False}, "node", "optimizer")


TRAP = {"_target_": "os.system", "command": f"touch {CANARY}"}
NODES: dict[str, tuple[str, dict[str, Any]]] = {  # what uses a node, and an experiment that sets it
    "data": ("pretrain", {"data": TRAP}),
    "pretrain_data": ("pretrain", {"pretrain_data": TRAP}),
    "autoencoder.network": ("pretrain", {"autoencoder": {"network": TRAP}}),
    "pretrain.optimizer": ("pretrain", {"pretrain": {"optimizer": TRAP}}),
    "logger.csv": ("pretrain", {"logger": {"csv": TRAP}}),
    "logger.mine": ("pretrain", {"logger": {"mine": TRAP}}),
    "classifier.network": ("train_classifier", {"classifier": {"network": TRAP}}),
    "classifier.preprocessing": ("train_classifier", {"classifier": {"preprocessing": TRAP}}),
    "train_classifier.optimizer": ("train_classifier", {"train_classifier": {"optimizer": TRAP}}),
    "data._partial_": ("pretrain", {"data": {"_partial_": True}}),
    "data.class_count._target_": ("pretrain", {"data": {"class_count": TRAP}}),
    "data.class_count": ("pretrain", {"data": {"class_count": r"\${study}"}}),
    "autoencoder.network._args_": ("pretrain", {"autoencoder": {"network": {"_args_": [TRAP]}}}),
    "layer": ("pretrain", {"layer": r"\${oc.env:HOME}"}),
}  # fmt: skip


@pytest.mark.parametrize("key", NODES)
def test_every_node_that_names_a_target_is_guarded(key: str, tmp_path: Path) -> None:
    task, node = NODES[key]
    shared = written(tmp_path / "shared", {"experiment/shared.yaml": {"defaults": ["smoke"], **node}},
                     tmp_path / "canary")  # fmt: skip
    line = refusal(shared, tmp_path, "experiment=shared", f"task={task}", "classifier=vgg_compact")
    assert line.startswith(f"{key}")
    assert "is not allowed" in line
    assert not (tmp_path / "canary").exists()
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("key", ["weights", "accuracy"])
def test_what_names_published_weights_is_guarded(key: str, tmp_path: Path) -> None:
    trap = {"_target_": "os.system", "command": f"touch {tmp_path / 'canary'}"}
    changed = OmegaConf.create({"name": "a", "weights": "x", "published": {"weights": None, "accuracy": None}})
    changed.published[key] = trap
    with pytest.raises(ValueError, match=rf"classifier\.published\.{key}\._target_=os\.system is not allowed"):
        _ = classifier_weights(changed, changed) if key == "weights" else published_accuracy(changed)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["hf-hub:someone/evil", "local-dir:/tmp/evil", "resnet18.", "resnet18.a/../b", "_x",
                                  "resnet18:x", "__class__", "https://example.org/x", ""])  # fmt: skip
@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_an_architecture_is_a_name_of_the_library(library: str, name: str) -> None:
    node = {"_target_": f"networks.{library}_classifiers.{library}_network", "architecture": name}
    with pytest.raises(hydra.errors.InstantiationException) as caught:
        instantiate(node, "node", "classifier", classes=2)
    assert f"{library} has no classifier" in run.EXPLAIN(caught.value)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.safetensors"])
def test_a_pickle_given_as_weights_runs_nothing(name: str, tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "marker"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (marker,))

    path = tmp_path / name
    path.write_bytes(pickle.dumps({"a": Trap()}))
    with pytest.raises(ValueError, match=name):
        run.run(compose(tmp_path, "task=pretrain", f"autoencoder.weights={path}"))
    assert not marker.exists()
