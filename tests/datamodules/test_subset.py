"""Some of the images of a split, to train on."""

from collections.abc import Callable

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import FakeImages
from datamodules.base import ImageDataModule
from datamodules.sampling import Draw
from datamodules.subset import ImageSubset, TrainingSubset, stratified_indices
from tests.images import fake_images

CHOSEN = [1, 2, 5, 6, 9, 10, 11]


@pytest.fixture
def images() -> FakeImages:
    return fake_images(class_count=3, size=16, images=12, batch_size=32, augmentation="paper", seed=7)


def epoch_of(data: ImageDataModule, epoch: int) -> list[tuple[torch.Tensor, list[int], list[int]]]:
    loader = data.train_dataloader()
    loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
    return [(batch, labels.tolist(), index.tolist()) for batch, labels, index in loader]


@pytest.mark.parametrize("source", ["train", "val"])
def test_training_sees_the_chosen_images_alone_under_their_own_index(source: str, images: FakeImages) -> None:
    data = TrainingSubset(images, CHOSEN, source, batch_size=3, seed=1)  # type: ignore[arg-type]
    split = images.split(source)  # type: ignore[arg-type]
    seen = []
    for epoch in range(5):
        batches = epoch_of(data, epoch)
        assert [len(index) for _, _, index in batches] == [3, 3]  # whole batches of its own size
        for _, labels, index in batches:
            assert labels == [split.label(place) for place in index]
            seen += index
    assert set(seen) == set(CHOSEN)


def test_images_of_other_splits_than_train_are_never_cropped_or_augmented(images: FakeImages) -> None:
    data = TrainingSubset(images, CHOSEN, "val", batch_size=7, seed=1)
    [(batch, _, index)] = epoch_of(data, 0)
    assert all(torch.equal(image, images.split("val")[place][0]) for image, place in zip(batch, index, strict=True))
    batch, *_ = data.on_after_batch_transfer((batch, torch.zeros(7).long(), torch.tensor(index)), 0)
    assert torch.equal(batch * 255, torch.stack([images.split("val")[place][0] for place in index]).float())
    assert images.augmentation == "paper"  # of the data that it is made from, still


def test_training_images_are_cropped_by_the_draw_alone() -> None:
    images = fake_images(class_count=3, size=16, images=12, batch_size=4)
    split = TrainingSubset(images, CHOSEN, "train", batch_size=3, seed=1).split("train")
    for position, place in enumerate(CHOSEN):
        for seed in (0, 1):
            image, label, index = split[Draw(position, seed)]
            expected, *rest = images.split("train")[Draw(place, seed)]
            assert torch.equal(image, expected)
            assert [label, index] == rest
    assert len(split) == len(CHOSEN)
    assert [split.label(position) for position in range(7)] == [images.split("train").label(place) for place in CHOSEN]


def test_the_seed_decides_the_order_and_nothing_else_does(images: FakeImages) -> None:
    def order(seed: int, of_study: int, epoch: int = 0) -> list[list[int]]:
        images.seed = of_study
        data = TrainingSubset(images, CHOSEN, "val", batch_size=3, seed=seed)
        return [index for _, _, index in epoch_of(data, epoch)]

    assert order(1, 7) == order(1, 8)
    assert order(1, 7) != order(2, 7)
    assert order(1, 7) != order(1, 7, epoch=1)


def test_the_other_splits_are_complete(images: FakeImages) -> None:
    data = TrainingSubset(images, CHOSEN, "val", batch_size=3, seed=1)
    assert len(data.split("val")) == len(images.split("val")) == 12
    assert len(data.split("test")) == 12
    assert len(ImageSubset(images, CHOSEN).split("train")) == 12
    assert data.classes == images.classes


class Seen(pl.LightningModule):
    """Notes the images of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(1, 1), list[list[int]]()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.seen.append(batch[2].tolist())
        assert batch[0].dtype == torch.float32
        return self.layer(torch.ones(1)).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_training_goes_on_with_the_batches_that_were_not_seen(
    images: FakeImages, make_trainer: Callable[..., pl.Trainer]
) -> None:
    def seen(consumed: int) -> list[list[int]]:
        data, module = TrainingSubset(images, CHOSEN, "val", batch_size=3, seed=1), Seen()
        data.consumed_batches = consumed
        make_trainer(max_epochs=2, limit_val_batches=0).fit(module, datamodule=data)
        return module.seen

    assert seen(1) == seen(0)[1:]


def test_every_class_has_its_share_of_a_choice(images: FakeImages) -> None:
    split = images.split("val")
    for count in (3, 6, 9):
        chosen = stratified_indices(split, count)
        assert chosen == sorted(set(chosen))
        labels = [split.label(place) for place in chosen]
        assert [labels.count(label) for label in range(3)] == [count // 3] * 3
    assert stratified_indices(split, None) == stratified_indices(split, 100) == list(range(12))
    with pytest.raises(ValueError, match="0 of 12 images: expected at least one"):
        stratified_indices(split, 0)
