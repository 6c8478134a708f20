"""How similar classifiers are: Cohen's kappa of their predictions, linear CKA of their features."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cohen_kappa(predicted: Tensor) -> Tensor:
    r"""Agreement of each pair of classifiers beyond the agreement that their class frequencies give by chance.

    .. math:: \kappa = \frac{p_o - p_e}{1 - p_e}, \qquad p_e = \sum_k p_{1k} p_{2k}

    where :math:`p_o` is the share of images with the same prediction, :math:`p_e` the share expected by chance, and
    :math:`p_{1k}` and :math:`p_{2k}` are the shares of images for which each classifier predicts class :math:`k`: 1 for
    equal predictions, 0 for independent ones. Two classifiers that always predict the same single class agree fully: 1
    by convention, though the ratio is 0 / 0.

    Args:
        predicted: Predicted class of each image by each classifier, integers, shape ``(N, C)``; all classifiers have
            the same labels.

    Returns:
        Float64, shape ``(C, C)``, symmetric, 1 on the diagonal.

    Raises:
        ValueError: If there is no image, or the shape or type is another.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales".

    Example:
        >>> cohen_kappa(torch.tensor([[0, 0], [0, 1], [1, 1], [1, 1]])).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    # written here because torchmetrics and scikit-learn take one pair, and give NaN for 0 / 0
    observed = observed_agreement(predicted)
    classes, numbers = predicted.unique(return_inverse=True)
    images, classifiers = predicted.shape
    counts = torch.zeros(classifiers, len(classes), dtype=torch.float64, device=predicted.device)
    counts.scatter_add_(1, numbers.T, torch.ones(classifiers, images, dtype=torch.float64, device=predicted.device))
    chance = (counts @ counts.T) / images**2
    constant = chance == 1
    ratio = (observed - chance) / torch.where(constant, 1, 1 - chance)
    return torch.where(constant, 1.0, ratio)


def observed_agreement(predicted: Tensor) -> Tensor:
    r"""Share of images for which each pair of classifiers predicts the same class.

    .. math:: p_o = \frac{1}{N} |\{ n : y_{1n} = y_{2n} \}|

    where :math:`y_{1n}` and :math:`y_{2n}` are the predictions of two classifiers for image :math:`n` of :math:`N`.

    Args:
        predicted: As for :func:`cohen_kappa`.

    Returns:
        Float64 in ``[0, 1]``, shape ``(C, C)``.

    Example:
        >>> observed_agreement(torch.tensor([[0, 0], [0, 1], [1, 1], [1, 1]])).tolist()
        [[1.0, 0.75], [0.75, 1.0]]
    """
    if predicted.ndim != 2 or predicted.is_floating_point() or not predicted.shape[0]:
        raise ValueError(
            f"predicted is {tuple(predicted.shape)}, {predicted.dtype}; expected integers of shape (images, "
            "classifiers), with at least one image"
        )
    return torch.stack([(predicted == one[:, None]).double().mean(dim=0) for one in predicted.T])


