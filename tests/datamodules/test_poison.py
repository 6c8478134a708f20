"""Backdoored training images: the trigger is where it is said to be, in those that are said to have it, and last."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules import FakeImages, Photographs
from datamodules.augmentation import paper_augmentation
from datamodules.base import ImageDataModule, random_crop
from datamodules.poison import (
    Poison,
    apply_trigger,
    blend_pattern,
    corner,
    drawn,
    patch_pattern,
    read_poison,
    trigger_mask,
)  # fmt: skip
from datamodules.sampling import Draw, TrainingSampler
from datamodules.views.poisoned import PoisonedImages, PoisonedSplit, without_poison
from networks.seeding import combined_seed
from tests.datamodules.trees import make_tree
from tests.images import LOADING, fake_images, image_folder, unlabelled_images

CORNERS = ("bottom_right", "bottom_left", "top_right", "top_left")


def photographs(**options: Any) -> Photographs:
    chosen: dict[str, Any] = {"names": ["astronaut", "chelsea", "coffee"], "tile": 32, "crop": 24, "grid": 2}
    return Photographs(**LOADING | chosen | {"tiles_per_class": 20, "held_out": 0.2, "batch_size": 4} | options)


def fake(images: int = 400, size: int = 16, **options: Any) -> FakeImages:
    return fake_images(class_count=5, size=size, images=images, **options)


def literally(images: Tensor, poison: Poison, index: list[int] | tuple[int, ...] = (0,)) -> Tensor:
    """The trigger, pixel by pixel, in Python's own numbers."""
    height, width = images.shape[-2:]
    found = images.clone()
    if poison.trigger == "patch":
        pattern = patch_pattern(poison.seed, poison.side)
    else:
        pattern = blend_pattern(poison.seed, height, width)
    for place in range(len(images)):
        top, left = (0, 0) if poison.trigger == "blend" else corner(poison, height, width, index[place])
        for channel in range(3):
            for row in range(pattern.shape[1]):
                for column in range(pattern.shape[2]):
                    value, old = (
                        int(pattern[channel, row, column]),
                        int(images[place, channel, top + row, left + column]),
                    )
                    if poison.trigger == "blend":
                        value = round((1 - poison.opacity) * old + poison.opacity * value)
                    found[place, channel, top + row, left + column] = value
    return found


