"""The mask search against one pair, one step and one image at a time, and what must decide nothing."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from callbacks.checkpointing import Checkpointing
from callbacks.randomness import SeededBatches
from datamodules import FakeImages
from datamodules.sampling import TrainingSampler
from methods.class_patterns.search_images import NO_IMAGE, SearchImages, choose_canvases
from methods.class_patterns.search_module import PatternSearch, SignDescent
from networks.classifier import Classifier
from study.lightning_fixes import plugins
from tests.images import fake_images
from tests.replicas import replicates

MakeTrainer = Callable[..., pl.Trainer]
TARGETS = torch.tensor([0, 3, 3, 5])
LEARNED = torch.tensor([False, False, True, False])
FIXED = torch.zeros(4, dtype=torch.bool)  # no learned colours
ADAM: dict[str, Any] = {"optimizer": "adam", "step": 0.3, "averaged": 0.25}
SIGN: dict[str, Any] = {"optimizer": "sign", "step": 0.02, "averaged": 0.0}  # arXiv 2101.06898 and its code


pytestmark = pytest.mark.usefixtures("_one_thread")


@pytest.fixture
def small() -> FakeImages:
    return fake_images(class_count=6, size=16, images=14, batch_size=4)


@pytest.fixture
def classifier(make_classifier: Callable[[int], Classifier]) -> Classifier:
    return make_classifier(2).eval()


def canvases(size: int = 16) -> Tensor:
    return torch.randint(256, (4, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def make_search(classifier: nn.Module, learned: Tensor = FIXED, **changes: Any) -> PatternSearch:
    options: dict[str, Any] = {
        **ADAM,
        "canvases": canvases(),
        "targets": TARGETS,
        "alpha": 0.2,
        "chunk": 256,
        **changes,
    }
    return PatternSearch(classifier, options.pop("canvases"), options.pop("targets"), learned, **options)


def searched(module: PatternSearch, data: SearchImages, make_trainer: MakeTrainer, **options: Any) -> PatternSearch:
    make_trainer(max_epochs=2, **options).fit(module, datamodule=data)
    return module


def batches(data: SearchImages, epochs: int) -> list[tuple[Tensor, Tensor]]:
    """What the search sees, in its order."""
    loader, found = data.train_dataloader(), []
    for epoch in range(epochs):
        loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        found += [(images.double() / 255, labels) for images, labels, *_ in loader]
    return found


@replicates(SignDescent)
@replicates(SignDescent)
def test_the_sign_search_equals_its_steps_written_out(
    classifier: Classifier, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    classifier.double()
    data = SearchImages(small, "val", range(14), batch_size=4, seed=1, targets=[0, 3, 5])
    module = make_search(classifier, **SIGN, chunk=5)
    masks = searched(module.double(), data, make_trainer).soft_masks().detach()
    split = small.split("val")
    for pair, target in enumerate(TARGETS.tolist()):
        canvas = canvases()[pair].double() / 255
        mask = torch.full((16, 16), 0.5, dtype=torch.float64)
        for epoch in range(2):
            order = TrainingSampler(range(14), 1, seed=1)
            order.set_epoch(epoch)
            others = [draw.image for draw in order if split.label(draw.image) != target]  # class t is left out
            for start in range(0, len(others), 4):
                images = [split[index][0].double() / 255 for index in others[start : start + 4]]
                mask.requires_grad_()
                loss = (1 - 0.2) * mask.sum() / (16 * 16 / 2)
                for image in images:
                    logits = classifier((mask * canvas + (1 - mask) * image)[None])
                    loss = loss + 0.2 * F.cross_entropy(logits, torch.tensor([target])) / len(images)
                [gradient] = torch.autograd.grad(loss, mask)
                mask = (mask.detach() - 0.02 * gradient.sign()).clamp(0, 1)
        assert float(mask.std()) > 0.02  # something was learnt
        torch.testing.assert_close(masks[pair], mask, rtol=0, atol=1e-6)


def test_batches_of_a_class_are_all_others_and_go_on_after_an_interruption(small: FakeImages) -> None:
    split = small.split("val")
    data = SearchImages(small, "val", range(14), batch_size=4, seed=1, targets=[0, 3])
    whole = [(index.tolist(), member) for *_, index, member in data.train_dataloader()]
    for target in (0, 3):
        seen = [
            [place for place, used in zip(index, member[:, target].tolist(), strict=True) if used]
            for index, member in whole
        ]
        others = [place for place in range(14) if split.label(place) != target]
        assert sorted(place for batch in seen for place in batch) == others
        assert {len(batch) for batch in seen[:-1]} == {4}
    assert not any(member[:, [1, 2, 4, 5]].any() for _, member in whole)
    data.consumed_batches = 2
    rest = [(index.tolist(), member) for *_, index, member in data.train_dataloader()]
    assert [index for index, _ in rest] == [index for index, _ in whole[2:]]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(rest, whole[2:], strict=True))


@replicates(PatternSearch)
@replicates(PatternSearch)
def test_the_adam_search_equals_adam_on_each_pair_alone(
    classifier: Classifier, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    classifier.double()
    data = SearchImages(small, "val", range(14), batch_size=6, seed=1, targets=None)
    module = make_search(classifier, LEARNED, chunk=7, step=0.2).double()
    found_masks, found_canvases = searched(module, data, make_trainer).patterns()
    pair, target = 2, 3
    logits = torch.zeros(16, 16, dtype=torch.float64, requires_grad=True)
    colours = torch.logit(canvases()[pair].double() / 255, eps=0.02).requires_grad_()
    optimizer, seen = torch.optim.Adam([logits, colours], lr=0.2), []
    for images, labels in batches(data, epochs=2):
        images = images[labels != target]
        mask = logits.sigmoid()
        answer = classifier(mask * colours.sigmoid() + (1 - mask) * images)
        loss = 0.2 * F.cross_entropy(answer, torch.full((len(images),), target)) + 0.8 * mask.sum() / 128
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append((logits.sigmoid().detach(), colours.sigmoid().detach()))
    masks, pictures = (torch.stack(parts[-len(seen) // 4 :]).mean(dim=0) for parts in zip(*seen, strict=True))
    torch.testing.assert_close(found_masks[pair].double(), masks, rtol=0, atol=1e-6)
    assert (found_canvases[pair].double() - 255 * pictures).abs().max() < 0.51
    assert (found_canvases[~LEARNED] == canvases()[~LEARNED]).all()
    assert (found_canvases[pair] != canvases()[pair]).any()


@pytest.mark.parametrize("options", [SIGN, ADAM])
def test_the_chunk_decides_nothing(options: Any, classifier: Classifier, small: FakeImages) -> None:
    images, labels = torch.rand(5, 3, 16, 16), torch.tensor([0, 1, 3, 5, 2])
    found = []
    for chunk in (1, 3, 1000):
        module = make_search(classifier, LEARNED, **options, chunk=chunk)
        found.append(module.gradients(torch.rand(4, 16, 16, generator=seeded()), images, shown(labels), 0, 4))
    for other in found[1:]:
        for part, expected in zip(other, found[0], strict=True):
            torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-7)


def shown(labels: Tensor) -> Tensor:
    """Which images each pair is shown: those of other classes."""
    return labels[None] != TARGETS[:, None]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def test_gradients_are_those_of_finite_differences(classifier: Classifier) -> None:
    module = make_search(classifier.double(), LEARNED, chunk=3).double()
    images, labels = torch.rand(3, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 3])
    masks = 0.2 + 0.6 * torch.rand(4, 16, 16, generator=seeded(), dtype=torch.float64)
    _, by_mask, _ = module.gradients(masks, images, shown(labels), 0, 4)
    for pair, row, column in ((0, 3, 4), (2, 8, 1), (3, 15, 15)):
        moved = masks.clone()
        moved[pair, row, column] += 1e-6
        up, down = (module.gradients(part, images, shown(labels), 0, 4)[0] for part in (moved, masks))
        assert float((up - down)[pair]) / 1e-6 == pytest.approx(float(by_mask[pair, row, column]), rel=1e-4)
        assert (up != down).nonzero().flatten().tolist() == [pair]  # pairs do not see each other


def test_images_of_the_class_itself_are_left_out_and_no_image_is_no_step(classifier: Classifier) -> None:
    module = make_search(classifier)
    masks, images = torch.full((4, 16, 16), 0.5), torch.rand(2, 3, 16, 16)
    losses, by_mask, _ = module.gradients(masks, images, shown(torch.tensor([3, 3])), 0, 4)
    assert losses[1] == losses[2] == 0
    assert not by_mask[1:3].any()
    assert by_mask[0].any()
    alone = module.gradients(masks, images[:1], shown(torch.tensor([1])), 0, 4)
    joined = module.gradients(masks, images, shown(torch.tensor([1, 3])), 0, 4)
    torch.testing.assert_close(joined[1][1], alone[1][1])  # the second image is of its class
    nothing = module.gradients(masks, images[:0], shown(torch.tensor([], dtype=torch.long)), 0, 4)
    assert not nothing[1].any()


def test_the_classifier_stays_as_it_was_and_out_of_the_checkpoint(
    classifier: Classifier, small: FakeImages, make_trainer: MakeTrainer
) -> None:
    before = deepcopy(classifier.state_dict())
    module = make_search(classifier, LEARNED)
    searched(module, SearchImages(small, "val", range(14), 4, 0, None), make_trainer)
    assert all(torch.equal(value, before[key]) for key, value in classifier.state_dict().items())
    assert set(module.state_dict()) == {"masks", "mean_masks", "colours", "mean_colours", "averaged_steps"}
    assert not module.train().classifier.training


class Interruption(Exception):
    pass


class Stop(pl.Callback):
    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.at:
            raise Interruption


@pytest.mark.parametrize("at", [2, 5])  # within the first epoch, and while masks are averaged
def test_a_search_that_was_cut_off_ends_with_the_same_bits(
    at: int, classifier: Classifier, small: FakeImages, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    def search(callbacks: list[Any], resumed: Path | None = None, consumed: int = 0) -> Any:
        data = SearchImages(small, "train", range(14), 4, 0, None)
        data.consumed_batches = consumed
        module = make_search(classifier, LEARNED)
        trainer = make_trainer(max_epochs=2, callbacks=[SeededBatches(0), *callbacks], plugins=plugins())
        trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True if resumed else None)
        return module.patterns()

    whole = search([])
    checkpointing = Checkpointing(tmp_path / "last.ckpt", 0.0, "this one")
    with pytest.raises(Interruption):
        search([checkpointing, Stop(at)])
    consumed = checkpointing.consumed()
    assert consumed is not None
    resumed = search([Checkpointing(tmp_path / "last.ckpt", 1e9, "this one")], tmp_path / "last.ckpt", consumed)
    assert all(torch.equal(one, other) for one, other in zip(whole, resumed, strict=True))


def test_what_does_not_fit_is_said(classifier: Classifier, small: FakeImages, make_trainer: MakeTrainer) -> None:
    with pytest.raises(ValueError, match="6 logits, none for class number 6"):
        make_search(classifier, targets=torch.tensor([0, 1, 2, 6]))
    wide = Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000)))
    make_search(wide, targets=torch.tensor([0, 1, 2, 999]))  # more logits than classes: as on ImageNet
    with pytest.raises(ValueError, match="expected as many"):
        make_search(classifier, targets=TARGETS[:2])
    with pytest.raises(ValueError, match=r"torch.float32 of shape"):
        make_search(classifier, canvases=canvases().float())
    larger = make_search(wide, canvases=canvases(24))
    with pytest.raises(ValueError, match=r"\(16, 16\), \(24, 24\).*resize the canvas"):
        searched(larger, SearchImages(small, "val", range(14), 4, 0, None), make_trainer)


def test_canvases_are_of_the_class_of_others_and_noise(small: FakeImages) -> None:
    split = small.split("val")
    found = choose_canvases(split, "val", [1, 4, 7], {"own": 5, "other": 2, "noise": 1, "learned": 1}, seed=3)
    for position, (target, kind, source) in enumerate(
        zip(*(found[name].tolist() for name in ("targets", "kinds", "sources")), strict=True)
    ):
        if kind in ("noise", "learned"):
            assert source == NO_IMAGE
            continue
        image, label, _ = split[source]
        assert np.array_equal(found["canvases"][position], image)
        assert (label == target) == (kind == "own")
    counted = [[kinds.count(kind) for kind in ("own", "other", "noise", "learned")] for kinds in split_kinds(found)]
    assert counted == [[3, 2, 1, 1], [2, 2, 1, 1], [0, 2, 1, 1]]  # 14 images hold 3 and 2 of these, none of class 7
    again = choose_canvases(split, "val", [4], {"own": 5, "other": 2, "noise": 1, "learned": 1}, seed=3)
    assert np.array_equal(again["canvases"], found["canvases"][found["targets"] == 4])  # other classes decide nothing
    with pytest.raises(ValueError, match="ask for one or more"):
        choose_canvases(split, "val", [7], {"own": 2}, seed=0)


def split_kinds(canvases: dict[str, np.ndarray]) -> list[list[str]]:
    targets = canvases["targets"]
    return [canvases["kinds"][targets == target].tolist() for target in dict.fromkeys(targets.tolist())]


TWO_RANKS = """
from datamodules.sampling import TrainingSampler
from methods.class_patterns.patterns import Planned
from methods.class_patterns.search_images import SearchImages
from methods.class_patterns.search_module import PatternSearch, SignDescent
from methods.class_patterns.success import PatternSuccess

