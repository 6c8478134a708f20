"""Adversarial training as a task: repeated, resumed, told apart from others, and its mistakes found before any work."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
from scipy.stats import binomtest  # type: ignore[import-untyped]

import run
from datamodules.digests import read_checked, with_digest
from networks.attacks import pgd
from networks.classifier import Classifier
from networks.compact_classifiers import CompactAlexNet
from networks.seeding import image_generators
from networks.weights import load_weights
from study.data import make_data
from tests.studies import Program, compose
from tests.study.test_resume import interrupted, weights

ADVERSARY = "train_classifier.adversary={norm:linf,epsilon:0.02,steps:2}"
RESOLVED = {"norm": "linf", "epsilon": 0.02, "steps": 2, "relative_step": 2.5, "random_start": True}
MEASURING = (
    "task=robustness", "autoencoder=none", "classifiers=[alexnet_compact]",
    "robustness.alone.attack={epsilon:0.02,steps:2}",
)  # fmt: skip
TRAINING = ("task=train_classifier", "classifier=alexnet_compact", "train_classifier.epochs=2", "checkpoint_every=0")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with one adversarial training that was left alone."""
    studies = tmp_path_factory.mktemp("adversarial")
    run.run(compose(studies, *TRAINING, ADVERSARY))
    return studies


@pytest.mark.parametrize("step", [2, 4, 5])  # 3 steps an epoch: within one, and at its end
def test_random_starts_and_dropout_go_on(
    step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, step, tmp_path, (*TRAINING, ADVERSARY))
    run.run(compose(tmp_path, *TRAINING, ADVERSARY))
    assert weights(tmp_path) == weights(whole)


def directly_found(studies: Path) -> dict[str, float]:
    """Clean and robust test accuracies of the weights that a study holds, one image at a time."""
    classifier = Classifier(CompactAlexNet(6)).eval()
    load_weights(classifier, studies / "smoke" / "classifiers" / "alexnet_compact.safetensors")
    split, clean, robust = make_data(compose(studies)).split("test"), 0, 0
    for index in range(len(split)):
        image, label = split[index][0][None].float() / 255, torch.tensor([split.label(index)])
        right = bool(classifier(image).argmax() == label)
        attacked = pgd(
            classifier, image, label, norm="linf", epsilon=0.02, step=0.025, steps=2, random_start=True,
            keep="first", generator=image_generators(0, torch.tensor([index])),
        )  # fmt: skip
        clean, robust = clean + right, robust + (right and bool(classifier(attacked).argmax() == label))
    return {"accuracy": clean / len(split), "robust_accuracy": robust / len(split)}


def measured(studies: Path) -> dict[str, float]:
    """What ``task=robustness`` wrote of the one classifier."""
    [row] = pd.read_csv(studies / "smoke" / "robustness" / "alone.csv").to_dict("records")
    assert row["classifier"] == "alexnet_compact"
    interval = binomtest(round(row["robust_accuracy"] * row["images"]), row["images"]).proportion_ci(method="wilson")
    assert [row["lower"], row["upper"]] == pytest.approx([interval.low, interval.high])
    return {name: row[name] for name in ("accuracy", "robust_accuracy")}


def test_the_accuracy_under_attack_is_what_direct_calls_find(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    run.run(compose(tmp_path, *MEASURING))
    assert measured(tmp_path) == pytest.approx(directly_found(whole))


@pytest.mark.slow
def test_two_ranks_find_what_direct_calls_find(tmp_path: Path, program: Program) -> None:
    two = ("trainer.devices=2", "trainer.strategy=ddp", "experiment=smoke", f"studies={tmp_path}")
    program(*TRAINING, ADVERSARY, *two)
    program(*MEASURING, *two)
    assert measured(tmp_path) == pytest.approx(directly_found(tmp_path))


def test_no_budget_gives_the_weights_of_plain_training(tmp_path: Path) -> None:
    run.run(compose(tmp_path / "plain", *TRAINING))
    run.run(compose(tmp_path / "zero", *TRAINING, "train_classifier.adversary={norm:l2,epsilon:0}"))
    assert weights(tmp_path / "zero") == weights(tmp_path / "plain")


def test_a_classifiers_own_adversary_is_the_options(whole: Path, tmp_path: Path) -> None:
    own = "+classifier.adversary={norm:linf,epsilon:0.02,steps:2}"
    run.run(compose(tmp_path, *TRAINING, own))
    assert weights(tmp_path) == weights(whole)
    record = json.loads((tmp_path / "smoke" / "classifiers" / "alexnet_compact.json").read_text())
    assert record["settings"]["train_classifier"]["adversary"] == RESOLVED


def test_an_own_adversary_changes_some_options_of_the_common_one(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *TRAINING, ADVERSARY, "+classifier.adversary={epsilon:0.01}"))
    record = json.loads((tmp_path / "smoke" / "classifiers" / "alexnet_compact.json").read_text())
    assert record["settings"]["train_classifier"]["adversary"] == RESOLVED | {"epsilon": 0.01}


