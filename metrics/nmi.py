"""Normalised mutual information (nMI) between the intensities of two images.

scikit-learn and scikit-image compute it for one pair at a time on the CPU, and are what the tests compare with.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from metrics.checks import check_bins, check_range
from metrics.fixed_dtype import FixedDtypeMetric

Channels = Literal["flatten", "grey", "separate"]
Definition = Literal["geometric", "arithmetic", "min", "max", "joint", "studholme"]
Quantisation = Literal["uint8", "float"]

TEMPORARY_BYTES = 256 * 2**20


def quantise(images: Tensor, bins: int, quantisation: Quantisation) -> Tensor:
    r"""Give each value, which the caller has checked, the number of its intensity bin.

    .. math:: q(v) = \left\lfloor \frac{B \operatorname{round}(255 v)}{256} \right\rfloor \quad \text{or} \quad
        q(v) = \min(\lfloor B v \rfloor, B - 1)

    where :math:`v` is a value and :math:`B` the number of bins: the first for ``uint8``, the second for ``float``.

    Args:
        images: Floats in ``[0, 1]`` of any shape; half precision is converted to float32 before it is binned.
        bins: Equal-width intensity bins.
        quantisation: ``uint8`` rounds to 0..255, as saving the image would, and bins those; ``float`` bins directly.

    Returns:
        Bin numbers from 0 to ``bins - 1``, int64, same shape as ``images``.

    Example:
        >>> quantise(torch.tensor([0.0, 0.3, 0.5, 1.0]), bins=4, quantisation="uint8").tolist()
        [0, 1, 2, 3]
    """
    values = images if images.dtype == torch.float64 else images.float()
    if quantisation == "uint8":
        return (values * 255).round().long() * bins // 256
    return (values * bins).floor().long().clamp(max=bins - 1)


def joint_histogram(
    x: Tensor,
    y: Tensor,
    bins: int,
    quantisation: Quantisation = "uint8",
    channels: Channels = "flatten",
) -> Tensor:
    r"""Count how often intensity ``i`` in ``x`` meets intensity ``j`` in ``y``.

    .. math:: c_{ij} = |\{ p : q(x_p) = i, \; q(y_p) = j \}|

    where :math:`x_p` and :math:`y_p` are the values of the two images at position :math:`p`, and :math:`q` gives the
    number of a value's bin (:func:`quantise`).

    Args:
        x: Images in ``[0, 1]``, shape ``(N, ...)``; ``(N, 3, H, W)`` for grey, ``(N, C, ...)`` for separate channels.
        y: Images in ``[0, 1]``, same shape as ``x``.
        bins: Equal-width intensity bins per image.
        quantisation: As for :func:`quantise`.
        channels: ``flatten`` pools the values of all channels, ``grey`` counts the ITU-R 601 luma (PIL's ``L``),
            ``separate`` counts each channel on its own.

    Returns:
        Counts, int64, shape ``(N, bins, bins)``, rows indexed by ``x``; ``(N, C, bins, bins)`` for separate channels.

    Raises:
        ValueError: If the shapes differ, a value is not finite or leaves ``[0, 1]``, or an option is unknown.

    Example:
        >>> x, y = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[0.0, 1.0, 1.0, 1.0]])
        >>> joint_histogram(x, y, bins=2).tolist()
        [[[1, 1], [0, 2]]]
    """
    _check_options(bins, quantisation, channels)
    _check_pair(x, y, channels)
    return _count(x, y, bins, quantisation, channels)


def mutual_information_ratio(counts: Tensor, definition: Definition = "geometric") -> Tensor:
    r"""Normalise the mutual information of two images by their entropies or their joint entropy.

    .. math::
        \frac{I}{\sqrt{H_x H_y}}, \quad \frac{2 I}{H_x + H_y}, \quad \frac{I}{\min(H_x, H_y)}, \quad
        \frac{I}{\max(H_x, H_y)}, \quad \frac{I}{H_{xy}}, \quad \frac{H_x + H_y}{H_{xy}}; \qquad
        I = H_x + H_y - H_{xy}, \quad H = - \sum_i p_i \ln p_i

    are the definitions ``geometric``, ``arithmetic``, ``min``, ``max``, ``joint`` (all in [0, 1]) and ``studholme``
    (in [1, 2]), where :math:`I` is the mutual information, :math:`H_x` and :math:`H_y` are the entropies of the two
    images, :math:`H_{xy}` is their joint entropy, and :math:`p_i` the share of values in bin :math:`i`. Two constant
    images agree fully (1; studholme 2), a constant and another one not at all (0; studholme 1).

    Args:
        counts: Joint counts, shape ``(..., bins, bins)``; none may be empty.
        definition: Which ratio.

    Returns:
        Ratios, float64, of shape ``(...)``.

    Raises:
        ValueError: If the definition is unknown.

    Source: Strehl & Ghosh 2002 (geometric); Studholme et al. 1999; the others as in scikit-learn.

    Example:
        >>> counts = torch.tensor([[1, 1], [0, 2]])
        >>> [round(float(mutual_information_ratio(counts, name)), 4) for name in ("geometric", "joint", "studholme")]
        [0.3456, 0.2075, 1.2075]
    """
    _check_choice("definition", definition, get_args(Definition))
    if definition == "studholme":
        return 1 + mutual_information_ratio(counts, "joint")
    total = counts.sum((-2, -1))
    entropy_x = _entropy(counts.sum(-1), total)
    entropy_y = _entropy(counts.sum(-2), total)
    entropy_xy = _entropy(counts.flatten(-2), total)
    information = (entropy_x + entropy_y - entropy_xy).clamp(min=0)
    scales = {
        "geometric": (entropy_x * entropy_y).sqrt(),
        "arithmetic": (entropy_x + entropy_y) / 2,
        "min": torch.minimum(entropy_x, entropy_y),
        "max": torch.maximum(entropy_x, entropy_y),
        "joint": entropy_xy,
    }
    ratio = (information / scales[definition]).clamp(max=1)  # rounding must not give more than full agreement
    constant_x, constant_y = entropy_x == 0, entropy_y == 0
    agreement = (constant_x & constant_y).to(ratio)
    return torch.where(constant_x | constant_y, agreement, ratio)


def normalized_mutual_information(
    x: Tensor,
    y: Tensor,
    *,
    bins: int,
    definition: Definition = "geometric",
    channels: Channels = "flatten",
    quantisation: Quantisation = "uint8",
) -> Tensor:
    r"""How much the intensities of one image tell about those of another, from 0 (nothing) to 1 (everything).

    .. math:: \mathrm{nMI}(x, y) = \frac{I(x; y)}{\sqrt{H(x) H(y)}}

    where :math:`I` is the mutual information of the intensities at the same positions of the images :math:`x` and
    :math:`y`, and :math:`H` the entropy of one image's; :func:`mutual_information_ratio` has other definitions.

    The estimate is biased upward. For unrelated images the mutual information is about :math:`(B - 1)^2 / (2 n)` nats,
    for :math:`B` bins and :math:`n` values: report the nMI of unrelated images beside it.

    Args:
        x: Images in ``[0, 1]``, shape ``(N, ...)``; ``(N, 3, H, W)`` for grey, ``(N, C, ...)`` for separate channels.
        y: Images in ``[0, 1]``, same shape as ``x``.
        bins: Equal-width intensity bins per image.
        definition: As for :func:`mutual_information_ratio`.
        channels: As for :func:`joint_histogram`; with ``separate`` the values of the channels are averaged.
        quantisation: As for :func:`quantise`.

    Returns:
        One value per pair, float64, of shape ``(N,)``.

    Raises:
        ValueError: If the shapes differ, a value is not finite or leaves ``[0, 1]``, or an option is unknown.

    Source: arXiv 1803.08337, section 3; Strehl & Ghosh 2002.

    Example:
        >>> x, y = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2), torch.tensor([[0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
        >>> normalized_mutual_information(x, y, bins=2).round(decimals=4).tolist()
        [0.3456, 1.0]
    """
    _check_options(bins, quantisation, channels, definition)
    _check_pair(x, y, channels)
    chunk = _images_at_once(x, bins, channels)
    pairs = zip(x.split(chunk), y.split(chunk), strict=True)
    counts = (_count(part_x, part_y, bins, quantisation, channels) for part_x, part_y in pairs)
    ratios = torch.cat([mutual_information_ratio(part, definition) for part in counts])
    return ratios.mean(1) if channels == "separate" else ratios


class NormalizedMutualInformation(FixedDtypeMetric):
    r"""Mean and standard deviation of :func:`normalized_mutual_information` over image pairs.

    .. math:: m = \frac{1}{n} \sum_k v_k, \qquad s = \sqrt{\frac{\sum_k v_k^2 - m \sum_k v_k}{n - 1}}

    where :math:`v_k` is the value of pair :math:`k` and :math:`n` the number of pairs.

    Args:
        bins: Equal-width intensity bins per image.
        definition: As for :func:`mutual_information_ratio`.
        channels: As for :func:`normalized_mutual_information`.
        quantisation: As for :func:`quantise`.
        **metric_options: As for ``torchmetrics.Metric``.

    Raises:
        ValueError: If an option is unknown.

    Example:
        >>> x, y = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2), torch.tensor([[0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
        >>> metric = NormalizedMutualInformation(bins=2)
        >>> metric.update(x, y)
        >>> {name: round(float(value), 4) for name, value in metric.compute().items()}
        {'mean': 0.6728, 'std': 0.4627}
    """

    value_sum: Tensor
    square_sum: Tensor
    count: Tensor

    def __init__(
        self,
        *,
        bins: int,
        definition: Definition = "geometric",
        channels: Channels = "flatten",
        quantisation: Quantisation = "uint8",
        **metric_options: Any,
    ) -> None:
        super().__init__(**metric_options)
        _check_options(bins, quantisation, channels, definition)
        self.bins, self.definition, self.channels, self.quantisation = bins, definition, channels, quantisation
        self.add_state("value_sum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("square_sum", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add a batch of image pairs, as for :func:`normalized_mutual_information`."""
        values = normalized_mutual_information(
            x, y, bins=self.bins, definition=self.definition, channels=self.channels, quantisation=self.quantisation
        )
        self.value_sum = self.value_sum + values.sum()
        self.square_sum = self.square_sum + values.square().sum()
        self.count = self.count + len(values)

    def compute(self) -> dict[str, Tensor]:
        """Return ``mean`` and ``std`` over all pairs, float64 scalars.

        The deviation is the sample's (``n - 1``), and 0 for a single pair.

        Raises:
            RuntimeError: If there was no pair.
        """
        if self.count == 0:
            raise RuntimeError("normalised mutual information of no image pairs; call update first")
        mean = self.value_sum / self.count
        variance = (self.square_sum - self.value_sum * mean) / (self.count - 1).clamp(min=1)
        return {"mean": mean, "std": variance.clamp(min=0).sqrt()}


def _entropy(counts: Tensor, total: Tensor) -> Tensor:
    """Entropy in nats over the last dimension; exactly 0 if and only if one bin holds everything."""
    return torch.special.entr(counts.double() / total.double().unsqueeze(-1)).sum(-1)


def _count(x: Tensor, y: Tensor, bins: int, quantisation: Quantisation, channels: Channels) -> Tensor:
    """Joint histogram of checked images."""
    values_x, values_y = _by_group(x, channels), _by_group(y, channels)
    groups = values_x.shape[:2]
    row = torch.arange(groups.numel(), device=x.device).reshape(*groups, 1)
    joint_bin = (row * bins + quantise(values_x, bins, quantisation)) * bins
    joint_bin += quantise(values_y, bins, quantisation)
    counts = torch.bincount(joint_bin.flatten(), minlength=groups.numel() * bins**2).reshape(*groups, bins, bins)
    return counts if channels == "separate" else counts.squeeze(1)


def _by_group(images: Tensor, channels: Channels) -> Tensor:
    """Values that share a histogram, shape ``(N, groups, values)``."""
    if channels == "separate":
        return images.flatten(2)
    if channels == "grey":
        images = _luma(images)
    return images.flatten(1).unsqueeze(1)


def _luma(images: Tensor) -> Tensor:
    """ITU-R 601 luma of ``(N, 3, H, W)`` with PIL's weights, which sum to 1 exactly."""
    weights = torch.tensor([19595, 38470, 7471], dtype=torch.float64, device=images.device) / 65536
    return (images.double() * weights.reshape(3, 1, 1)).sum(1)


def _images_at_once(images: Tensor, bins: int, channels: Channels) -> int:
    """How many pairs keep their counts, probabilities and bin numbers within ``TEMPORARY_BYTES``."""
    groups = images.shape[1] if channels == "separate" else 1
    numbers = 4 * groups * bins**2 + 6 * images[:1].numel()
    return max(1, TEMPORARY_BYTES // (8 * numbers or 1))


def _check_options(
    bins: int, quantisation: Quantisation, channels: Channels, definition: Definition = "geometric"
) -> None:
    check_bins(bins)
    _check_choice("quantisation", quantisation, get_args(Quantisation))
    _check_choice("channels", channels, get_args(Channels))
    _check_choice("definition", definition, get_args(Definition))


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}; expected one of {', '.join(choices)}")


def _check_pair(x: Tensor, y: Tensor, channels: Channels) -> None:
    if x.shape != y.shape:
        raise ValueError(f"x has shape {tuple(x.shape)} but y has {tuple(y.shape)}; expected pairs of equal shape")
    if x.ndim < 2 or not x.shape[1:].numel():
        raise ValueError(f"images have shape {tuple(x.shape)}; expected (N, ...) with at least one value per image")
    if channels == "grey" and (x.ndim != 4 or x.shape[1] != 3):
        raise ValueError(f"images have shape {tuple(x.shape)}; expected (N, 3, H, W) for channels=grey")
    if channels == "separate" and x.ndim < 3:
        raise ValueError(f"images have shape {tuple(x.shape)}; expected (N, C, ...) for channels=separate")
    check_range("x", x)
    check_range("y", y)
