"""The file of what was synthesised for one network and seed."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray


@dataclass(frozen=True)
class FeatureFile:
    """R images synthesised for the L layers of one network, from N real images.

    Attributes:
        layers: Names of the layers, ``(L,)``.
        layer: Of each image the place of its layer among them, ``(R,)``.
        cluster: Of each image its cluster, the largest being 0, ``(R,)``.
        method: Of each image how it was made, ``(R,)``.
        images: uint8, shape ``(R, 3, H, W)``.
        starts: What each began as, likewise.
        nearest: Of each image the real images that the layer sees most alike, nearest first, ``(R, P)``.
        labels: The cluster of each real image in each layer, ``(L, N)``.
        places: Of each real image in the plane, ``(L, N, 2)``.
        real: The real images, uint8, small, ``(N, 3, h, h)``.
        names: What the real images are called, ``(N,)``.
        history: Of each image in each iteration, columns as ``methods.layer_features.synthesis.HISTORY``, float32,
            ``(I, R, 5)``.
        strip: The images of the synthesis after some iterations, uint8, ``(S, R, 3, H, W)``.
        iterations: Numbers of these, ``(S,)``.
    """

    layers: Array
    layer: Array
    cluster: Array
    method: Array
    images: Array
    starts: Array
    nearest: Array
    labels: Array
    places: Array
    real: Array
    names: Array
    history: Array
    strip: Array
    iterations: Array

    def save(self, path: Path) -> None:
        """Write all arrays, compressed."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "FeatureFile":
        """Read the arrays back."""
        with np.load(path) as file:
            return cls(**{field.name: file[field.name] for field in fields(cls)})

    def row(self, layer: int, cluster: int, method: str) -> int:
        """Which image a method made for a cluster of a layer."""
        [place] = np.flatnonzero((self.layer == layer) & (self.cluster == cluster) & (self.method == method))
        return int(place)

    def clusters(self, layer: int) -> list[int]:
        """The clusters of a layer, the largest first."""
        return sorted(set(self.cluster[self.layer == layer].tolist()))
