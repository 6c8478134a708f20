"""A concept taken out of a layer is a forward pass written out by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules import FakeImages
from methods.concepts.activation_collection import Collected, Negative, Pool, block_shapes, pooled
from methods.concepts.activations import Activations
from methods.concepts.fits import Found
from methods.concepts.importance import COLUMNS, effect, importance_table, without
from methods.concepts.stored_blocks import StoredMatrix
from networks.classifier import Classifier
from networks.layouts import channels_first
from tests.images import fake_images

IMAGES, CONCEPTS = 9, 3


class Branch(nn.Module):
    """A ReLU called twice, then a layer with numbers below 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.signed = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 4, 1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(4, 6)

    def before(self, x: Tensor) -> Tensor:
        """What the ReLU makes the second time."""
        made: Tensor = F.relu(self.second(F.relu(self.first(x))))
        return made

    def after(self, x: Tensor) -> Tensor:
        """Logits from there on."""
        return self.end(self.signed(x))

    def end(self, x: Tensor) -> Tensor:
        """Logits from the layer with numbers below 0 on."""
        made: Tensor = self.head((x**3 + x).mean(dim=(2, 3)))
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.signed(self.relu(self.second(self.relu(self.first(x))))))


@pytest.fixture
def network() -> Branch:
    torch.manual_seed(4)
    return Branch()


@pytest.fixture
def data() -> FakeImages:
    return fake_images(class_count=6, size=8, images=12)


def made(
    folder: Path, classifier: Classifier, images: Tensor, layer: str, pool: Pool, negative: Negative
) -> tuple[Activations, Found, np.ndarray]:
    """Stored activations of a layer, and a factorisation that somebody might have found."""
    network = classifier.network
    assert isinstance(network, Branch)
    with torch.no_grad():
        values = network.before(classifier.normalization(images))
        values = network.signed(values) if layer == "signed" else values
    if negative == "split":
        values = torch.cat([values.clamp(min=0), (-values).clamp(min=0)], dim=1)
    block = pooled(values, pool).flatten(1).numpy()
    shapes = block_shapes(classifier, images[0], [layer], pool, negative)
    matrix = StoredMatrix.create(folder / "layer.npy", len(images), block.shape[1], "float32")
    matrix.write(np.arange(len(images)), block)
    rows, nothing = np.arange(len(images)), np.zeros(len(images), int)
    collected = Collected(
        rows >= 0, nothing, nothing, [1.0], [float((block**2).sum())], np.zeros((3, 1, 1), np.float32)
    )
    generator = np.random.default_rng(1)
    factor = generator.gamma(0.5, size=(CONCEPTS, block.shape[1]))
    factor[2] = 0  # a concept that has no part in this layer
    images_factor = generator.gamma(0.5, size=(len(images), CONCEPTS))
    found = Found([factor], images_factor, [1.0], [0.1], [1.0])
    return Activations([layer], shapes, [matrix], rows, rows + 2, collected), found, images_factor


@pytest.mark.parametrize(
    ("layer", "pool", "negative"),
    [("relu", "avg", "refuse"), ("relu", "none", "refuse"), ("relu", "max", "refuse"), ("signed", "avg", "split"),
     ("signed", "none", "split")],
)  # fmt: skip
def test_a_removal_is_the_pass_written_out(
    layer: str, pool: Pool, negative: Negative, network: Branch, data: FakeImages, tmp_path: Path
) -> None:
    classifier, split = Classifier(network).eval(), data.split("val")
    images = torch.stack([split[place + 2][0] for place in range(IMAGES)]).float() / 255
    activations, found, image_factor = made(tmp_path, classifier, images, layer, pool, negative)
    table = importance_table(classifier, split, activations, found, image_factor, 4, seed=0)
    assert table.columns.tolist() == COLUMNS
    assert table["concept"].tolist() == [0, 1, 2]
    assert set(table["block"]) == {layer}
    [factor] = found.factors
    for row in table.to_dict("records"):
        concept = row["concept"]
        chosen = np.argsort(-image_factor[:, concept])[:4]
        assert row["images"] == 4
        drops, changes = [], []
        for place in chosen:
            with torch.no_grad():
                x = network.before(classifier.normalization(images[place][None]))
                x = network.signed(x) if layer == "signed" else x
                end: Callable[[Tensor], Tensor] = network.end if layer == "signed" else network.after
                before = end(x)[0]
                explained = image_factor[place] @ factor
                kept = 1 - image_factor[place, concept] * factor[concept] / np.where(explained > 0, explained, 1)
                left = torch.from_numpy(kept).float().reshape(-1, *(x.shape[2:] if pool == "none" else (1, 1)))
                parts = (F.relu(x) * left[:4], -F.relu(-x) * left[4:]) if negative == "split" else (x * left,)
                after = end(sum(parts[1:], parts[0]))[0]
            said = int(before.argmax())
            drops.append(float(before[said] - after[said]))
            changes.append(int(after.argmax()) != said)
        assert row["logit_drop"] == pytest.approx(np.mean(drops), abs=1e-5)
        assert row["changed"] == np.mean(changes)
        if concept == 2:
            assert (row["logit_drop"], row["changed"], row["control_logit_drop"], row["control_changed"]) == (
                0,
                0,
                0,
                0,
            )
        else:
            assert abs(row["logit_drop"]) > 1e-4
            assert row["control_logit_drop"] != row["logit_drop"]


def test_a_concept_in_no_image_has_no_row(network: Branch, data: FakeImages, tmp_path: Path) -> None:
    classifier, split = Classifier(network).eval(), data.split("val")
    images = torch.stack([split[place + 2][0] for place in range(IMAGES)]).float() / 255
    activations, found, image_factor = made(tmp_path, classifier, images, "relu", "avg", "refuse")
    image_factor[:, 1] = 0
    image_factor[3:, 0] = 0
    table = importance_table(classifier, split, activations, found, image_factor, 4, seed=0)
    assert table[["concept", "images"]].to_numpy().tolist() == [[0, 3], [2, 4]]


@pytest.mark.parametrize("shape", [(2, 4), (2, 8, 4), (2, 4, 5, 8), (2, 5, 5, 4), (2, 4, 3, 3)], ids=str)
def test_shares_fit_every_layout(shape: tuple[int, ...]) -> None:
    """Also where a size happens to be that of the split channels, eight."""
    generator = torch.Generator().manual_seed(0)
    activation = torch.randn(shape, generator=generator)
    first = channels_first(activation)
    for places in {(1, 1), tuple(first.shape[2:])}:
        shares = torch.rand((2, 8, *places), generator=generator)
        expected = F.relu(first) * (1 - shares[:, :4]) - F.relu(-first) * (1 - shares[:, 4:])
        assert torch.allclose(channels_first(without(shares)(activation)), expected)
        whole = without(shares[:, :4])(activation)
        assert torch.allclose(channels_first(whole), first * (1 - shares[:, :4]))
        assert torch.equal(without(torch.zeros_like(shares))(activation), activation)


def test_effects_count_the_class_said_before() -> None:
    before, after = torch.tensor([[1.0, 3.0], [5.0, 1.0]]), torch.tensor([[2.0, 1.0], [4.0, 9.0]])
    assert effect(before, after) == [1.5, 1.0]
    assert effect(before, before) == [0.0, 0.0]
