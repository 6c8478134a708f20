"""The preflight: every fault of every classifier is reported before any work, all at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

import run
from networks.classifier import Classifier
from networks.compact_classifiers import CompactVGG
from study.preflight.faults import FaultList, Faults
from study.preflight.networks import check_count, check_decisions, check_pass
from tests.studies import compose

CONFIG = OmegaConf.create({"name": "mine"})


class Made(nn.Module):
    """A network that computes what a function of images says."""

    def __init__(self, compute: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, images: Tensor) -> object:
        return self.compute(images)


def means(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda images: images.mean(dim=1)[:, :7].reshape(2, 5), "classifier mine fails on images of 4 × 3 × 8 × 8"),
        (lambda images: means(images)[:, :1], r"classifier mine gives 4 × 1 for 4 images; expected one row of logits"),
        (lambda images: images, "gives 4 × 3 × 8 × 8 for 4 images"),
        (lambda images: means(images)[:2], "gives 2 × 3 for 4 images"),
        (lambda images: {"out": images}, "gives dict for 4 images"),
        (lambda images: means(images) / 0, "gives numbers that are not finite"),
        (lambda images: means(images).detach(), "gives no gradient: its forward pass must not be under torch.no_grad"),
        (lambda images: means(images) * 0, "gives images a gradient of zero"),
        (lambda images: means((images - images).sqrt()), "gives images a gradient that is not finite"),
    ],
)
def test_a_network_that_gives_no_logits_or_no_gradient_is_refused(
    compute: Callable[[Tensor], object], message: str
) -> None:
    classifier = Classifier(Made(compute))
    with pytest.raises(ValueError, match=message):
        check_pass(classifier, torch.rand(4, 3, 8, 8), CONFIG)
    check_pass(Classifier(Made(means)), torch.rand(4, 3, 8, 8), CONFIG)


def test_decisions_that_are_all_alike_or_guesses_are_refused() -> None:
    images, classifier = torch.rand(6, 3, 8, 8), Classifier(Made(lambda images: means(images) * 0.1))
    with pytest.raises(ValueError, match="classifier mine has the same logits for all images"):
        check_decisions(Classifier(Made(lambda images: means(images) * 0 + torch.tensor([9.0, 0, 0]))), images, CONFIG)
    with pytest.raises(ValueError, match=r"classifier mine only guesses: its mean confidence on 6 images is 0.3"):
        check_decisions(classifier, images, CONFIG)
    check_decisions(Classifier(Made(lambda images: means(images) * 20)), images, CONFIG)


def test_a_classifier_with_too_few_or_too_many_logits_for_given_labels_is_refused() -> None:
    classifier, images = Classifier(Made(means)), torch.rand(1, 3, 8, 8)
    check_count(classifier, images, 3, OmegaConf.create({"name": "mine", "classes": None}))
    for classes, said in ((2, None), (4, None), (4, 3), (3, 4)):
        config = OmegaConf.create({"name": "mine", "classes": said})
        with pytest.raises(ValueError, match=f"gives 3 logits, and the images have {classes} classes"):
            check_count(classifier, images, classes, config)


def test_one_fault_is_raised_as_it_is_and_several_together() -> None:
    faults = FaultList()
    for error in (FileNotFoundError("a is gone"), ValueError("b is wrong"), ValueError("b is wrong")):
        with faults.noted():
            raise error
        if len(faults.errors) == 1:
            with pytest.raises(FileNotFoundError, match="a is gone"):
                faults.report()
    with pytest.raises(Faults) as caught:
        faults.report()
    assert run.EXPLAIN(caught.value) == "2 faults, found before any work:\n  1. a is gone\n  2. b is wrong"


def test_a_study_reports_the_faults_of_all_its_classifiers_and_does_nothing(tmp_path: Path) -> None:
    torch.save(CompactVGG(6).state_dict(), tmp_path / "untrained.pth")
    (tmp_path / "notes.pth").write_text("no weights")
    given = {"vgg_compact": "untrained.pth", "resnet_compact": "notes.pth", "alexnet_compact": "missing.pth"}
    settings = ",".join(f"{name}:{{weights:{tmp_path / file}}}" for name, file in given.items())
    overrides = [f"classifiers=[{','.join(given)}]", f"classifier_settings={{{settings}}}", "measurements=[probee]"]
    with pytest.raises(Faults) as caught:
        run.run(compose(tmp_path / "studies", *overrides, "labels=decisions"))
    said = run.EXPLAIN(caught.value)
    assert "missing.pth of classifier alexnet_compact does not exist" in said
    assert "measurements: there is no probee; did you mean probe?" in said
    assert len(caught.value.errors) == 2
    torch.save(CompactVGG(6).state_dict(), tmp_path / "missing.pth")
    with pytest.raises(Faults) as caught:
        run.run(compose(tmp_path / "studies", *overrides[:2], "labels=decisions"))
    said = run.EXPLAIN(caught.value)
    assert "classifier vgg_compact only guesses: its mean confidence on 24 images is 0." in said
    assert "notes.pth is not a file of plain weights" in said
    assert "missing.pth holds the weights of another network" in said
    assert len(caught.value.errors) == 3
    assert not [path for path in (tmp_path / "studies").rglob("*") if path.suffix in (".safetensors", ".npz", ".csv")]
