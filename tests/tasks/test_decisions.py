"""Labels that are the decisions of the classifiers: with given labels for comparison, and on images without labels."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import run
from datamodules.views.decided import UNDECIDED, DecidedImages
from networks.compact_classifiers import CompactVGG
from study.classifiers import labels_source, load_classifier, study_classifiers
from study.data import make_data
from study.decisions.files import read_decisions
from study.folder import study_folder
from study.labels import right_classes, split_labels, with_labels_of
from tests.studies import compose, compose_any

LONG = "train_classifier.epochs=60"  # both classifiers are then right on every drawn image
SHORT = ("pretrain.epochs=1", "finetune.epochs=1")
ALONE = ("autoencoder=none", "analyses=[]", "train_classifier.epochs=3")
NAMES = ("vgg_compact", "resnet_compact")


@pytest.fixture(scope="module")
def perfect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies with the same classifiers, which are always right: one with given labels, one with decisions."""
    studies = tmp_path_factory.mktemp("perfect")
    for labels in ("given", "decisions"):
        shared = (f"labels={labels}", f"study={labels}", "classifiers_from=shared")
        run.run(compose(studies, LONG, *SHORT, "analyses=[class_patterns]", "class_patterns.epochs=1",
                        "class_patterns.evaluation_images=12", *shared))  # fmt: skip
    return studies


def test_where_classifiers_are_always_right_decisions_give_the_bits_of_given_labels(perfect: Path) -> None:
    paths = [f"autoencoders/{name}.safetensors" for name in ("pretrained", *NAMES)]
    paths += [f"cross_evaluation/{name}.csv" for name in ("accuracy_by_seed", "nmi")]
    paths += ["class_patterns/success.csv", "class_patterns/simplicity.csv"]
    for path in paths:
        given, decided = (folder / path for folder in (perfect / "given", perfect / "decisions"))
        if not decided.exists():
            decided = decided.with_name(decided.name.replace("accuracy", "retention"))
        assert given.read_bytes() == decided.read_bytes(), path
    given, decided = (
        np.load(perfect / name / "cross_evaluation" / "predictions.npz") for name in ("given", "decisions")
    )
    for name in sorted(set(given.files) - {"label_sets"}):
        assert np.array_equal(given[name], decided[name]), name
    assert given["label_sets"].tolist() == ["label"] * 2
    assert decided["label_sets"].tolist() == ["decisions"] * 2


def test_where_a_classifier_errs_its_decisions_differ_from_given_labels_and_it_keeps_all_of_them(
    tmp_path: Path,
) -> None:
    run.run(compose(tmp_path, *ALONE, "labels=decisions"))
    cfg = compose(tmp_path, *ALONE, "labels=decisions")
    configs, data = study_classifiers(cfg), make_data(cfg)
    split = data.split("test")
    images = torch.stack([split[n][0] for n in range(len(split))]).float() / 255
    labels = right_classes(cfg, configs, data)
    assert labels is not None
    given = torch.tensor([split.label(n) for n in range(len(split))])
    for column, config in enumerate(configs.values()):
        with torch.no_grad():
            predicted = load_classifier(cfg, config, data)(images).argmax(dim=1)
        assert torch.equal(labels[:, column], predicted)  # retention of the originals is 1 by definition
        assert 0 < (predicted == given).float().mean() < 1  # its accuracy is not
    assert study_folder(cfg).measure == "retention"


