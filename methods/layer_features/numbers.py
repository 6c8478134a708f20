"""How near a synthesised image came to what it aims at, in numbers."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.floating]
SYNTHESIS, MAXIMIZATION, INVERSION, START = "synthesis", "activation_maximization", "feature_inversion", "start"
METHODS = (SYNTHESIS, MAXIMIZATION, INVERSION)
BASELINES = (MAXIMIZATION, INVERSION)
KEYS = ["network", "layer", "seed", "cluster"]


def cosine(one: Floats, other: Floats) -> Floats:
    """Cosine of the angle between rows ``(R, C)``; NaN where one is zero."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    product: Floats = (one * other).sum(axis=1)
    return np.divide(product, lengths, out=np.full(len(one), np.nan), where=lengths > 0)


def numbers_table(means: Floats, targets: Floats, images: Floats, real: Floats, channels: int) -> pd.DataFrame:
    """Numbers of R images, each with its target.

    Args:
        means: z of each, ``(R, C)``.
        targets: a of each, ``(R, C)``.
        images: In [0, 1], ``(R, 3, H, W)``.
        real: z of the N real images, ``(N, C)``.
        channels: How many of the largest count as top channels.

    Returns:
        A row for each: ``cosine`` and ``l2`` to the target; ``activation`` of the target's top channels, 1 where it is
        the target's; ``overlap``, the share of top channels that are the target's; ``nearest_image``, the real image
        with the most similar z, and its ``rank`` among all by their distance to the target, 1 being the nearest;
        ``nearer_images``, the share of real images that are nearer to the target; ``pixel_variation``, the mean
        absolute difference of neighbouring pixels.
    """
    rows = []
    for z, a, image in zip(means, targets, images, strict=True):
        top = np.argsort(-a, kind="stable")[:channels]
        worth = float((a[top] ** 2).sum())
        real_distances = np.linalg.norm(real - a, axis=1)
        distance = float(np.linalg.norm(z - a))
        nearest = int(np.argmin(np.linalg.norm(real - z, axis=1)))
        rows.append({
            "l2": distance,
            "activation": float((z[top] * a[top]).sum()) / worth if worth else np.nan,
            "overlap": len(set(top) & set(np.argsort(-z, kind="stable")[:channels])) / len(top),
            "nearest_image": nearest,
            "rank": 1 + int((real_distances < real_distances[nearest]).sum()),
            "nearer_images": float((real_distances < distance).mean()),
            "pixel_variation": float((abs(np.diff(image, axis=1)).mean() + abs(np.diff(image, axis=2)).mean()) / 2),
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.insert(0, "cosine", cosine(means, targets))
    return table


def with_gain(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers with ``gain``: the activation in units of that of the start image of the same cluster."""
    starts = table[table["method"] == START].set_index(KEYS)["activation"].rename("before")
    joined = table.join(starts, on=KEYS)
    gain = joined["activation"] / joined["before"].where(joined["before"] > 0)
    return table.assign(gain=gain)


def diversity(means: Floats, targets: Floats, images: Floats) -> dict[str, float]:
    """How different the images of one method and layer are, mean over pairs of clusters.

    Args:
        means: z of each cluster's image, ``(K, C)``.
        targets: a of each, ``(K, C)``.
        images: In [0, 1], ``(K, 3, H, W)``.

    Returns:
        ``features``: distance of z, in units of that of the targets; ``pixels``: root mean square difference; NaN of a
        single cluster.
    """
    pairs = list(combinations(range(len(means)), 2))
    if not pairs:
        return {"features": float("nan"), "pixels": float("nan")}
    apart = np.mean([np.linalg.norm(means[one] - means[other]) for one, other in pairs])
    wanted = np.mean([np.linalg.norm(targets[one] - targets[other]) for one, other in pairs])
    pixels = np.mean([np.sqrt(((images[one] - images[other]) ** 2).mean()) for one, other in pairs])
    return {"features": float(apart / wanted) if wanted else float("nan"), "pixels": float(pixels)}


def wins(table: pd.DataFrame) -> pd.DataFrame:
    """In how many clusters the synthesis has a higher cosine to its target than each baseline, and than both.

    Args:
        table: ``KEYS``, ``method`` and ``cosine``.

    Returns:
        A row for each network: ``clusters``, and the number of clusters won against each of ``BASELINES`` and ``both``.
    """
    wide = table.pivot(index=KEYS, columns="method", values="cosine")
    won = {baseline: wide[SYNTHESIS] > wide[baseline] for baseline in BASELINES}
    won["both"] = won[MAXIMIZATION] & won[INVERSION]
    counted = pd.DataFrame(won).groupby(level="network", sort=False)
    return counted.sum().assign(clusters=counted.size())
