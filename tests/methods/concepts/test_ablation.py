"""The removal of a concept from a layer is a forward pass written out by hand; so are its shares and its control."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datamodules import FakeImages
from methods.concepts.ablation import (
    COLUMNS,
    channel_order,
    concept_shares,
    effect,
    importance_table,
    random_channel_control,
    strongest,
    without,
)
from methods.concepts.activation_collection import Collected, Negative, Pool, block_shapes, pooled
from methods.concepts.activations import Activations
from methods.concepts.blocks import StoredMatrix
from methods.concepts.fits import FittedConcepts
from networks.classifier import Classifier
from networks.layouts import channels_first
from tests.images import fake_images

IMAGES, CONCEPTS = 9, 3
GENERATOR = np.random.default_rng(0)


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
) -> tuple[Activations, FittedConcepts, np.ndarray]:
    """Stored activations of a layer, and a factorisation that somebody might have found."""
    network = classifier.network
    assert isinstance(network, Branch)
    with torch.no_grad():
        values = network.before(classifier.normalization(images))
        values = network.signed(values) if layer == "signed" else values
    if negative == "split":
        values = torch.cat([values.clamp(min=0), (-values).clamp(min=0)], dim=1)
    block = pooled(values, layer, pool).flatten(1).numpy()
    shapes = block_shapes(classifier, images[0], [layer], pool, negative)
    matrix = StoredMatrix.create(folder / "layer.npy", len(images), block.shape[1], "float32")
    matrix.write(np.arange(len(images)), block)
    rows, nothing = np.arange(len(images)), np.zeros(len(images), int)
    collected = Collected(
        rows >= 0, nothing, nothing, np.ones(1), np.array([float((block**2).sum())]), np.zeros((3, 1, 1), np.float32)
    )
    generator = np.random.default_rng(1)
    factor = generator.gamma(0.5, size=(CONCEPTS, block.shape[1]))
    factor[2] = 0  # a concept that has no part in this layer
    images_factor = generator.gamma(0.5, size=(len(images), CONCEPTS))
    found = FittedConcepts([factor], images_factor, [1.0], [0.1], [1.0])
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


def test_shares_are_a_concepts_part_of_what_is_explained() -> None:
    images, factor = GENERATOR.gamma(0.5, size=(4, 3)), GENERATOR.gamma(0.5, size=(3, 5))
    factor[:, 2] = 0  # a neuron that nothing explains
    images[1] = 0
    total = np.zeros((4, 5))
    for concept in range(3):
        found = concept_shares(images, factor, concept)
        for image in range(4):
            for neuron in range(5):
                parts = [images[image, other] * factor[other, neuron] for other in range(3)]
                expected = parts[concept] / sum(parts) if sum(parts) else 0
                assert np.isclose(found[image, neuron], expected)
        assert found.min() >= 0
        total += found
    explained = images @ factor > 0
    assert np.allclose(total[explained], 1)
    assert not total[~explained].any()
    scale = np.array([2.0, 0.1, 7.0])
    assert np.allclose(concept_shares(images * scale, factor / scale[:, None], 1), concept_shares(images, factor, 1))


def test_the_control_takes_as_much_elsewhere() -> None:
    activation = GENERATOR.gamma(0.5, size=(6, 30))
    shares = np.where(GENERATOR.random((6, 30)) < 0.5, GENERATOR.random((6, 30)), 0)
    shares[0] = 0
    order = GENERATOR.permutation(30)
    found = random_channel_control(shares, activation, order)
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.allclose((found * activation).sum(axis=1), (shares * activation).sum(axis=1), rtol=1e-3)
    assert not found[0].any()
    assert np.array_equal(found > 0, shares[:, order] > 0)


def test_the_control_takes_all_there_is_where_it_cannot_take_as_much() -> None:
    activation, shares = np.array([[10.0, 1.0, 0.0]]), np.array([[0.9, 0.0, 0.0]])
    assert np.array_equal(random_channel_control(shares, activation, np.array([1, 0, 2])), [[0.0, 1.0, 0.0]])
    assert not (random_channel_control(shares, activation, np.array([1, 2, 0])) * activation).any()


def test_the_strongest_images_have_something_of_the_concept() -> None:
    factor = np.array([[0.0, 1.0], [3.0, 0.0], [0.0, 0.0], [5.0, 2.0], [3.0, 0.0]])
    assert strongest(factor, 0, 4).tolist() == [3, 1, 4]
    assert strongest(factor, 0, 2).tolist() == [3, 1]
    assert strongest(factor, 1, 4).tolist() == [3, 0]
    assert strongest(np.zeros((3, 1)), 0, 2).tolist() == []


def test_orders_depend_on_concept_and_seed_and_keep_every_channel() -> None:
    one, again, other, reseeded = (channel_order((50, 1, 1), *key) for key in ((1, 0), (1, 0), (2, 0), (1, 1)))
    assert sorted(one) == list(range(50))
    assert channel_order((3, 2, 1), 0, 0).reshape(3, 2).tolist() == [
        [2 * row, 2 * row + 1] for row in channel_order((3, 1, 1), 0, 0)
    ]
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, reseeded)