def hsic(x: Tensor, y: Tensor, debiased: bool = True) -> Tensor:
    r"""Hilbert-Schmidt independence criterion with linear kernels, up to a factor that depends on N only.

    .. math::
        \mathrm{HSIC}_b = \operatorname{tr}(K L), \qquad
        \mathrm{HSIC}_u = \operatorname{tr}(\tilde K \tilde L)
        + \frac{1^\top \tilde K 1 \; 1^\top \tilde L 1}{(N - 1)(N - 2)} - \frac{2}{N - 2} 1^\top \tilde K \tilde L 1

    (biased and debiased), where :math:`K` and :math:`L` hold the products of the centred features of each pair of the
    :math:`N` images, and :math:`\tilde K` and :math:`\tilde L` are the same with zeros on the diagonal.

    Memory is bounded by the smaller of two ways to the same number: through the features' products, ``(d1, d2)``, or
    through the images' products, ``(N, N)``.

    Args:
        x: Features of N images, shape ``(N, d1)``.
        y: Features of the same images, shape ``(N, d2)``.
        debiased: The unbiased estimate, which is 0 on average for independent features and can be negative; needs 4
            images. The biased one is at least 0 and grows with d / N.

    Returns:
        Float64 scalar.

    Raises:
        ValueError: If the numbers of images differ, are too few, or a value is not finite.

    Source: Gretton et al. 2005 (biased); Song et al. 2012, equation 5 (unbiased).

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
        >>> round(float(hsic(x, x, debiased=False)), 4), round(float(hsic(x, x)), 4)
        (76.5625, 18.6667)
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"features have shapes {tuple(x.shape)} and {tuple(y.shape)}; expected (N, d1) and (N, d2)")
    images, needed = len(x), 4 if debiased else 2
    if images < needed:
        raise ValueError(f"CKA of {images} images; it needs {needed} or more: raise feature_images")
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ValueError("features have values that are not finite: their network is broken")
    x, y = _without_mean(x.double()), _without_mean(y.double())
    through_images = x.shape[1] * y.shape[1] > images**2
    product = ((x @ x.T) * (y @ y.T)).sum() if through_images else (x.T @ y).square().sum()
    if not debiased:
        return product
    # as Song et al., with diagonals of 0: K̃ = K - diag(k); features are centred, so the rows of K add up to 0
    k, m = x.square().sum(dim=1), y.square().sum(dim=1)
    trace = product - (k * m).sum()
    sums = k.sum() * m.sum() / ((images - 1) * (images - 2))
    rows = (k * m).sum() * 2 / (images - 2)
    return trace + sums - rows


def linear_cka(x: Tensor, y: Tensor, debiased: bool = True) -> Tensor:
    r"""Centred kernel alignment of two sets of features: how similar the arrangement of the images is in both.

    .. math:: \mathrm{CKA}(x, y) = \frac{\mathrm{HSIC}(x, y)}{\sqrt{\mathrm{HSIC}(x, x) \, \mathrm{HSIC}(y, y)}}

    where :math:`\mathrm{HSIC}` is :func:`hsic` of the features :math:`x` and :math:`y`. CKA is 1 for features that
    differ by a rotation, a scale and a shift. The biased value of independent features is far from 0 with many features
    and few images; the debiased one is about 0.

    Args:
        x: Features of N images, shape ``(N, d1)``.
        y: Features of the same images, shape ``(N, d2)``.
        debiased: As for :func:`hsic`.

    Returns:
        Float64 scalar; NaN where features are the same for all images, or too noisy to have a positive self-similarity.

    Raises:
        ValueError: As for :func:`hsic`.

    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited".

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
        >>> round(float(linear_cka(x, 3 * x + 1)), 4), round(float(linear_cka(x, x[:, :1], debiased=False)), 4)
        (1.0, 0.4152)
    """
    return _normalised(hsic(x, y, debiased), hsic(x, x, debiased), hsic(y, y, debiased))


def cka_matrix(features: Sequence[Tensor], debiased: bool = True) -> Tensor:
    r""":func:`linear_cka` of every pair of some sets of features.

    .. math:: M_{ij} = \mathrm{CKA}(x_i, x_j)

    where :math:`x_i` is the set of features number :math:`i`.

    Args:
        features: C sets of features of the same N images, each ``(N, d)``.
        debiased: As for :func:`hsic`.

    Returns:
        Float64, shape ``(C, C)``, symmetric.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
        >>> cka_matrix([x, x[:, :1]], debiased=False).round(decimals=4).tolist()
        [[1.0, 0.4152], [0.4152, 1.0]]
    """
    count = len(features)
    values = torch.zeros(count, count, dtype=torch.float64)
    for i in range(count):
        for j in range(i + 1):
            values[i, j] = values[j, i] = hsic(features[i], features[j], debiased)
    with_itself = values.diagonal()
    return _normalised(values, with_itself[:, None], with_itself)


def _normalised(xy: Tensor, xx: Tensor, yy: Tensor) -> Tensor:
    """Alignment of x and y from similarities; NaN where one has no positive similarity with itself."""
    usable = (xx > 0) & (yy > 0)
    return torch.where(usable, xy / (xx.clamp(min=0) * yy.clamp(min=0)).sqrt(), torch.nan)


def _without_mean(features: Tensor) -> Tensor:
    """Features minus their means; exactly 0 where only rounding is left of them."""
    centred = features - features.mean(dim=0)
    return centred * (centred.norm() > 1e-12 * features.norm())
