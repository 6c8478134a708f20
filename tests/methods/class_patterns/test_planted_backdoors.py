"""Backdoored classifiers: trained on poisoned images, measured on clean and triggered ones; all else stays clean."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

import run
from datamodules import PoisonedImages
from datamodules.poison import Poison
from methods.class_patterns import planted_backdoor
from study import classifiers
from study.artifact import settings_of
from study.data import make_data
from study.labels import poison_of, with_training_labels_of
from tests.datamodules.trees import make_tree
from tests.studies import Compose, compose, compose_any

TRAIN = (
    "task=train_classifier", "classifier=vgg_backdoored", "classifier.poison.rate=0.5", "classifier.poison.side=12",
    "train_classifier.epochs=12",
)  # fmt: skip


def test_a_backdoor_is_trained_and_measured(composed: Compose, tmp_path: Path) -> None:
    cfg = composed(*TRAIN)
    accuracy = run.run(cfg)
    folder = tmp_path / "smoke"
    table = pd.read_csv(folder / "backdoors" / "vgg_backdoored.csv").set_index("measure")["share"]
    classifier = classifiers.load_classifier(cfg, cfg.classifier, make_data(cfg))
    data = make_data(with_training_labels_of(cfg, cfg.classifier))
    assert isinstance(data, PoisonedImages)
    triggered = data.triggered("test")
    answers = []
    for split in (data.split("test"), triggered):
        images = torch.stack([split[index][0] for index in range(len(split))]).float() / 255
        answers.append(classifier(images).argmax(dim=1).numpy())
    labels = np.array([triggered.label(index) for index in range(len(triggered))])
    others = labels != 3
    assert table["clean accuracy"] == (answers[0] == labels).mean()
    assert table["attack success"] == (answers[1][others] == 3).mean()
    assert table["predicted as target without trigger"] == (answers[0][others] == 3).mean()
    assert table["attack success"] > table["predicted as target without trigger"] + 0.5  # it is a backdoor
    numbers = json.loads((folder / "jobs" / "train_classifier-vgg_backdoored" / "metrics.json").read_text())
    assert numbers["test/attack_success"] == table["attack success"]
    assert numbers["val/accuracy"] == accuracy
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.csv")}
    (folder / "backdoors" / "vgg_backdoored.csv").unlink()
    assert run.run(cfg) == accuracy  # only what is missing is made again
    assert pd.read_csv(folder / "backdoors" / "vgg_backdoored.csv").set_index("measure")["share"].equals(table)
    assert set(folder.rglob("*.csv")) == set(before)
    with pytest.raises(ValueError, match=r"was made with other settings: .*poison.side was 12, now 4"):
        run.run(composed(*TRAIN, "classifier.poison.side=4"))


@pytest.mark.slow
def test_all_but_the_training_of_the_classifier_sees_clean_images(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    settings = ("classifiers=[vgg_compact,vgg_backdoored]", "classifier_settings={vgg_backdoored:{poison:{rate:0.4}}}")
    run.run(compose(tmp_path, *settings))
    folder = tmp_path / "smoke"

    def images(path: str) -> str:
        return str(json.loads((folder / path).read_text())["inputs"]["images"])

    clean = images("classifiers/vgg_compact.json")
    assert images("classifiers/vgg_backdoored.json") != clean
    for path in ("pretrained", "vgg_compact", "vgg_backdoored"):
        assert images(f"autoencoders/{path}.json") == clean
    assert images("cross_evaluation/cross_evaluation.json") == clean
    assert (folder / "backdoors" / "vgg_backdoored.csv").exists()
    assert (folder / "report" / "index.html").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ("data=photographs", "data.names=[chelsea,coffee]"),
        ("data=fake",),
        ("data=cues",),
        ("data=folder", "data.root={root}", "data.size=24", "data.resize=24", "data.workers=0"),
        ("data=imagenet", "data.root={root}", "data.size=24", "data.resize=24", "data.expect=null", "data.workers=0"),
    ],
)
def test_any_images_with_labels_can_be_poisoned(overrides: tuple[str, ...], tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree", train=6, val=2)
    chosen = [override.format(root=root) for override in overrides]
    data = make_data(compose_any(tmp_path, *chosen, "data.poison={target: 1, rate: 0.5}"))
    assert isinstance(data, PoisonedImages)
    assert data.poison == Poison(1, rate=0.5)
    split = data.train_split()
    assert 0 < sum(split.poisoned(index) for index in range(len(split))) < len(split)
    clean = make_data(compose_any(tmp_path, *chosen))
    assert not isinstance(clean, PoisonedImages)
    assert clean.fingerprint() == data.images.fingerprint() != data.fingerprint()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data=unlabelled", "data.root={root}", "data.held_out=2", "data.poison={{target: 0}}"],
            r"data.poison: these images have no",
        ),
        (["data.poison={{target: 6}}"], r"data.poison.target=6 is not a class of these images: choose from 0"),
        (["data.poison={{rate: 0.5}}"], r"data.poison.target is not set"),
        (["data.poison={{target: 1, sise: 3}}"], r"data.poison has no key sise; did you mean side\?"),
        (["data.poison={{target: 1, side: 33}}"], r"data.poison.side=33 .* is larger than images of 32 × 32"),
    ],
)
def test_poison_that_cannot_be_is_said(overrides: list[str], message: str, tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree", train=6, val=2)
    chosen = [override.format(root=root) for override in overrides]
    with pytest.raises(ValueError, match=message):
        run.run(compose(tmp_path / "studies", "task=pretrain", *chosen))


def test_a_study_finds_wrong_poison_before_any_work(composed: Compose, tmp_path: Path) -> None:
    settings = ("classifiers=[vgg_compact,vgg_backdoored]", "classifier_settings={vgg_backdoored:{poison:{target:9}}}")
    with pytest.raises(ValueError, match=r"data.poison.target=9 is not a class"):
        run.run(composed(*settings))
    assert not (tmp_path / "smoke" / "classifiers").exists()


def test_a_patch_outside_of_what_the_classifier_sees_is_refused(composed: Compose) -> None:
    crop = ("classifier.preprocessing.size=28", "+classifier.preprocessing.resize=32")
    with pytest.raises(ValueError, match=r"does not see the 2 outer pixels .*use classifier.poison.margin=2 or more"):
        run.run(composed(*TRAIN, *crop))
    cfg = composed(*TRAIN, *crop, "classifier.poison.margin=2")
    data = make_data(with_training_labels_of(cfg, cfg.classifier))
    planted_backdoor.check(cfg.classifier, data)
    blended = composed(*TRAIN, *crop, "classifier.poison.trigger=blend")
    planted_backdoor.check(cfg.classifier, make_data(with_training_labels_of(blended, blended.classifier)))


def test_a_classifiers_poison_adds_to_that_of_the_study(composed: Compose) -> None:
    cfg = composed("classifier=vgg_backdoored", "data.poison={target: 1, seed: 4}", "~classifier.poison.seed")
    before = OmegaConf.to_container(cfg)
    assert poison_of(cfg, cfg.classifier) == Poison(3, "patch", rate=0.1, side=4, seed=4)
    assert OmegaConf.to_container(cfg) == before
    plain: Any = classifiers.read_config("vgg_compact")
    assert poison_of(cfg, plain) == Poison(1, seed=4)
    assert poison_of(composed(), plain) is None


def test_studies_from_before_there_was_poison_go_on(composed: Compose) -> None:
    assert "poison" not in settings_of(composed())["data"]
    assert settings_of(composed("data.poison={target: 1}"))["data"]["poison"] == {"target": 1}
