"""Settings of ``task=band_tolerance``."""

from dataclasses import dataclass

from study.settings.fields import Settings, setting

CONTROLS = ("even", "water_filling", "second_seed", "second_wavelet", "random_weights")


@dataclass
class BandTolerance(Settings):
    """How many bits each classifier lets in, by scale, orientation and colour (docs/band_tolerance.md)."""

    labels: str = setting(
        "decisions", "what must be kept: each classifier's decisions, or the labels", choices=("decisions", "labels")
    )
    tolerances: list[float] = setting(
        [0.003, 0.02, 0.15, 0.5, 1.5],
        "largest mean change of the answers, in nats; those above what guessing costs are left out",
        above=0,
        least=1,
        unique=True,
    )
    compared: float = setting(0.15, "the tolerance at which classifiers see each other's images; one of them", above=0)
    split: str = setting("train", "split that channels are fitted on", choices=("train", "val"))
    images: int = setting(400, "images that channels are fitted on, stratified by class", low=2)
    evaluation_images: int | None = setting(300, "test images, stratified by class; null: all", low=2)
    batch_size: int = setting(16, "images of a step, over all devices", low=1)
    chunk: int | None = setting(
        None, "images that pass through a classifier at once, for its memory; null: of 200,000 pixels together", low=1
    )
    first_steps: int = setting(80, "optimiser steps at the tightest tolerance", low=2)
    steps: int = setting(40, "optimiser steps at each further tolerance", low=2)
    lr: float = setting(0.25, "step of Adam on log ρ at the beginning", above=0, high=10)
    later_lr: float = setting(0.12, "the same at the beginning of each further tolerance", above=0, high=10)
    weight: float = setting(5.0, "largest weight of the logarithm of the bits, in tolerances", above=0)
    start: float | None = setting(
        None, "log ρ of every band at the beginning; null: by water-filling, at the first tolerance", low=0, high=20
    )
    wavelet: str = setting("db4", "orthonormal wavelet of PyWavelets")
    second_wavelet: str = setting("haar", "wavelet of the control second_wavelet")
    levels: int | None = setting(None, "scales; null: as many as leave a low-pass of 4 to 8 pixels", low=1, high=12)
    seeds: list[int] = setting([0], "seeds of the fits", low=0, least=1, unique=True)
    controls: list[str] = setting(list(CONTROLS), "what bits are compared with", choices=CONTROLS, unique=True)
    retention: float = setting(0.95, "share of decisions kept at which bits are compared", above=0, below=1)
    photographs: int = setting(1, "whole photographs of which the page shows what passes", low=0, high=8)

    @classmethod
    def check(cls, node: "BandTolerance", key: str) -> None:
        """Check that the compared tolerance is one of the tolerances, and that the two wavelets differ."""
        if node.compared not in list(node.tolerances):
            given = ", ".join(f"{value:g}" for value in node.tolerances)
            raise ValueError(f"{key}.compared={node.compared:g} is not one of {key}.tolerances ({given}): add it there")
        if "second_wavelet" in node.controls and node.wavelet == node.second_wavelet:
            raise ValueError(f"{key}.second_wavelet={node.wavelet} is {key}.wavelet, too: give another one")
