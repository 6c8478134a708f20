"""The small world is that of all tests of Lightning modules."""

from tests.small_world import autoencoder, data, make_classifier, on_one_and_two_ranks, on_ranks, sgd

__all__ = ["autoencoder", "data", "make_classifier", "on_one_and_two_ranks", "on_ranks", "sgd"]
