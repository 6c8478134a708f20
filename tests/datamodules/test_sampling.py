"""Who sees which image when."""

import pytest

from datamodules.sampling import EvaluationSampler, TrainingSampler
from tests.images import fake_images


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 7, 12, 13])
def test_evaluation_sees_every_image_once_in_pairs(ranks: int, length: int) -> None:
    shares = [list(EvaluationSampler(range(length), rank, ranks)) for rank in range(ranks)]
    assert sorted(index for share in shares for index in share) == list(range(length))
    for share in shares:
        assert len(share) == len(EvaluationSampler(range(length), shares.index(share), ranks))
        for position in range(0, len(share) - 1, 2):
            assert share[position] % 2 == 0
            assert share[position + 1] == share[position] + 1


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(("length", "batch"), [(50, 8), (48, 8), (5, 8)])
def test_training_shares_are_equal_and_disjoint(ranks: int, length: int, batch: int) -> None:
    samplers = [TrainingSampler(range(length), batch, seed=3, rank=rank, world_size=ranks) for rank in range(ranks)]
    shares = [[draw.image for draw in sampler] for sampler in samplers]
    assert {len(share) for share in shares} == {len(samplers[0])}
    seen = [image for share in shares for image in share]
    assert len(set(seen)) == len(seen)
    assert len(seen) == (length // batch * batch if length >= batch else length // ranks * ranks)


def test_training_order_is_a_function_of_seed_and_epoch() -> None:
    def draws(seed: int, epoch: int) -> list[tuple[int, int]]:
        sampler = TrainingSampler(range(20), 4, seed=seed)
        sampler.set_epoch(epoch)
        return [(draw.image, draw.seed) for draw in sampler]

    assert draws(0, 2) == draws(0, 2)
    assert draws(0, 2) != draws(0, 3)
    assert draws(0, 2) != draws(1, 2)
    assert {seed for _, seed in draws(0, 2)}.isdisjoint(seed for _, seed in draws(0, 3))


def test_ranks_share_one_order() -> None:
    whole = list(TrainingSampler(range(40), 8, seed=5))
    shares = [list(TrainingSampler(range(40), 8, seed=5, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [draw for pair in zip(*shares, strict=True) for draw in pair] == whole


def test_batches_hold_floats_and_pairs() -> None:
    data = fake_images(class_count=3, size=16, images=7, batch_size=3)
    sizes, seen = [], []
    for batch in data.test_dataloader():
        images, _, index = data.on_after_batch_transfer(batch, 0)
        assert images.min() >= 0
        assert images.max() <= 1
        sizes.append(len(images))
        seen += index.tolist()
    assert sizes == [4, 3]  # three is rounded up, so that pairs stay together
    assert seen == list(range(7))
