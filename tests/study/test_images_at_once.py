"""Forward passes are bounded in pixels, so that large images need no more memory than small ones."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from methods.class_patterns.job import Searches
from methods.concepts.job import ConceptJob
from study.data import images_at_once
from tests.studies import Compose


def test_a_number_counts_and_otherwise_the_pixels() -> None:
    assert images_at_once(7, 224**2, 800_000) == 7
    assert images_at_once(None, 224**2, 800_000) == 15
    assert images_at_once(None, 4000**2, 800_000) == 1


@pytest.mark.parametrize(("side", "chunk", "images"), [(48, None, 256), (224, None, 15), (224, 40, 40)])
def test_class_patterns_take_fewer_large_images_at_once(side: int, chunk: int | None, images: int) -> None:
    searches = SimpleNamespace(
        cfg=OmegaConf.create({"class_patterns": {"chunk": chunk}}), data=SimpleNamespace(smallest_side=side)
    )
    assert Searches.chunk.fget(searches) == images  # type: ignore[attr-defined]


@pytest.mark.parametrize(("side", "images"), [(48, 1024), (224, 47)])
def test_activations_of_large_images_are_collected_a_few_at_a_time(composed: Compose, side: int, images: int) -> None:
    cfg = composed(f"data.size={side}", "autoencoder=none")
    assert ConceptJob(cfg, cfg.classifier, "").data.batch_size == images
