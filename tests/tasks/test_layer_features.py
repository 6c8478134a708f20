"""Layer features of a study: tables that agree with the networks, any folder of images, and nothing made twice."""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import run
from methods.layer_features.report import read
from methods.layer_features.results import FeatureRecord
from networks.classifier import Classifier
from networks.compact_classifiers import CompactVGG
from networks.weights import load_weights
from study.data import make_data
from study.records import read_record
from tests.datamodules.trees import jpeg
from tests.studies import compose

SMALL = (
    "task=layer_features", "layer_features.iterations=6", "layer_features.image_count=24", "layer_features.clusters=2",
    "layer_features.members=3", "layer_features.seeds=[0,1]", "classifiers=[vgg_compact]",
)  # fmt: skip
LAYERS = "layer=[features.4,head.0]"


@pytest.fixture(scope="module")
def featured(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``studies`` folder of a smoke study with layer features; tests copy it, and never write to it."""
    studies = tmp_path_factory.mktemp("featured")
    shutil.copytree(finished, studies, dirs_exist_ok=True)
    run.run(compose(studies, *SMALL, LAYERS))
    return studies


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images without class folders, one of which cannot be read."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(5):
        (images / f"{number}.jpg").write_bytes(jpeg(number))
    (images / "cut.jpg").write_bytes(jpeg(9)[:200])
    return images


def test_the_numbers_are_those_of_the_network_itself(featured: Path) -> None:
    results = featured / "smoke" / "layer_features"
    data = make_data(compose(featured, *SMALL))
    network = Classifier(CompactVGG(len(data.classes))).eval()
    load_weights(network, featured / "smoke" / "classifiers" / "vgg_compact.safetensors")
    numbers = pd.read_csv(results / "numbers.csv")
    assert len(numbers) == 2 * 2 * 2 * 4  # seeds, layers, clusters, methods and start
    for seed, name in ((0, "vgg_compact.npz"), (1, "vgg_compact-seed1.npz")):
        found = read_record(FeatureRecord, results / name)
        assert found.layers.tolist() == ["features.4", "head.0"]
        images = torch.stack([data.split("test")[int(index)][0] for index in found.names]).float() / 255
        made = torch.from_numpy(found.images).float() / 255
        with torch.no_grad():
            real = network.network.features[:5](network.normalization(images)).mean(dim=(2, 3)).numpy()  # type: ignore[index,operator]
            ours = network.network.features[:5](network.normalization(made)).mean(dim=(2, 3)).numpy()  # type: ignore[index,operator]
        centred = real - real.mean(axis=0)
        points = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
        for cluster in range(2):
            group = np.flatnonzero(found.assignment[0] == cluster)
            distances = np.linalg.norm(points[group] - points[group].mean(axis=0), axis=1)
            order = np.argsort(distances)[:3]
            weights = np.exp(1 / distances[order] - (1 / distances[order]).max())
            target = (weights / weights.sum()) @ real[group[order]]
            for method in ("synthesis", "activation_maximization", "feature_inversion"):
                z = ours[found.row(0, cluster, method)]
                rows = numbers[(numbers["seed"] == seed) & (numbers["layer"] == "features.4")]
                row = rows[(rows["cluster"] == cluster) & (rows["method"] == method)].iloc[0]
                expected = float(z @ target) / math.hypot(*z) / math.hypot(*target)
                assert row["cosine"] == pytest.approx(expected, abs=2e-3)  # the file has 256 values for a pixel
                assert row["l2"] == pytest.approx(math.dist(z, target), rel=0.1, abs=0.02)
                assert row["members"] == len(group)
    assert (numbers[numbers["method"] == "start"]["gain"].dropna() == 1).all()
    assert (numbers["seconds"] > 0).all()
    costs = pd.read_csv(results / "costs.csv").set_index("layer")
    assert costs["forward"]["features.4"] < costs["forward"]["head.0"] == costs["forward"]["all"]
    assert (costs["forward"] <= costs["network_forward"]).all()
    assert len(pd.read_csv(results / "diversity.csv")) == 2 * 2 * 4


def test_nothing_is_made_twice(featured: Path, tmp_path: Path) -> None:
    shutil.copytree(featured, tmp_path, dirs_exist_ok=True)
    results = tmp_path / "smoke" / "layer_features"
    before = {path: path.stat().st_mtime_ns for path in results.iterdir()}
    run.run(compose(tmp_path, *SMALL, LAYERS, "layer_features.chunk=5"))  # has no effect but on memory
    assert {path: path.stat().st_mtime_ns for path in results.iterdir()} == before
    with pytest.raises(ValueError, match=r"layer_features.seeds was \[0, 1\], now \[0, 1, 2\]"):
        run.run(compose(tmp_path, *SMALL, LAYERS, "layer_features.seeds=[0,1,2]"))
    (results / "numbers.csv").unlink()
    run.run(compose(tmp_path, *SMALL, LAYERS, "layer_features.seeds=[0,1,2]"))
    kept = [path for path in before if path.suffix == ".npz"]
    assert len(kept) == 2
    assert all(path.stat().st_mtime_ns == before[path] for path in kept)
    assert set(pd.read_csv(results / "numbers.csv")["seed"]) == {0, 1, 2}


@pytest.mark.slow
def test_the_page_has_a_section_for_each_figure(featured: Path, tmp_path: Path) -> None:
    shutil.copytree(featured, tmp_path, dirs_exist_ok=True)
    run.run(compose(tmp_path, "task=report", "classifiers=[vgg_compact,resnet_compact]"))
    report = tmp_path / "smoke" / "report"
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "Layer features of VGG" in page
    assert "2101.12447" in page
    for name in ("grid", "map", "methods", "cosine", "strip", "progress"):
        assert (report / "figures" / f"features_vgg_compact_{name}.png").exists()
        assert f"features_vgg_compact_{name}.png" in page


def test_layers_are_listed_and_an_unknown_one_is_refused_with_the_nearest(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = run.run(compose(copied, *SMALL, "layer=list"))
    text = capsys.readouterr().out
    assert listed > 20
    assert "features.4" in text
    assert "head.3" in text
    with pytest.raises(ValueError, match=r"layer=features.44: vgg_compact: .*did you mean features\.4.*layer=list"):
        run.run(compose(copied, *SMALL, "layer=features.44"))
    assert not (copied / "smoke" / "layer_features").exists()


@pytest.mark.slow
def test_any_folder_of_images(finished: Path, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    few = (*SMALL, f"images={folder}", "layer_features.clusters=9", "layer_features.seeds=[0]")
    run.run(compose(tmp_path, *few))
    assert "1 images could not be read and were skipped" in capsys.readouterr().out
    listing = (tmp_path / "smoke" / "jobs" / "layer_features" / "unreadable.txt").read_text()
    assert listing.strip().endswith("cut.jpg")
    found = read_record(FeatureRecord, tmp_path / "smoke" / "layer_features" / "vgg_compact.npz")
    assert sorted(found.names) == [f"{number}.jpg" for number in range(5)]
    assert found.layers.tolist() == ["features.1", "features.4", "features.7"]
    assert [len(found.clusters(layer)) for layer in range(3)] == [5, 5, 5]  # no more than images
    assert read(tmp_path / "smoke", {}) is not None
    shutil.rmtree(tmp_path / "smoke" / "layer_features")
    with pytest.raises(ValueError, match=r"cut.jpg cannot be read.*on_error=skip"):
        run.run(compose(tmp_path, *few, "layer_features.on_error=raise"))
    for number in range(1, 5):
        (folder / f"{number}.jpg").unlink()
    run.run(compose(tmp_path, *few))  # a single image
    assert len(pd.read_csv(tmp_path / "smoke" / "layer_features" / "numbers.csv")) == 3 * 4
    assert read(tmp_path / "smoke", {}) is not None


@pytest.mark.slow
def test_the_code_of_autoencoders_is_examined(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run.run(compose(tmp_path, *SMALL, "layer_features.autoencoders=[pretrained,vgg_compact]"))
    numbers = pd.read_csv(tmp_path / "smoke" / "layer_features" / "numbers.csv")
    assert numbers["network"].unique().tolist() == ["vgg_compact", "A_S", "A_vgg_compact"]
    assert numbers[numbers["network"] == "A_S"]["layer"].unique().tolist() == ["encoder"]
    part = read(tmp_path / "smoke", {"vgg_compact": "VGG"})
    assert part is not None
    assert len(part.figures) == 3 * 6


@pytest.mark.parametrize(
    "changed",
    [
        "presets/layer_features=published",
        "layer_features.start=grey",
        "layer_features.start=noise",
        "layer_features.start=fourier",
    ],
)
def test_other_procedures_have_other_starts(changed: str, featured: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    run.run(compose(tmp_path, changed, *SMALL, LAYERS, "layer_features.seeds=[0]"))
    file = Path("smoke/layer_features/vgg_compact.npz")
    one, other = (read_record(FeatureRecord, studies / file) for studies in (featured, tmp_path))
    assert not np.array_equal(one.starts, other.starts)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer=wild", "optimizer=wild: give adam or sgd"),
        ("start=black", "start=black: give blend or grey or noise or fourier"),
        ("clusters=0", "clusters=0: give a whole number from 1 on"),
        ("iterations=0", "iterations=0: give a whole number from 1 on"),
        ("seeds=[]", "seeds=.*1 or more of them"),
        ("seeds=[1,1]", "seeds=.*each once"),
        ("lr=[0.1]", r"lr=\[0.1\]: give two numbers"),
        ("on_error=ignore", "on_error=ignore: give skip or raise"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(override: str, message: str, copied: Path) -> None:
    with pytest.raises(ValueError, match=message):
        run.run(compose(copied, *SMALL, f"layer_features.{override}"))
    assert not (copied / "smoke" / "layer_features").exists()


@pytest.mark.slow
def test_networks_can_have_layers_of_their_own_and_other_libraries(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    many = (
        "data.images=12", "study=many", "autoencoder=none", "layer_features.size=64",
        "classifiers=[torchvision/resnet18,timm/mobilenetv3_small_050]",
        "classifier_settings={resnet18:{weights:random},mobilenetv3_small_050:{weights:random}}",
        "layer={resnet18:[layer3]}", "layer_features.seeds=[0]", "layer_features.iterations=2",
    )  # fmt: skip
    run.run(compose(tmp_path, *SMALL, *many))  # labels do not matter: six classes, a thousand logits
    numbers = pd.read_csv(tmp_path / "many" / "layer_features" / "numbers.csv")
    assert numbers.groupby("network")["layer"].nunique().to_dict() == {"resnet18": 1, "mobilenetv3_small_050": 3}
    found = read_record(FeatureRecord, tmp_path / "many" / "layer_features" / "resnet18.npz")
    assert found.images.shape[-2:] == (64, 64)  # not resized to the network's 224