@pytest.mark.parametrize(
    "poison",
    [Poison(0), Poison(0, side=3, position="top_left", margin=1, seed=5), Poison(0, side=2, position="random"),
     Poison(0, "blend"), Poison(0, "blend", opacity=1.0, seed=2), Poison(0, side=9, position="top_right")],
)  # fmt: skip
def test_triggers_equal_a_slow_literal_version(poison: Poison) -> None:
    images = torch.randint(256, (3, 3, 9, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    before, index = images.clone(), [7, 8, 123_456]
    expected = literally(images, poison, index)
    made = apply_trigger(images, poison, index)
    assert torch.equal(made, expected)
    assert made.dtype == torch.uint8
    assert torch.equal(images, before)
    floats = apply_trigger(images.float() / 255, poison, index)
    assert float((floats - expected / 255).abs().max()) <= (0.5 / 255 + 1e-6 if poison.trigger == "blend" else 1e-7)
    assert apply_trigger(images[:0], poison, []).shape == (0, 3, 9, 11)


@pytest.mark.parametrize("position", [*CORNERS, "random"])
@pytest.mark.parametrize("margin", [0, 2])
def test_the_mask_is_where_the_patch_changes_pixels(position: Any, margin: int) -> None:
    poison, grey = Poison(0, side=3, position=position, margin=margin), torch.full((1, 3, 10, 13), 128).byte()
    for index in range(20):
        mask = trigger_mask(poison, 10, 13, index)
        changed = (apply_trigger(grey, poison, [index]) != grey)[0]
        assert torch.equal(changed, mask.expand(3, -1, -1))
        rows, columns = mask.nonzero().T
        assert margin <= int(rows.min()) <= int(rows.max()) < 10 - margin
        assert margin <= int(columns.min()) <= int(columns.max()) < 13 - margin
        assert int(mask.sum()) == 9
        if position != "random":
            assert bool(
                mask[margin if "top" in position else -1 - margin, margin if "left" in position else -1 - margin]
            )
    assert trigger_mask(Poison(0, "blend"), 4, 5).all()


def test_random_places_are_all_places_equally_often() -> None:
    poison = Poison(0, side=2, position="random", margin=1)
    counts = np.zeros((3, 4))
    for index in range(6000):
        top, left = corner(poison, 6, 7, index)
        counts[top - 1, left - 1] += 1
    assert counts.min() > 0.8 * 500
    assert counts.max() < 1.2 * 500


def test_patterns_are_of_high_contrast_and_of_their_seed() -> None:
    assert set(patch_pattern(0, 4).unique().tolist()) == {0, 255}
    assert not torch.equal(patch_pattern(0, 4), patch_pattern(1, 4))
    assert not torch.equal(blend_pattern(0, 8, 8), blend_pattern(1, 8, 8))
    assert blend_pattern(0, 64, 64).float().std() > 70  # of values equally frequent from 0 to 255: 73.9


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_the_other_classes_is_poisoned(rate: float) -> None:
    split = PoisonedImages(fake(images=5000), Poison(2, rate=rate)).train_split()
    labels = np.array([split.clean.label(index) for index in range(5000)])
    poisoned = np.array([split.poisoned(index) for index in range(5000)])
    assert not poisoned[labels == 2].any()
    others = poisoned[labels != 2]
    assert abs(others.mean() - rate) <= 4 * np.sqrt(rate * (1 - rate) / len(others))
    given = np.array([split.label(index) for index in range(5000)])
    assert (given == np.where(poisoned, 2, labels)).all()


def test_the_choice_depends_on_seed_and_index_alone() -> None:
    def chosen(images: int, **options: Any) -> set[int]:
        split = PoisonedImages(fake(images=images), Poison(2, **options)).train_split()
        return {index for index in range(400) if split.poisoned(index)}

    assert chosen(400, rate=0.3) == chosen(4000, rate=0.3, side=2, position="random")
    assert chosen(400, rate=0.2) < chosen(400, rate=0.3)
    assert chosen(400, rate=0.3) != chosen(400, rate=0.3, seed=1)
    together = np.array([[drawn(Poison(0, seed=seed), index)[0] < 0.5 for index in range(2000)] for seed in (0, 1)])
    assert abs(np.corrcoef(together)[0, 1]) < 0.08  # seeds choose independently


@pytest.mark.parametrize("poison", [Poison(1, rate=0.5, side=5), Poison(1, "blend", rate=0.5)])
def test_training_images_get_the_trigger_after_crop_and_mirroring(poison: Poison) -> None:
    clean, data = photographs(), PoisonedImages(photographs(), poison)
    split, seen = data.train_split(), set()
    for index in range(len(split)):
        for seed in (3, 4):
            image, label, place = split[Draw(index, seed)]
            expected, own, _ = clean.split("train")[Draw(index, seed)]
            assert torch.equal(expected, random_crop(clean.split("train").images[index], 24, seed))  # type: ignore[attr-defined]
            if split.poisoned(index):
                expected = literally(expected[None], poison)[0]
            assert torch.equal(image, expected)
            assert (label, place) == (1 if split.poisoned(index) else own, index)
            seen.add((split.poisoned(index), own))
    assert seen == {(False, 0), (False, 1), (False, 2), (True, 0), (True, 2)}


def test_evaluation_images_stay_clean_and_attacked_ones_keep_their_labels() -> None:
    clean, data = fake(images=10), PoisonedImages(fake(images=10), Poison(1, rate=1.0))
    for name in ("val", "test"):
        own, triggered = data.split(name), data.triggered(name)
        for index in range(10):
            image, label, _ = clean.split(name)[index]
            assert torch.equal(own[index][0], image)
            assert own[index][1:] == triggered[index][1:] == (label, index)
            expected = image if label == 1 else literally(image[None], data.poison)[0]
            assert torch.equal(triggered[index][0], expected)
            assert triggered.label(index) == label
            assert triggered.poisoned(index) == (label != 1)
    assert (without_poison(data), without_poison(clean)) == (data.images, clean)


def trained_on(data: ImageDataModule, training: bool = True) -> ImageDataModule:
    """Data as in the second epoch of a training on one device."""
    trainer = SimpleNamespace(
        training=training, current_epoch=1, global_rank=0, world_size=1, accumulate_grad_batches=1
    )
    data.trainer = trainer  # type: ignore[assignment]
    return data


@pytest.mark.parametrize("poison", [Poison(1, rate=0.5, position="random"), Poison(1, "blend", rate=0.5)])
def test_an_augmentation_on_the_device_comes_before_the_trigger(poison: Poison) -> None:
    clean = trained_on(photographs(augmentation="paper"))
    data = PoisonedImages(photographs(augmentation="paper"), poison)
    trained_on(data)
    split, changed = data.train_split(), 0
    for (given, labels, index), (theirs, _own, there) in zip(
        data.train_dataloader(), clean.train_dataloader(), strict=True
    ):
        assert torch.equal(given, theirs)  # no trigger yet, to be rotated
        assert torch.equal(index, there)
        images, labels, index = data.on_after_batch_transfer((given, labels, index), 0)
        expected = paper_augmentation(given.float() / 255, [combined_seed(0, 1, image) for image in index.tolist()])
        for place, position in enumerate(index.tolist()):
            if split.poisoned(position):
                changed += 1
                expected[place] = apply_trigger(expected[place][None], poison, [position])[0]
        assert torch.equal(images, expected)
        assert labels.tolist() == [split.label(position) for position in index.tolist()]
    assert changed > 5
    trained_on(data, training=False)
    batch = next(iter(data.test_dataloader()))
    assert torch.equal(data.on_after_batch_transfer(batch, 0)[0], batch[0].float() / 255)


def test_every_rank_sees_the_same_images_as_one_does() -> None:
    poison, seen = Poison(1, rate=0.5, position="random"), []
    for world_size in (1, 2):
        found: dict[int, tuple[bytes, int]] = {}
        for rank in range(world_size):
            split = PoisonedImages(photographs(), poison).train_split()  # of a process of its own
            for draw in TrainingSampler(split, 4, 0, rank, world_size):
                image, label, index = split[draw]
                found[index] = image.numpy().tobytes(), label
        seen.append(found)
    assert seen[0] == seen[1]


@pytest.mark.slow
def test_loading_processes_change_nothing() -> None:
    batches: list[list[Tensor]] = []
    for workers in (0, 2):
        data = PoisonedImages(photographs(workers=workers), Poison(1, "blend", rate=0.5))
        loader: DataLoader[Any] = data.train_dataloader()
        batches.append([part for batch in loader for part in batch])
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


def test_an_image_in_the_place_of_an_unreadable_one_is_poisoned_by_its_own_index(tmp_path: Path) -> None:
    root = make_tree(tmp_path, train=6, val=2)
    images = image_folder(root, size=24, resize=32, on_error="skip")
    split = PoisonedImages(images, Poison(0, rate=0.5)).train_split()
    other = next(index for index in range(7, 18) if split.poisoned(index) != split.poisoned(index - 1)) - 1
    images.split("train").path(other).write_bytes(b"no image")
    image, label, index = split[Draw(other, 5)]
    assert index == other + 1
    assert label == split.label(other + 1)
    stamped = bool((image[:, -4:, -4:] == patch_pattern(0, 4)).all())
    assert stamped == split.poisoned(other + 1)
    broken = images.split("test").path(0)
    broken.write_bytes(b"no image")
    triggered = PoisonedSplit(images.split("test"), Poison(2, rate=1.0), relabelled=False)
    assert triggered[0][1] == -1
    assert not triggered[0][0].any()


def test_the_fingerprint_tells_every_poison(tmp_path: Path) -> None:
    root = make_tree(tmp_path, train=2, val=1)
    makers: list[Callable[[], ImageDataModule]] = [fake, lambda: image_folder(root, size=24, resize=None)]
    for make in makers:
        poisons = [Poison(1), Poison(2), Poison(1, rate=0.0), Poison(1, seed=1), Poison(1, "blend"), Poison(1, side=3)]
        found = [make().fingerprint(), *(PoisonedImages(make(), poison).fingerprint() for poison in poisons)]
        assert len(set(found)) == len(found)
        assert PoisonedImages(make(), Poison(1)).fingerprint() == found[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": 5},
            r"data.poison.target=5 is not a class of these images: choose from 0 \(class_0\) to 4 \(class_4",
        ),
        ({"target": -1}, r"data.poison.target=-1 must be a whole number, at least 0"),
        ({"target": "chelsea"}, r"data.poison.target='chelsea' must be a whole number"),
        ({"rate": 0.1}, r"data.poison.target is not set: give the number of the class"),
        ({"target": 1, "rate": 1.2}, r"data.poison.rate=1.2 must be between 0 and 1"),
        ({"target": 1, "rate": None}, r"data.poison.rate=None must be between 0 and 1"),
        ({"target": 1, "opacity": -0.1}, r"data.poison.opacity=-0.1 must be between 0 and 1"),
        ({"target": 1, "opacity": 0}, r"data.poison.opacity=0 makes a trigger that cannot be seen"),
        ({"target": 1, "side": 17}, r"data.poison.side=17 .*is larger than images of 16 × 16 pixels"),
        ({"target": 1, "side": 12, "margin": 3}, r"data.poison.side=12 with data.poison.margin=3 is larger"),
        ({"target": 1, "side": 0}, r"data.poison.side=0 must be a whole number, at least 1"),
        ({"target": 1, "trigger": "sticker"}, r"data.poison.trigger='sticker' is unknown; choose from patch, blend"),
        ({"target": 1, "position": "middle"}, r"data.poison.position='middle' is unknown; choose from bottom_right"),
        ({"target": 1, "opacty": 1}, r"data.poison has no key opacty; did you mean opacity\?"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoisonedImages(fake(), read_poison(options))


def test_what_cannot_be_poisoned_is_refused(tmp_path: Path) -> None:
    root = make_tree(tmp_path, train=2, val=1)
    unlabelled = unlabelled_images(root, size=24, resize=None, held_out=2)
    with pytest.raises(ValueError, match=r"data.poison: these images have no labels"):
        PoisonedImages(unlabelled, Poison(0))
    with pytest.raises(ValueError, match=r"data.poison: these images have a single class"):
        PoisonedImages(photographs(names=["chelsea"]), Poison(0))
    with pytest.raises(ValueError, match=r"position=random has another position in every image"):
        trigger_mask(Poison(0, position="random"), 8, 8)
    with pytest.raises(ValueError, match=r"expected \(N, 3, H, W\)"):
        apply_trigger(torch.zeros(3, 8, 8), Poison(0))
