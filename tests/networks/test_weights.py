"""Weight files: the published format, and everything that could be wrong with a file."""

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from networks.segnet import CompactSegNet, SegNet
from networks.weights import load_weights, read_weights


def old_format(model: nn.Module) -> dict[str, Tensor]:
    """A state dict as PyTorch 0.3 wrote it from a wrapped model."""
    state = model.state_dict()
    return {f"module.segnet.{key}": value for key, value in state.items() if "num_batches" not in key}


@pytest.mark.parametrize("entry", ["model_state", "state_dict", None])
def test_the_published_format_is_read(entry: str | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    published, model = SegNet(((4, 4), (8, 8))), SegNet(((4, 4), (8, 8)))
    content = old_format(published)
    torch.save({entry: content, "epoch": 3} if entry else content, tmp_path / "published.pth")
    load_weights(model, tmp_path / "published.pth")
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(model.eval()(images), published.eval()(images))


def test_safetensors_are_read(tmp_path: Path) -> None:
    saved, model = CompactSegNet(), CompactSegNet()
    safetensors.torch.save_file(saved.state_dict(), tmp_path / "a.safetensors")
    load_weights(model, tmp_path / "a.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(saved.state_dict().values(), model.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.conv11.weight": None}, r"missing: encoder.conv11.weight"),
        ({"classifier.0.weight": torch.zeros(2)}, r"unexpected: classifier.0.weight"),
        ({"encoder.bn11.bias": torch.zeros(5)}, r"another shape: encoder.bn11.bias \(5,\) instead of \(16,\)"),
    ],
)
def test_weights_of_another_network_are_refused(change: dict[str, Tensor | None], message: str, tmp_path: Path) -> None:
    model = CompactSegNet()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    changed = {key: value for key, value in (CompactSegNet().state_dict() | change).items() if value is not None}
    torch.save(changed, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=message):
        load_weights(model, tmp_path / "other.pth")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))])
def test_pickled_code_never_runs(save: object, tmp_path: Path) -> None:
    assert callable(save)
    save(Trap(tmp_path / "sprung"), tmp_path / "trap.pth")
    with pytest.raises(ValueError, match=r"trap.pth is not a file of plain weights"):
        read_weights(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_weight_file_is_named(tmp_path: Path) -> None:
    safetensors.torch.save_file(CompactSegNet().state_dict(), tmp_path / "cut.safetensors")
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.safetensors is not a whole safetensors file"):
        read_weights(tmp_path / "cut.safetensors")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"text.pth is not a file of plain weights"):
        read_weights(tmp_path / "text.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list.pth holds no state dict"):
        read_weights(tmp_path / "list.pth")
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth does not exist"):
        read_weights(tmp_path / "nowhere.pth")
