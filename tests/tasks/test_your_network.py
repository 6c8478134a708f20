"""A user's own network and photographs: from a directory of hers, in two commands, to a page."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from study.configuration.shortcuts import expanded
from study.data import make_data
from study.labels import without_decisions
from tests.studies import REPOSITORY, compose_any

CODE = '''
from torch import nn


class MyNet(nn.Module):
    """Gives a dictionary, as many networks do."""

    def __init__(self, width=16):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), nn.Conv2d(width, 32, 3, stride=2), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(32, 7)

    def forward(self, images):
        features = self.body(images)
        return {"features": features, "logits": 60 * self.head(features)}
'''
QUICK = (
    "data.size=48", "band_tolerance.images=16", "band_tolerance.first_steps=4", "band_tolerance.steps=2",
    "band_tolerance.evaluation_images=20", "class_patterns.epochs=1", "class_patterns.search_images=16",
    "class_patterns.evaluation_images=10", "class_patterns.classes=2",
)  # fmt: skip


def own_network() -> nn.Module:
    names: dict[str, type[nn.Module]] = {}
    exec(CODE, names)  # noqa: S102 - the text above
    torch.manual_seed(3)
    return names["MyNet"]().eval()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's directory: a package, a checkpoint, an exported program, and 40 photographs of a phone, not labelled."""
    home = tmp_path_factory.mktemp("home")
    (home / "my_package").mkdir()
    (home / "my_package" / "__init__.py").write_text("")
    (home / "my_package" / "nets.py").write_text(CODE)
    network = own_network()
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 12}, home / "checkpoint.pth")
    program = torch.export.export(network, (torch.rand(2, 3, 48, 48),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    metadata = {"metadata.json": '{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "size": 48}'}
    torch.export.save(program, home / "my net.pt2", extra_files=metadata)
    (home / "photos" / "2026 summer").mkdir(parents=True)
    for number in range(40):
        draw = np.random.default_rng(number)
        low = draw.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        size = int(draw.integers(60, 240)), int(draw.integers(60, 240))
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        folder = home / "photos" / ("2026 summer" if number % 2 else "")
        Image.fromarray(low).resize(size, Image.Resampling.BICUBIC).save(folder / f"IMG_{number:04}.JPG", exif=exif)
    return home


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(REPOSITORY / "run.py"), *arguments]
    return subprocess.run(line, cwd=home, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_network_of_ones_own_package_gets_to_a_page_in_two_commands(home: Path) -> None:
    asked = ("task=ask", "classifier=module:my_package.nets.MyNet", "weights=checkpoint.pth", "trust=[my_package]",
             "images=photos", *QUICK)  # fmt: skip
    first = command(home, *asked)
    assert first.returncode == 1
    lines = re.findall(r"network\.\w+=[\d.,\[\]]+", first.stderr.partition("as they are):")[2])
    assert [line.partition("=")[0] for line in lines] == ["network.size", "network.mean", "network.std"]
    second = command(home, *asked, *lines[1:], "network.size=48")
    assert second.returncode == 0, second.stdout + second.stderr
    for said in (
        "classifier MyNet: 'logits' of its output is used as logits",
        "weights of MyNet: entry state_dict, keys without module. of checkpoint.pth",
        "of these images are tested on: numbers and intervals hold for these very images",
    ):
        assert said in second.stdout
    study = home / "studies" / "ask-MyNet-photos"
    page = (study / "report" / "index.html").read_text()
    for anchor in ("Decisions", "Bits per image", "Patterns of MyNet"):
        assert anchor in page
    assert "Traceback" not in second.stdout + second.stderr
    again = command(home, *asked, *lines[1:], "network.size=48")
    assert again.returncode == 0
    assert "made:" not in again.stdout


@pytest.mark.slow
def test_an_exported_program_gets_there_in_one_command_and_decides_alike(home: Path) -> None:
    done = command(home, "task=ask", "classifier=exported:my net.pt2", "images=photos", "analyses=[]", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    exported = home / "studies" / "ask-my_net-photos"
    assert (exported / "report" / "index.html").exists()
    decided = np.load(exported / "decisions" / "my_net-test.npz")
    cfg = compose_any(home, *expanded(["task=ask", "classifier=vgg_compact", f"images={home / 'photos'}", *QUICK]))
    split = make_data(without_decisions(cfg)).split("test")
    images = torch.stack([split[n][0] for n in range(len(split))]).float() / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    with torch.no_grad():
        shares = own_network()((images - mean) / std)["logits"].double().softmax(dim=1)
    assert np.array_equal(decided["predicted"], shares.argmax(dim=1))
    assert np.allclose(decided["confidence"], shares.amax(dim=1), atol=1e-5)
