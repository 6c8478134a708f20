"""Networks as people have them: exported programs, and outputs that are not plain logits."""

import dataclasses
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as trees

from networks.classifier import Classifier, Preprocessing, freeze
from networks.compact_classifiers import CompactResNet
from networks.declared import checked, declared_preprocessing
from networks.exported import ExportedNetwork, exported_network
from networks.outputs import reader_for, reader_of

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
FEATURES = torch.rand(2, 8)
Named = namedtuple("Named", ["logits", "aux_logits"])


@dataclasses.dataclass
class ModelOutput:
    loss: Any
    logits: Tensor


trees._register_namedtuple(Named, serialized_type_name="tests.Named")
torch.export.register_dataclass(ModelOutput, serialized_type_name="tests.ModelOutput")


@pytest.mark.parametrize(
    "output",
    [
        (LOGITS,), [LOGITS], {"logits": LOGITS}, {"features": FEATURES, "logits": LOGITS}, {"out": LOGITS},
        {"anything": LOGITS}, Named(LOGITS, LOGITS + 1), ModelOutput(None, LOGITS), {"model": {"logits": LOGITS}},
        (LOGITS, FEATURES), (FEATURES, LOGITS), LOGITS[..., None, None], ({"logits": LOGITS},),
    ],
    ids=lambda output: type(output).__name__,
)  # fmt: skip
def test_logits_are_found_in_tuples_mappings_and_dataclasses(output: Any) -> None:
    reader = reader_of(output, 2, classes=3)
    assert reader is not None
    assert reader.note
    assert torch.equal(reader(output), LOGITS)


def test_plain_logits_are_left_alone() -> None:
    assert reader_of(LOGITS, 2) is None
    assert reader_of(LOGITS.abs(), 2) is None  # not probabilities: they do not sum to 1


def test_probabilities_become_logits_that_give_them_back() -> None:
    reader = reader_of(LOGITS.softmax(dim=1), 2)
    assert reader is not None
    assert "probabilities" in reader.note
    torch.testing.assert_close(reader(LOGITS.softmax(dim=1)).softmax(dim=1), LOGITS.softmax(dim=1))


def test_one_logit_and_one_probability_become_two_classes() -> None:
    one = torch.tensor([[-2.0], [1.5]])
    for output, second in ((one, one.sigmoid()), (one[:, 0], one.sigmoid()), (one.sigmoid(), one.sigmoid())):
        reader = reader_of(output, 2)
        assert reader is not None
        torch.testing.assert_close(reader(output).softmax(dim=1)[:, 1:], second)


class Head(nn.Module):
    """One number for each image: a small logit, and a function of it."""

    def __init__(self, last: nn.Module, offset: float, squeezed: bool = False) -> None:
        super().__init__()
        self.last, self.offset, self.squeezed = last, offset, squeezed

    def forward(self, images: Tensor) -> Tensor:
        one = self.last(images.mean(dim=(1, 2, 3))[:, None] * 0.5 + self.offset)
        return one.squeeze() if self.squeezed else one


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("offset", [0.2, 0.3])
def test_a_logit_between_0_and_1_is_not_taken_for_a_probability(offset: float, squeezed: bool) -> None:
    images = torch.rand(2, 3, 8, 8)
    logit, probability = Head(nn.Identity(), offset, squeezed), Head(nn.Sigmoid(), offset, squeezed)
    assert 0 < logit(images).min() < logit(images).max() < 1
    for network in (logit, probability):
        reader = reader_for(network, images)
        assert reader is not None
        for batch in (images, images[:1]):
            second = logit(batch).reshape(-1).sigmoid()
            torch.testing.assert_close(reader(network(batch)).softmax(dim=1)[:, 1], second)


