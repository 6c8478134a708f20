"""Weight files as people have them: entries, prefixes, other tensors beside them; and those that must be refused."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch
from torch import Tensor, nn

from networks.classifier import Classifier
from networks.compact_classifiers import CompactResNet, CompactVGG
from networks.weights import load_weights

State = dict[str, Any]


def state(seed: int = 0) -> State:
    torch.manual_seed(seed)
    return dict(CompactVGG(6).state_dict())


def prefixed(prefix: str, weights: State) -> State:
    return {f"{prefix}{name}": value for name, value in weights.items()}


FILES = {
    "as it is": lambda: state(),
    "state_dict": lambda: {"state_dict": state(), "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "model": lambda: {"model": state(), "args": argparse.Namespace(lr=0.1)},
    "model_state": lambda: {"model_state": state()},
    "net": lambda: {"net": state(), "acc": 0.9},
    "ema alone": lambda: {"ema": state()},
    "ema in ema": lambda: {"ema": {"module": state(), "decay": 0.99}},
    "data parallel": lambda: prefixed("module.", state()),
    "compiled": lambda: prefixed("_orig_mod.", state()),
    "compiled within": lambda: {name.replace("features.", "features._orig_mod.", 1): x for name, x in state().items()},
    "in a model": lambda: {"state_dict": prefixed("model.", state()) | {"loss.weight": torch.ones(6)}},
    "in a network": lambda: prefixed("network.", state()),
    "in a backbone": lambda: prefixed("module.backbone.", state()),
    "half precision": lambda: {name: x.half() if x.is_floating_point() else x for name, x in state().items()},
    "two equal copies": lambda: {"model": state(), "ema": state()},
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_weights_are_found_wherever_they_are_in_a_file(name: str, tmp_path: Path) -> None:
    torch.save(FILES[name](), tmp_path / "file.pth")
    network = Classifier(CompactVGG(6))
    load_weights(network, tmp_path / "file.pth")
    for key, value in state().items():
        wanted = value.half().float() if name == "half precision" and value.is_floating_point() else value
        assert torch.equal(network.state_dict()[f"network.{key}"], wanted), key


def test_what_was_done_to_find_them_is_said_in_one_line(tmp_path: Path) -> None:
    path, network = tmp_path / "file.pth", Classifier(CompactVGG(6))
    for content, said in (
        (state(), ""),
        ({"state_dict": state()}, "entry state_dict"),
        (FILES["in a model"](), "entry state_dict, keys without model., 1 other tensors are not used"),
    ):
        torch.save(content, path)
        assert load_weights(network, path) == said


def test_a_lightning_checkpoint_is_read(tmp_path: Path) -> None:
    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            torch.manual_seed(0)
            self.net, self.head = CompactVGG(6), nn.Linear(3, 3)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=0)
    trainer.strategy.connect(Module())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    network = Classifier(CompactVGG(6))
    said = load_weights(network, tmp_path / "last.ckpt")
    assert said == "entry state_dict, keys without net., 2 other tensors are not used"
    assert all(torch.equal(network.state_dict()[f"network.{key}"], value) for key, value in state().items())


def test_the_content_decides_how_a_file_is_read_not_its_suffix(tmp_path: Path) -> None:
    safetensors.torch.save_file(prefixed("module.", state()), tmp_path / "weights.pth")
    torch.save(state(), tmp_path / "weights.safetensors")
    for name in ("weights.pth", "weights.safetensors"):
        network = Classifier(CompactVGG(6))
        load_weights(network, tmp_path / name)
        assert all(torch.equal(network.state_dict()[f"network.{key}"], value) for key, value in state().items())


def changed(change: Any) -> State:
    weights = state()
    first = next(iter(weights))
    weights[first] = change(weights[first])
    return weights


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: {"model": state(0), "ema": state(1)}, "holds two sets of weights that fit, entry model and entry ema"),
        (lambda: prefixed("student.", state(0)) | prefixed("teacher.", state(1)),
         "keys without student.*and keys without teacher."),
        (lambda: changed(lambda x: x * torch.nan), "holds NaN or infinite numbers"),
        (lambda: changed(lambda x: x / 0), "holds NaN or infinite numbers"),
        (lambda: changed(lambda x: x > 0), r"holds torch.bool, the network expects torch.float32"),
        (lambda: changed(lambda x: x.long()), r"holds torch.int64, the network expects torch.float32"),
        (lambda: changed(lambda x: x + 0j), r"holds torch.complex64, the network expects torch.float32"),
        (lambda: changed(lambda x: x.to_sparse()), "is sparse: save weights as plain tensors"),
        (lambda: dict(enumerate(state().values())), "holds no state dict"),
        (lambda: {"lr": 0.1}, "holds no state dict"),
        (lambda: dict(CompactVGG(7).state_dict()), "with 7 classes, set classes of the classifier"),
        (lambda: dict(CompactResNet(6).state_dict()), r"another network than Classifier \(missing: .*; unexpected: .*"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_no_weights_is_refused_and_nothing_changes(
    content: Any, message: str, tmp_path: Path
) -> None:
    torch.save(content(), tmp_path / "file.pth")
    network = Classifier(CompactVGG(6))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message) as caught:
        load_weights(network, tmp_path / "file.pth")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    def quantized(x: Tensor) -> Tensor:
        return torch.quantize_per_tensor(x, 0.1, 0, torch.qint8)

    torch.save(changed(quantized), tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"is quantized: save weights as plain tensors|not a file of plain weights"):
        load_weights(Classifier(CompactVGG(6)), tmp_path / "file.pth")