def test_another_attacker_needs_no_other_weights(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    run.run(compose(tmp_path, *MEASURING))
    first = measured(tmp_path)
    with pytest.raises(ValueError, match=r"other settings: attack.epsilon was 0.02, now 1"):
        run.run(compose(tmp_path, *MEASURING, "robustness.alone.attack.epsilon=1"))
    (tmp_path / "smoke" / "robustness" / "alone.csv").unlink()
    run.run(compose(tmp_path, *MEASURING, "robustness.alone.attack.epsilon=1"))
    assert measured(tmp_path)["robust_accuracy"] <= first["robust_accuracy"]
    assert weights(tmp_path) == weights(whole)


def test_weights_made_before_there_were_adversaries_are_kept(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *TRAINING))
    path = tmp_path / "smoke" / "classifiers" / "alexnet_compact.json"
    record = read_checked(path)
    del record["settings"]["train_classifier"]["adversary"]
    path.write_text(json.dumps(with_digest(record)))
    run.run(compose(tmp_path, *TRAINING))
    assert read_checked(path) == record
    with pytest.raises(ValueError, match=r"other settings: train_classifier.adversary.epsilon was absent, now 0.02"):
        run.run(compose(tmp_path, *TRAINING, ADVERSARY))


def test_the_built_in_adversarial_network_is_the_natural_ones_twin(tmp_path: Path) -> None:
    small = ("task=train_classifier", "train_classifier.epochs=1", "study=twins")
    for name in ("vgg_compact", "vgg_adversarial"):
        run.run(compose(tmp_path, *small, f"classifier={name}"))
    made = [
        safetensors.torch.load_file(tmp_path / "twins" / "classifiers" / f"{name}.safetensors")
        for name in ("vgg_compact", "vgg_adversarial")
    ]
    assert {key: value.shape for key, value in made[0].items()} == {key: value.shape for key, value in made[1].items()}
    assert any(not torch.equal(made[0][key], made[1][key]) for key in made[0])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train_classifier.adversary={norm:linf}"], r"train_classifier.adversary.epsilon is not set: give a number"),
        (["train_classifier.adversary={norm:l3,epsilon:1}"], r"train_classifier.adversary.norm=l3: give linf or l2"),
        (["train_classifier.adversary=pgd"], r"train_classifier.adversary=pgd: give norm, epsilon, steps"),
        (["train_classifier.adversary={norm:linf,epsilon:8/255}"], r"adversary.epsilon=8/255: give a number from 0 on"),
        (
            ["+classifier.adversary={norm:linf,eps:0.03}"],
            r"no key classifier resnet_compact: adversary.eps; did you mean steps, epsilon",
        ),
        (["+classifier.adversary=pgd"], r"classifier resnet_compact: adversary=pgd; give options, as \{norm: linf"),
        (
            ["+classifier.adversary={norm:linf,epsilon:1}", "+classifier.compressed={parent:vgg_compact,how:int8}"],
            r"classifier resnet_compact has an adversary, but task=compress trains on images as they are",
        ),
    ],
)
def test_mistakes_are_found_before_any_work(overrides: list[str], message: str, tmp_path: Path) -> None:
    for task in ("study", "train_classifier"):
        with pytest.raises(ValueError, match=message):
            run.run(compose(tmp_path, f"task={task}", "classifier=resnet_compact", *overrides))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "jobs" not in path.parts]


def test_a_training_that_diverges_says_what_to_do(tmp_path: Path) -> None:
    wild = ("train_classifier.optimizer.lr=1e30", "train_classifier.schedule=constant")
    with pytest.raises(
        ValueError, match=r"the attack of step 1 \(epoch 0, batch 1\) failed: .* Lower the learning rate"
    ):
        run.run(compose(tmp_path, *TRAINING, ADVERSARY, *wild))
    assert not list(tmp_path.rglob("*.safetensors"))
