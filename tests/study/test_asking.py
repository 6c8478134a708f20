"""``task=ask`` on the command line: a study of one classifier with quick settings, which the command can change."""

from pathlib import Path

import pytest

import run
from study.classifiers import study_classifiers
from study.configuration.classifier_files import apply_command
from study.configuration.names import LENGTH
from study.configuration.shortcuts import expanded
from tests.studies import compose_any


@pytest.mark.parametrize(
    ("classifier", "name"),
    [
        (("classifier=torchvision/resnet50",), "resnet50"),
        (("classifier=torchvision", "classifier.name=resnet50"), "resnet50"),
        (("classifier=efficientnet_lite0",), "efficientnet_lite0"),
        (("classifiers=[timm/resnet18]",), "resnet18"),
        (("classifier=exported:/x/my net.pt2",), "my_net"),
        (("classifier=module:my_package.nets.MyNet",), "MyNet"),
    ],
)
def test_the_study_is_of_the_one_classifier_that_is_named(
    classifier: tuple[str, ...], name: str, tmp_path: Path
) -> None:
    cfg = compose_any(tmp_path, *expanded(["task=ask", *classifier, "data=fake"]))
    assert cfg.study == f"ask-{name}-fake"
    apply_command(cfg, per_classifier=False)
    assert list(study_classifiers(cfg)) == [name]
    assert cfg.labels.source == "decisions"
    assert cfg.autoencoder.network is None
    assert cfg.analyses == ["band_tolerance", "class_patterns"]


def test_the_command_changes_the_quick_settings(tmp_path: Path) -> None:
    command = ["task=ask", "classifier=vgg_compact", "classifier.weights=/x/y.pth", "labels=given", "study=mine",
               "autoencoder=segnet", "band_tolerance.images=7", "labels.least_confidence=0"]  # fmt: skip
    cfg = compose_any(tmp_path, *expanded(command))
    assert (cfg.labels.source, cfg.labels.least_confidence, cfg.study) == ("given", 0, "mine")
    assert cfg.autoencoder.network._target_ == "networks.segnet.SegNet"
    assert cfg.band_tolerance.images == 7
    assert study_classifiers(cfg)["vgg_compact"].weights == "/x/y.pth"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["task=ask"], "task=ask is about one network: name it, as classifier=torchvision/resnet50"),
        (["task=ask", "classifier=vgg_compact", "experiment=smoke"], "leave experiment= out"),
        (["task=ask,study", "classifier=vgg_compact"], "task=ask is a study of its own"),
    ],
)
def test_what_is_no_question_about_one_network_is_refused(command: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expanded(command)


def test_several_classifiers_are_refused(tmp_path: Path) -> None:
    command = expanded(["task=ask", "classifiers=[vgg_compact,resnet_compact]", "data=fake"])
    with pytest.raises(ValueError, match=r"there are 2 \(vgg_compact, resnet_compact\): name it"):
        run.run(compose_any(tmp_path, *command))


@pytest.mark.parametrize("name", ["照片" * 40, "é" * 70, "a " * 80])
def test_long_names_of_folders_are_cut_to_names_of_studies(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    command = expanded(["task=ask", "classifier=torchvision/resnet50", f"images={tmp_path / name}"])
    cfg = compose_any(tmp_path, *command)
    assert len(cfg.study.encode()) <= LENGTH
    assert cfg.study == cfg.study.strip()
    assert cfg.study.startswith("ask-resnet50-")
