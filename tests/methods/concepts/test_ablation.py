"""Shares, images and orders of a removal, written out."""

import numpy as np

from methods.concepts.ablation import concept_shares, permutations, random_channel_control, strongest

GENERATOR = np.random.default_rng(0)


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
    [one], [again], [other], [reseeded] = (permutations([50], *key) for key in ((1, 0), (1, 0), (2, 0), (1, 1)))
    assert sorted(one) == list(range(50))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, reseeded)
