"""What autoencoders do against attackers who know them and who do not: one row of numbers for each norm."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from methods.robustness.module import ATTACKS, DEFENCES, OWN, PLAIN, RobustnessResult


def findings(result: RobustnessResult) -> pd.DataFrame:
    """Mean accuracies at the middle epsilon of each norm, and the gain of classifiers behind their A_i.

    Args:
        result: The predictions.

    Returns:
        For each ``norm`` its middle ``epsilon`` and, averaged over classifiers: ``clean_plain``, ``worst_plain`` (the
        classifier alone), ``clean_own``, ``transfer_own``, ``worst_own`` (behind its A_i); ``gain`` (worst_own minus
        worst_plain) and ``ignorance`` (transfer_own minus worst_own), each with half the width of its 95 % interval
        (``gain_error``, ``ignorance_error``); ``missed``: share of images on which another attack succeeded and PGD
        had not; ``on_itself`` and ``on_others``: accuracy on images that PGD made on the same and on another
        classifier (NaN where there is one classifier).
    """
    norms = list(dict.fromkeys(threat.norm for threat in result.threats))
    return pd.DataFrame([{"norm": norm, **finding(result, *middle(result, norm))} for norm in norms])


def middle(result: RobustnessResult, norm: str) -> tuple[int, float]:
    """Position and epsilon of the middle threat of a norm; epsilons ascend."""
    positions = [number for number, threat in enumerate(result.threats) if threat.norm == norm]
    position = positions[len(positions) // 2]
    return position, result.threats[position].epsilon


def finding(result: RobustnessResult, threat: int, epsilon: float) -> dict[str, float]:
    """The numbers of one threat; see :func:`findings`."""
    plain, own = DEFENCES.index(PLAIN), DEFENCES.index(OWN)
    worst, right = result.worst[:, :, threat].astype(bool), result.right[:, :, threat].astype(bool)
    clean = result.clean.mean(axis=(0, 1))
    alone, known = worst[..., plain].mean(axis=1), worst[..., own].mean(axis=1)
    unknown = right[:, :, own, ATTACKS.index("transfer")].mean(axis=1)
    missed = right[:, :, own, ATTACKS.index("pgd")] & ~worst[..., own]
    transferred = result.transferred[:, threat].mean(axis=0)
    others = ~np.eye(len(transferred), dtype=bool)
    (gain, gain_error), (ignorance, ignorance_error) = paired(known - alone), paired(unknown - known)
    return {
        "epsilon": epsilon,
        "clean_plain": float(clean[plain]),
        "worst_plain": float(alone.mean()),
        "clean_own": float(clean[own]),
        "transfer_own": float(unknown.mean()),
        "worst_own": float(known.mean()),
        "gain": gain,
        "gain_error": gain_error,
        "ignorance": ignorance,
        "ignorance_error": ignorance_error,
        "missed": float(missed.mean()),
        "on_itself": float(np.diag(transferred).mean()),
        "on_others": float(transferred[others].mean()) if others.any() else math.nan,
    }


def paired(differences: npt.NDArray | Sequence[float]) -> tuple[float, float]:
    """Mean of differences, one for each image, and half the width of its 95 % interval."""
    values = np.asarray(differences, dtype=float)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return float(values.mean()), float(1.96 * error)
