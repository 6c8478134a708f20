"""Some of the images of a split, in memory, to train on."""

from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from datamodules import FakeImages
from datamodules.base import UNREADABLE, ImageDataModule
from datamodules.sampling import Draw
from datamodules.views.subset import ImagesInMemory, ImageSubset, stratified_indices
from networks.seeding import combined_seed
from tests.images import fake_images

CHOSEN = [1, 2, 5, 6, 9, 10, 11]


@pytest.fixture
def images() -> FakeImages:
    return fake_images(class_count=3, size=16, images=12, batch_size=32, augmentation="paper", seed=7)


def epoch_of(data: ImageDataModule, epoch: int) -> list[tuple[torch.Tensor, list[int], list[int]]]:
    loader: Any = data.train_dataloader()
    loader.batch_sampler.sampler.set_epoch(epoch)
    return [(batch, labels.tolist(), index.tolist()) for batch, labels, index in loader]


@pytest.mark.parametrize("source", ["train", "val"])
def test_training_sees_the_chosen_images_alone_under_their_own_index(source: Any, images: FakeImages) -> None:
    data, split = ImagesInMemory(images, CHOSEN, source, batch_size=3, seed=1), images.split(source)
    seen: list[int] = []
    for epoch in range(5):
        batches = epoch_of(data, epoch)
        assert [len(index) for _, _, index in batches] == [3, 3]  # whole batches of its own size
        for batch, labels, index in batches:
            assert labels == [split.label(place) for place in index]
            assert all(
                torch.equal(image, data.pixels[CHOSEN.index(place)]) for image, place in zip(batch, index, strict=True)
            )
            seen += index
    assert set(seen) == set(data.index.tolist()) == set(CHOSEN)


def test_images_of_other_splits_than_train_are_never_cropped_or_augmented(images: FakeImages) -> None:
    data = ImagesInMemory(images, CHOSEN, "val", batch_size=7, seed=1)
    expected = torch.stack([images.split("val")[place][0] for place in CHOSEN])
    assert torch.equal(data.pixels, expected)
    batch, *_ = data.on_after_batch_transfer((expected, data.labels, data.index), 0)
    assert torch.equal(batch, expected.float() / 255)
    assert images.augmentation == "paper"  # of the data that it is made from, still


def test_training_images_are_cropped_once_by_the_seed_of_the_study_and_the_image_alone(images: FakeImages) -> None:
    data = ImagesInMemory(images, CHOSEN, "train", batch_size=3, seed=1)
    for pixels, place in zip(data.pixels, CHOSEN, strict=True):
        assert torch.equal(pixels, images.split("train")[Draw(place, combined_seed(7, place))][0])
    fewer = ImagesInMemory(images, CHOSEN[2:], "train", batch_size=4, seed=9)
    assert torch.equal(fewer.pixels, data.pixels[2:])


def test_the_seed_decides_the_order_and_nothing_else_does(images: FakeImages) -> None:
    def order(seed: int, of_study: int, epoch: int = 0) -> list[list[int]]:
        images.seed = of_study
        data = ImagesInMemory(images, CHOSEN, "val", batch_size=3, seed=seed)
        return [index for _, _, index in epoch_of(data, epoch)]

    assert order(1, 7) == order(1, 8)
    assert order(1, 7) != order(2, 7)
    assert order(1, 7) != order(1, 7, epoch=1)


def test_the_other_splits_are_those_of_the_data(images: FakeImages) -> None:
    data = ImagesInMemory(images, CHOSEN, "val", batch_size=3, seed=1)
    for name in ("val", "test"):
        assert len(data.split(name)) == 12
    assert len(ImageSubset(images, CHOSEN).split("train")) == 12
    assert data.classes == images.classes


class Unreadable(FakeImages):
    """Images of which some cannot be read."""

    broken: frozenset[int] = frozenset()

    def split(self, name: Any) -> Any:
        """The images, without those that cannot be read."""
        complete, broken = super().split(name), self.broken

        class Broken:
            def __len__(self) -> int:
                return len(complete)

            def label(self, index: int) -> int:
                return complete.label(index)

            def __getitem__(self, key: Any) -> Any:
                image, label, index = complete[key]
                return image, UNREADABLE if index in broken else label, index

        return Broken()


def test_images_that_cannot_be_read_are_left_out() -> None:
    images = Unreadable(class_count=3, size=16, images=12, batch_size=4, seed=0, workers=0, augmentation="crop_flip")
    images.broken = frozenset({2, 9})
    for source in ("train", "val"):
        data = ImagesInMemory(images, CHOSEN, source, batch_size=2, seed=0)
        assert data.index.tolist() == [1, 5, 6, 10, 11]
        assert len(data.split("train")) == len(data.pixels) == len(data.labels) == 5
        assert UNREADABLE not in data.labels
    images.broken = frozenset(CHOSEN)
    with pytest.raises(ValueError, match=r"none of the study's images can be read: correct data\.root"):
        ImagesInMemory(images, CHOSEN, "val", batch_size=2, seed=0)


class Seen(pl.LightningModule):
    """Notes the images of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(1, 1), list[list[int]]()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        self.seen.append(batch[2].tolist())
        assert batch[0].dtype == torch.float32
        loss: torch.Tensor = self.layer(torch.ones(1)).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_training_goes_on_with_the_batches_that_were_not_seen(
    images: FakeImages, make_trainer: Callable[..., pl.Trainer]
) -> None:
    def seen(consumed: int) -> list[list[int]]:
        data, module = ImagesInMemory(images, CHOSEN, "val", batch_size=3, seed=1), Seen()
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
