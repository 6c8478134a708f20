"""What concepts are set against: the names of the controls, and k-means and PCA with as many components."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from methods.concepts.files import Array

STARTS = 4  # of k-means, of which the best is kept

OWN = "own"  # no control: the concepts of the network, in every table the first row of each classifier
PERMUTED = "permuted"  # the network's concepts beside shuffled labels
UNTRAINED = "untrained"  # a network with random weights
LAYER = "layer:"  # before the name of the one layer whose activations were factorised
CONTROLS = {  # what each control is called in ``controls.csv``, and to people
    OWN: "the network’s concepts",
    UNTRAINED: "untrained network",
    PERMUTED: "labels permuted",
    "pixels": "pixels alone",
    "activations": "activations alone",
    "kmeans": "k-means",
    "pca": "PCA",
    "published": "published algorithm",
}


def control_name(control: str) -> str:
    """What people call a control; one layer of an untrained network is ``untrained layer:<name>``."""
    if control.startswith(f"{UNTRAINED} {LAYER}"):
        return f"{control.removeprefix(f'{UNTRAINED} {LAYER}')} alone, untrained"
    if control.startswith(LAYER):
        return f"{control.removeprefix(LAYER)} alone"
    return CONTROLS.get(control, control)


def kmeans_factor(matrix: Array, components: int, seed: int, heldout: Array | None = None) -> tuple[Array, Array]:
    """An image factor from k-means: 1 where the image is in the cluster.

    Args:
        matrix: All blocks side by side, each times √a_b, ``(N, M)``.
        components: Clusters, k.
        seed: Of the starts.
        heldout: Further images, ``(N', M)``, each put into the nearest cluster; ``None``: there are none.

    Returns:
        Of 0 and 1, ``(N, k)`` and ``(N', k)``.

    Raises:
        ValueError: If there are fewer images than clusters.
    """
    check(components, len(matrix), "images")
    model = KMeans(components, n_init=STARTS, random_state=seed).fit(matrix)
    further = model.predict(heldout) if heldout is not None and len(heldout) else np.zeros(0, int)
    ones = np.eye(components)
    return ones[model.labels_], ones[further]


def pca_factor(matrix: Array, components: int, seed: int, heldout: Array | None = None) -> tuple[Array, Array]:
    """An image factor from PCA: how far the image is along each component, on either side.

    Args:
        matrix: All blocks side by side, each times √a_b, ``(N, M)``.
        components: Of the largest variance, k.
        seed: Of the solver, where it draws.
        heldout: Further images, ``(N', M)``; ``None``: there are none.

    Returns:
        Absolute scores, ``(N, k)`` and ``(N', k)``.

    Raises:
        ValueError: If there are fewer images or columns than components.
    """
    check(components, min(matrix.shape), "images or columns")
    model = PCA(components, random_state=seed)
    scores = model.fit_transform(matrix)
    further = model.transform(heldout) if heldout is not None and len(heldout) else np.zeros((0, components))
    return np.abs(scores), np.abs(further)


def check(components: int, most: int, what: str) -> None:
    """Refuse more components than there can be."""
    if not 1 <= components <= most:
        raise ValueError(f"{components} components of {most} {what}: concepts.k must be from 1 to {most}")