def test_confidence_is_the_softmax_of_the_decision_and_the_page_reports_it(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *ALONE, "labels=decisions"))
    cfg = compose(tmp_path, *ALONE, "labels=decisions")
    config, data = study_classifiers(cfg)["vgg_compact"], make_data(cfg)
    split, decisions = data.split("test"), read_decisions(cfg, "vgg_compact", "test")
    with torch.no_grad():
        logits = load_classifier(cfg, config, data)(torch.stack([split[n][0] for n in range(len(split))]).float() / 255)
    probabilities = logits.double().softmax(dim=1)
    assert np.allclose(decisions.confidence, probabilities.amax(dim=1), atol=1e-6)
    assert np.array_equal(decisions.second, probabilities.topk(2).indices[:, 1])
    summary = pd.read_csv(tmp_path / "smoke" / "decisions" / "summary.csv", index_col="classifier").loc["vgg_compact"]
    assert summary["confidence"] == pytest.approx(float(probabilities.amax(dim=1).mean()), abs=1e-6)
    assert summary["below"] == pytest.approx(float((probabilities.amax(dim=1) < 0.5).double().mean()))
    page = (tmp_path / "smoke" / "report" / "index.html").read_text()
    assert 'id="decisions"' in page
    assert (tmp_path / "smoke" / "report" / "figures" / "decisions.png").exists()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images of random colours in one folder, without labels."""
    folder, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for number in range(20):
        Image.fromarray(draw.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def of_ten_hundred_and_thousand(photographs: Path) -> list[str]:
    counts = {"vgg_compact": 10, "resnet_compact": 100, "alexnet_compact": 1000}
    settings = ",".join(f"{name}:{{weights:random,classes:{count}}}" for name, count in counts.items())
    data = ("data=unlabelled", f"data.root={photographs}", "data.size=32", "data.resize=32", "data.held_out=8")
    return ["experiment=smoke", "data.workers=0", f"classifiers=[{','.join(counts)}]", "analyses=[]", *SHORT, *data,
            f"classifier_settings={{{settings}}}"]  # fmt: skip


def test_networks_with_10_100_and_1000_classes_stand_in_one_matrix(photographs: Path, tmp_path: Path) -> None:
    overrides = of_ten_hundred_and_thousand(photographs)
    run.run(compose_any(tmp_path, *overrides, "measurements=[probe,noise_curves,robustness]", "probe.epochs=1",
                        "robustness.images=8", "robustness.alone.attack.steps=2", "robustness.steps=2",
                        "robustness.alone.attack.epsilon=0.02"))  # fmt: skip
    with np.load(tmp_path / "smoke" / "cross_evaluation" / "predictions.npz") as file:
        arrays = dict(file)
    assert arrays["top1"][:, 0].all()  # every decision on the originals is kept
    assert arrays["predicted"].shape[2] == 3
    assert arrays["predicted"][..., 2].max() >= 100  # of 1,000 classes
    assert (arrays["predicted"] == arrays["labels"][:, None]).astype(int).tolist() == arrays["top1"].astype(
        int
    ).tolist()


@pytest.mark.parametrize(
    ("overrides", "source"),
    [
        ((), "given"),
        (("labels=decisions",), "decisions"),
        (("classifier_settings={vgg_compact:{weights:random,classes:6}}",), "given"),
        (("classifier_settings={vgg_compact:{weights:random,classes:5}}",), "decisions"),
        (("classifier_settings={vgg_compact:{weights:random,classes:1000}}",), "decisions"),
        (("classifier_settings={vgg_compact:{weights:random,classes:1000}}", "labels=given"), "given"),
        (("data=unlabelled", "data.root=nowhere"), "decisions"),
    ],
)
def test_labels_are_decisions_where_images_have_none_or_a_classifier_has_other_classes(
    overrides: tuple[str, ...], source: str, tmp_path: Path
) -> None:
    cfg = compose(tmp_path, *overrides)
    assert labels_source(cfg) == source
    assert {config.get("decisions", False) for config in study_classifiers(cfg).values()} == {source == "decisions"}


def test_images_of_guesses_are_left_out_for_all_classifiers_alike(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *ALONE, "labels=decisions"))
    sure = compose(tmp_path, *ALONE, "labels=decisions")
    confidence = np.min([read_decisions(sure, name, "test").confidence for name in NAMES], axis=0)
    least = float(np.median(confidence))
    cfg = compose(tmp_path, *ALONE, "labels=decisions", f"labels.least_confidence={least}")
    run.use_decisions(cfg)
    kept = np.flatnonzero(confidence >= least)
    assert 2 <= len(kept) < len(confidence)
    data, everything = make_data(cfg), make_data(sure)
    assert len(data.split("test")) == len(kept)
    for position, original in enumerate(kept.tolist()):
        image, _, index = data.split("test")[position]
        assert index == position
        assert torch.equal(image, everything.split("test")[original][0])
    labels = split_labels(cfg, study_classifiers(cfg), data, "test")
    for column, name in enumerate(NAMES):
        assert labels[:, column].tolist() == read_decisions(sure, name, "test").predicted[kept].tolist()
    assert data.fingerprint() != everything.fingerprint()
    cfg.labels.least_confidence = 0.9999
    with pytest.raises(ValueError, match=r"labels.least_confidence leaves 0 of 24 images of val: lower it"):
        make_data(cfg)


def test_given_labels_and_decisions_do_not_meet_in_one_study(perfect: Path) -> None:
    for study, labels, message in (
        ("given", "decisions", "accuracy.csv was made with the labels of the images: use another study=<name>"),
        ("decisions", "given", "has decisions as labels: add labels=decisions, or use another study=<name>"),
    ):
        with pytest.raises(ValueError, match=message):
            run.run(compose(perfect, LONG, *SHORT, f"labels={labels}", f"study={study}", "classifiers_from=shared"))
    assert not (perfect / "given" / "decisions").exists()


def test_decisions_of_other_weights_or_images_are_refused_by_a_step_run_by_hand(tmp_path: Path) -> None:
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(CompactVGG(6).state_dict(), tmp_path / f"{seed}.pth")
    (tmp_path / "net.pth").write_bytes((tmp_path / "0.pth").read_bytes())
    overrides = ("classifiers=[vgg_compact]", f"weights={tmp_path / 'net.pth'}", "labels=decisions")
    run.run(compose(tmp_path, *overrides, "task=decisions"))
    run.run(compose(tmp_path, *overrides, "task=robustness", "autoencoder=none", "robustness.alone.attack.epsilon=0.02",
                    "robustness.alone.attack.steps=1"))  # fmt: skip
    with pytest.raises(ValueError, match="was made from another version of: images"):
        run.run(compose(tmp_path, *overrides, "task=robustness", "autoencoder=none", "data.images=20"))
    (tmp_path / "net.pth").write_bytes((tmp_path / "1.pth").read_bytes())
    with pytest.raises(ValueError, match=r"was made from another version of: classifier vgg_compact.*task=decisions"):
        run.run(compose(tmp_path, *overrides, "task=robustness", "autoencoder=none"))


def test_a_training_image_without_a_decision_has_a_label_that_no_loss_accepts(tmp_path: Path) -> None:
    run.run(compose(tmp_path, *ALONE, "labels=decisions"))
    cfg = compose(tmp_path, *ALONE, "labels=decisions")
    data = make_data(with_labels_of(cfg, study_classifiers(cfg)["vgg_compact"]))
    assert isinstance(data, DecidedImages)
    assert {data.split("train").label(n) for n in range(24)} == {UNDECIDED}
    with pytest.raises(IndexError, match="out of bounds"):
        torch.nn.functional.cross_entropy(torch.zeros(1, 6), torch.tensor([UNDECIDED]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("task=decisions",), "this study has the labels of its images: for decisions, add labels=decisions"),
        (("task=cross_evaluate", "labels=decisions"), "run.py task="),
        (("labels.least_confidence=0.3",), "labels.least_confidence and labels.target are of decisions"),
        (("labels=given", "labels.target=distribution"), "labels.least_confidence and labels.target are of decisions"),
        (("data=unlabelled", "data.root={photographs}", "data.held_out=8", "labels=given"),
         "these images have no labels"),
        (("data=unlabelled", "data.root={photographs}", "data.held_out=8"),
         "classifier vgg_compact has no weights, and these images have no labels to train it with"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_without_labels_is_refused_with_the_fix(
    overrides: tuple[str, ...], message: str, photographs: Path, tmp_path: Path
) -> None:
    filled = [override.format(photographs=photographs) for override in overrides]
    sizes = ["data.size=32", "data.resize=32"] if "data=unlabelled" in filled else []
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        run.run(compose(tmp_path, *filled, *sizes))
    assert message in run.EXPLAIN(caught.value)
    assert not list(itertools.chain(tmp_path.rglob("*.safetensors"), tmp_path.rglob("*.npz")))
