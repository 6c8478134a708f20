"""No recipe may rot: each composes, trains two steps on drawn images and writes its page."""

from pathlib import Path

import pytest
from omegaconf import DictConfig

import run
from study.autoencoders import has_autoencoders
from study.classifiers import read_config
from tests.studies import compose_any

EXPERIMENTS = sorted(path.stem for path in (run.CONF / "experiment").glob("*.yaml"))
REAL = {"real_network", "real_networks"}  # they train no classifier: they run on their own images and weights
FAKE = ("data=fake", "data.class_count=1000", "data.size=64", "data.images=4")
SHRUNK = (
    "trainer=cpu",
    "train_classifier.epochs=1", "train_classifier.batch_size=2", "train_classifier.optimizer.lr=1e-6",
    "pretrain.images=4", "pretrain.check_every=2", "pretrain.batch_size=2",
    "finetune.epochs=1", "finetune.batch_size=2", "cross_evaluate.batch_size=4", "report.test_images=1",
    "report.photographs=1", "class_patterns.epochs=1", "class_patterns.search_images=8", "class_patterns.classes=3",
    "class_patterns.evaluation_images=2", "class_patterns.seeds=[0]",
    "class_patterns.canvases={own:0,other:0,noise:1,learned:1}",
    "concepts.k=2", "concepts.ranks=[]", "concepts.seeds=[0]", "concepts.permutations=9", "concepts.top_images=2",
    "concepts.importance_images=1", "concepts.passes=3",
    "layer_features.iterations=2", "layer_features.clusters=2", "layer_features.seeds=[0]",
    "band_tolerance.first_steps=2", "band_tolerance.steps=2", "band_tolerance.images=4", "band_tolerance.batch_size=2",
    "band_tolerance.seeds=[0]",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("_class_0_favoured")
@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name not in REAL])
def test_experiment_runs(experiment: str, tmp_path: Path) -> None:
    drawn = "data: cues" in (run.CONF / "experiment" / f"{experiment}.yaml").read_text()
    small = ("data.size=16", "data.images=8", "data.held_out=16", "probe.batch_size=2") if drawn else FAKE
    shrunk: tuple[str, ...] = (f"experiment={experiment}", *small, *SHRUNK)
    cfg = compose_any(tmp_path, *shrunk)
    published = [name for name in cfg.classifiers if read_config(name).weights]
    settings = ",".join(f"{name}:{{weights:random}}" for name in published)
    if "override /labels: decisions" in (run.CONF / "experiment" / f"{experiment}.yaml").read_text():
        shrunk = (*shrunk, "labels=given", "labels.least_confidence=0")  # one class is favoured: no decisions differ
    check_made(compose_any(tmp_path, *shrunk, f"classifier_settings={{{settings}}}"), tmp_path)


@pytest.mark.slow
def test_the_experiment_of_real_networks_runs(tmp_path: Path) -> None:
    images = ("data.names=[chelsea,coffee,rocket]", "data.train_crops=1", "data.test_crops=3")
    patterns = "class_patterns.canvases={own:1,other:0,noise:0,learned:0}"
    shrunk = ("experiment=real_networks", *images, *SHRUNK, patterns)
    # autoencoders of two steps keep no decision, and so have no relative rate of change: they end with the training
    run.run(compose_any(tmp_path, *shrunk, "pretrain_data.size=32", "task=pretrain"))
    assert (tmp_path / "real_networks" / "autoencoders" / "pretrained.safetensors").exists()
    check_made(compose_any(tmp_path, *shrunk, "autoencoder=none", "study=alone"), tmp_path)
    page = (tmp_path / "alone" / "report" / "index.html").read_text()
    assert all(f"EfficientNet-Lite{number}" in page for number in range(3))
    assert "espresso" in page


@pytest.mark.slow
def test_the_experiment_of_a_real_network_runs(tmp_path: Path) -> None:
    images = ("data.names=[chelsea,coffee,rocket]", "data.train_crops=1", "data.test_crops=3")
    check_made(compose_any(tmp_path, "experiment=real_network", *images, *SHRUNK), tmp_path)
    assert "EfficientNet-Lite0" in (tmp_path / "real_network" / "report" / "index.html").read_text()


def check_made(cfg: DictConfig, tmp_path: Path) -> None:
    """Run a study, and check that its page and its autoencoders exist."""
    run.run(cfg)
    assert (tmp_path / cfg.study / "report" / "index.html").exists()
    made = (tmp_path / cfg.study / "autoencoders" / f"{cfg.classifiers[-1]}.safetensors").exists()
    assert made == has_autoencoders(cfg)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_files_begin_with_their_command_and_what_it_costs(experiment: str) -> None:
    lines = (run.CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith(f"# python run.py experiment={experiment}")
    if experiment != "smoke":
        header = " ".join(line for line in lines if line.startswith("#"))
        assert all(word in header for word in ("Paper:", "Hardware:", "Time", "Expected"))
