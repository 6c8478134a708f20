"""Nothing but the project's own and the field's classes can be named in a configuration."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import run
from study.instantiation import instantiate
from tests.studies import compose

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
)  # fmt: skip


@pytest.mark.parametrize("target", REFUSED)
def test_other_targets_are_refused_and_not_called(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr("hydra.utils.instantiate", lambda *arguments, **options: called.append(arguments))
    with pytest.raises(ValueError, match=r"node\._target_=.* (is not allowed|cannot be found)"):
        instantiate(OmegaConf.create({"_target_": target, "command": "true"}), "node")
    assert not called


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "torch.nn.Linear", "in_features": {"_target_": "os.getpid"}, "out_features": 1},
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.system", "command": "true"}]},
        {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1, "bias": {"a": [{"_target_": "os.abort"}]}},
        {"_target_": "${name}", "name": "os.system"},
    ],
)
def test_targets_within_targets_are_looked_at(node: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is not allowed: name something of the packages of this project"):
        instantiate(OmegaConf.create(node), "node")


@pytest.mark.parametrize(
    "target",
    [
        "torch.optim.Adam", "torch.nn.Linear", "networks.segnet.SegNet", "datamodules.FakeImages",
        "datamodules.ImageFolder", "torchvision.models.resnet18", "timm.create_model", "torchmetrics.MeanMetric",
        "pytorch_lightning.loggers.CSVLogger", "networks.torchvision_classifiers.torchvision_network",
        "callbacks.loggers.wandb_log",
    ],
)  # fmt: skip
def test_what_belongs_here_is_allowed(target: str) -> None:
    assert callable(instantiate(OmegaConf.create({"_target_": target, "_partial_": True}), "node"))


@pytest.mark.parametrize("key", ["data", "autoencoder.network", "classifier.network", "classifier.preprocessing",
                                 "pretrain.optimizer", "logger.csv"])  # fmt: skip
def test_every_place_that_names_a_target_is_guarded(key: str, tmp_path: Path) -> None:
    task = "train_classifier" if key.startswith("classifier") else "pretrain"
    marker = tmp_path / "marker"
    with pytest.raises(ValueError, match=rf"{key}\._target_=os\.system is not allowed"):
        run.run(compose(tmp_path, f"task={task}", "classifier=vgg_compact", f"++{key}._target_=os.system",
                        f"++{key}.command='touch {marker}'"))  # fmt: skip
    assert not marker.exists()


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