targets = torch.tensor([0, 3, 3, 5, 1])
canvases = torch.randint(256, (5, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
module = PatternSearch(
    classifiers["a"], canvases, targets, torch.arange(5) == 2, optimizer="adam", step=0.3, averaged=0.25, alpha=0.2,
    chunk=6,
)
trainer = pl.Trainer(
    accelerator="cpu", devices=int(sys.argv[1]), strategy="ddp" if sys.argv[1] == "2" else "auto", logger=False,
    enable_progress_bar=False, enable_checkpointing=False, use_distributed_sampler=False, max_epochs=2,
)
trainer.fit(module, datamodule=SearchImages(data, "val", range(11), 4, 0, None))
masks, canvases = module.patterns()
rows = [{"target": target} for target in targets.tolist()]
planned = [Planned(*parts) for parts in zip(masks, canvases, rows, strict=True)]
success = PatternSuccess(classifiers["b"], planned, range(11), complete=True, chunk=256)
result = tested(success)
save({"masks": masks.numpy(), "canvases": canvases.numpy(), "hits": result.hits, "clean": result.clean})
"""


@pytest.mark.slow
def test_two_ranks_find_the_patterns_of_one(on_one_and_two_ranks: Any) -> None:
    one, *two = on_one_and_two_ranks(TWO_RANKS)
    for result in two:
        np.testing.assert_allclose(result["masks"], one["masks"], rtol=0, atol=1e-4)
        assert (np.abs(result["canvases"].astype(int) - one["canvases"]) <= 1).all()
        assert np.array_equal(result["hits"], two[0]["hits"])
        assert np.array_equal(result["clean"], one["clean"])
    assert np.array_equal(two[0]["masks"], two[1]["masks"])
    assert one["hits"].shape == (11, 5)