@pytest.mark.parametrize(
    ("network", "classes", "message"),
    [
        (lambda images: images.mean(), None, "its output is one number for 2 images: expected one row of logits"),
        (lambda images: images.mean(dim=(0, 2, 3)), None, "its output is 3 for 2 images: expected one row of logits"),
        (lambda images: images.mean(dim=(2, 3))[:1], None, "its output is 1 × 3 for 2 images"),
        (lambda images: images.mean(dim=(2, 3)), 5, "has 3 logits, and classes=5: give classes=3"),
        (lambda images: images @ images, None, "fails on images of 2 × 3 × 8 × 9: RuntimeError"),
    ],
)
def test_a_network_that_gives_no_row_for_each_image_is_described(network: Any, classes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader_for(network, torch.rand(2, 3, 8, 9), classes)


@pytest.mark.parametrize(
    ("output", "classes", "message"),
    [
        ((LOGITS, LOGITS + 1), None, r"holds several tensors \(0: 2 × 3, 1: 2 × 3\).*as network.classes=1000"),
        ((LOGITS, FEATURES), None, r"several tensors \(0: 2 × 3, 1: 2 × 8\)"),
        (torch.rand(2, 3, 5, 5), None, "its output is 2 × 3 × 5 × 5 for 2 images: expected one row of logits"),
        ("text", None, "its output is a str without tensors"),
        ({}, None, "its output is a dict without tensors"),
    ],
)
def test_an_output_that_cannot_be_read_is_described(output: Any, classes: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader_of(output, 2, classes)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return CompactResNet(6).eval()


def exported(
    network: nn.Module, folder: Path, inputs: tuple[Tensor, ...] = (torch.ones(4, 3, 16, 16),), **options: Any
) -> ExportedNetwork:
    torch.export.save(torch.export.export(network, inputs, **options), folder / "net.pt2")
    return exported_network(str(folder / "net.pt2"), None)


@pytest.mark.parametrize("dynamic", [True, False])
def test_an_exported_program_computes_what_its_network_does_for_any_number_of_images(
    dynamic: bool, network: nn.Module, tmp_path: Path
) -> None:
    shapes = ({0: torch.export.Dim.AUTO},) if dynamic else None
    program = torch.export.export(network, (torch.rand(3, 3, 32, 32),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "net.pt2")
    loaded = exported_network(str(tmp_path / "net.pt2"), None)
    assert loaded.limits == ((1, None) if dynamic else (3, 3))
    classifier = Classifier(loaded, Preprocessing(None, mean=(0, 0, 0), std=(1, 1, 1)))
    freeze(classifier)
    classifier.train()  # must not raise, as programs do
    for count in (1, 2, 3, 4, 7) if not dynamic else (2, 5):
        images = torch.rand(count, 3, 32, 32, requires_grad=True)
        torch.testing.assert_close(classifier(images), network(images), atol=1e-5, rtol=1e-5)
        zeros = torch.zeros(count, dtype=torch.long)
        losses = [F.cross_entropy(net(images), zeros) for net in (classifier, network)]
        ours, theirs = (torch.autograd.grad(loss, images)[0] for loss in losses)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_preprocessing_comes_from_the_file_the_program_and_the_command_in_that_order(
    network: nn.Module, tmp_path: Path
) -> None:
    program, path = torch.export.export(network, (torch.rand(2, 3, 32, 32),)), str(tmp_path / "net.pt2")
    torch.export.save(program, path, extra_files={"metadata.json": '{"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}'})
    assert declared_preprocessing("exported", path, None, None, None, None, None) == Preprocessing(
        32, None, (0.5,) * 3, (0.2,) * 3
    )
    given = declared_preprocessing("exported", path, "any", None, [0.1, 0.2, 0.3], None, "bicubic")
    assert given == Preprocessing(None, None, (0.1, 0.2, 0.3), (0.2,) * 3, "bicubic")


def test_preprocessing_that_nobody_states_is_asked_for_with_the_lines_to_add() -> None:
    with pytest.raises(ValueError, match=r"network.size=224 network.mean=\[0.485,0.456,0.406\] network.std=\[0.229"):
        checked("module:a.b", {"size": None, "mean": [0.5, 0.5, 0.5], "std": None})
    for wrong, message in (
        ({"mean": [0.5, 0.5]}, "give three numbers"), ({"std": [0.5, 0.0, 0.5]}, "give three numbers"),
        ({"size": -1}, "give the side of its input"), ({"interpolation": "nearest"}, "give bilinear or bicubic"),
    ):  # fmt: skip
        given = {"size": 8, "resize": None, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": None} | wrong
        with pytest.raises(ValueError, match=message):
            checked("module:a.b", given)


class WithConstants(nn.Module):
    """Makes tensors while it runs, on the device of its images."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3)) + torch.arange(3, device=images.device) + images.new_zeros(3)


def test_an_exported_program_is_moved_with_the_tensors_that_it_makes(tmp_path: Path) -> None:
    network = exported(WithConstants().eval(), tmp_path)
    images = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(network(images), WithConstants()(images))
    assert network.to("meta")(images.to("meta")).device.type == "meta"


@pytest.mark.parametrize(("fewest", "most"), [(4, 16), (1, 5), (3, None)])
def test_limits_of_the_batch_of_an_exported_program_are_kept(
    fewest: int, most: int | None, network: nn.Module, tmp_path: Path
) -> None:
    batch = torch.export.Dim("batch", min=fewest, max=most)
    loaded = exported(network, tmp_path, dynamic_shapes=({0: batch},))
    assert loaded.limits == (fewest, most)
    for count in (1, 4, 17):
        images = torch.rand(count, 3, 16, 16)
        torch.testing.assert_close(loaded(images), network(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (lambda logits: ModelOutput(logits + 1, logits), {"loss", "logits"}),
        (lambda logits: Named(logits, logits + 1), {"logits", "aux_logits"}),
        (lambda logits: {"logits": logits}, {"logits"}),
        (lambda logits: [logits], None),  # a tuple
    ],
)
def test_outputs_of_an_exported_program_need_no_class_of_the_user(output: Any, wanted: Any, tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def forward(self, images: Tensor) -> Any:
            return output(images.mean(dim=(2, 3)))

    given = exported(Wrapped().eval(), tmp_path)(torch.ones(4, 3, 16, 16))
    assert (given.keys() if isinstance(given, dict) else None) == wanted
    reader = reader_of(given, 4, 3)
    assert reader is not None
    assert torch.equal(reader(given), torch.ones(4, 3))


def test_exported_programs_that_are_no_classifiers_of_images_are_described(network: nn.Module, tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return one + other

    for module, inputs, message in (
        (CompactResNet(6).train(), (torch.rand(4, 3, 16, 16),), "was exported in training mode: call eval"),
        (nn.Dropout(0.5), (torch.rand(4, 3, 16, 16),), "was exported in training mode: call eval"),
        (nn.Linear(3, 2).eval(), (torch.rand(4, 3),), r"takes 4 × 3 of torch.float32: export a program of float32"),
        (CompactResNet(6).eval().double(), (torch.rand(4, 3, 16, 16).double(),), r"of torch.float64: export a program"),
        (Two().eval(), (torch.rand(4, 3, 16, 16),) * 2, "takes other inputs than one tensor"),
    ):
        with pytest.raises(ValueError, match=message):
            exported(module, tmp_path, inputs)
    with pytest.raises(ValueError, match=r"takes images of 16 × 16 pixels, not 20 × 20: set network.size"):
        exported(network, tmp_path)(torch.rand(4, 3, 20, 20))
