"""What passes the fitted channels, classified: one pass over the test images for all channels and classifiers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightning_modules.finiteness import check_finite
from lightning_modules.image_test import ImageTest
from lightning_modules.per_image_results import PerImageResults
from methods.band_tolerance.channel import band_noise, band_powers, transmit
from methods.band_tolerance.fit import divergence
from methods.band_tolerance.transform import COLOURS, BandTransform

UNREAD = -1  # prediction of a classifier that does not see a row


@dataclass(frozen=True)
class Channel:
    """A channel that images pass.

    Attributes:
        transform: Its bands.
        log_ratio: log ρ, ``(bands, 3)``.
        variance: :math:`s_b^2` of the images that it was fitted on, ``(bands, 3)``.
        mean: Of their low-pass, ``(3,)``.
        readers: Positions of the classifiers that see what passes.
    """

    transform: BandTransform
    log_ratio: Tensor
    variance: Tensor
    mean: Tensor
    readers: Sequence[int]

    def on(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give log ρ, variance and mean, of the type and on the device of images."""
        return self.log_ratio.to(images), self.variance.to(images), self.mean.to(images)


@dataclass(frozen=True)
class Passed:
    """Predictions for N test images by C classifiers, of the originals and of what passes each of R channels.

    Attributes:
        index: Position of each image in its split, ``(N,)``.
        labels: The right class of each image for each classifier, ``(N, C)``.
        decisions: Predictions for the originals, ``(N, C)``.
        predicted: Predictions for what passes, ``(N, R, C)``; -1 where a classifier does not see it.
        divergence: KL divergence of the probabilities for the original from those for what passes, in nats,
            ``(N, R, C)``; NaN where a classifier does not see it.
        powers: Mean square of the coefficients of each image in each band, by wavelet, ``(N, bands, 3)``.
    """

    index: np.ndarray
    labels: np.ndarray
    decisions: np.ndarray
    predicted: np.ndarray
    divergence: np.ndarray
    powers: dict[str, np.ndarray]


class BandEvaluation(ImageTest):
    """Sends test images through channels and shows each to its readers; the result is in ``result``.

    The noise depends on the seed and the image's index alone: channels of one wavelet share it, so that their
    differences are not differences of noise.

    Args:
        classifiers: In the order of the columns; frozen.
        channels: In the order of the rows.
        images: Positions of the test images that are seen, ascending.
        complete: Whether every image must be seen; otherwise images that were not seen are left out of the result.
        targets: The right class of each image of the split for each classifier, ``(images, C)``; ``None``: the labels.
        seed: Of the noise.

    Raises:
        ValueError: In ``measure``, when a logit is not finite; names the classifier and the image.
    """

    result: Passed
    targets: Tensor | None

    def __init__(
        self,
        classifiers: Mapping[str, nn.Module],
        channels: Sequence[Channel],
        images: Sequence[int],
        *,
        complete: bool,
        targets: Tensor | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.names, self.channels, self.seed = list(classifiers), list(channels), seed
        self.classifiers = nn.ModuleList(classifiers.values())
        self.freeze_parts("classifiers")
        self.register_buffer("targets", targets, persistent=False)
        self.transforms = {channel.transform.wavelet: channel for channel in channels}  # one channel of each
        r, c = len(channels), len(classifiers)
        powers = {wavelet: ((len(one.transform.bands), len(COLOURS)), torch.float64) for wavelet, one in self.each()}
        self.per_image = PerImageResults(
            images,
            complete,
            labels=((c,), torch.long),
            decisions=((c,), torch.long),
            predicted=((r, c), torch.long),
            divergence=((r, c), torch.float64),
            **powers,
        )

    def each(self) -> list[tuple[str, Channel]]:
        """One channel of each wavelet, by the name under which its powers are kept."""
        return [(f"powers_{wavelet}", channel) for wavelet, channel in self.transforms.items()]

    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Classify one batch and what passes of it."""
        count, size = len(self.classifiers), (images.shape[-2], images.shape[-1])
        images = images.float()
        targets = labels[:, None].expand(-1, count) if self.targets is None else self.targets[index]
        clean = [self.logits(column, images, index, "the originals") for column in range(count)]
        predicted = index.new_full((len(images), len(self.channels), count), UNREAD)
        changes = torch.full(predicted.shape, torch.nan, dtype=torch.float64, device=images.device)
        powers = {}
        for name, of_wavelet in self.each():
            transform = of_wavelet.transform
            bands = transform.analyse(images)
            powers[name] = band_powers(bands, of_wavelet.mean.to(images))
            noise = band_noise(bands, index, self.seed)
            for row, channel in enumerate(self.channels):
                if channel.transform.wavelet != transform.wavelet:
                    continue
                log_ratio, variance, mean = channel.on(images)
                passed = transmit(transform, bands, noise, log_ratio, variance, mean, size)
                for column in channel.readers:
                    logits = self.logits(column, passed, index, "what passes")
                    predicted[:, row, column] = logits.argmax(dim=1)
                    changes[:, row, column] = divergence(clean[column].double(), logits.double())
        decisions = torch.stack([logits.argmax(dim=1) for logits in clean], dim=1)
        results = {"labels": targets, "decisions": decisions, "predicted": predicted, "divergence": changes}
        self.per_image.update(index, **results, **powers)

    def logits(self, column: int, images: Tensor, index: Tensor, what: str) -> Tensor:
        """The output of one classifier, which must be finite."""
        logits: Tensor = self.classifiers[column](images)
        check_finite(logits, index, f"the output of classifier {self.names[column]!r}, fed with {what},")
        return logits

    def on_test_epoch_end(self) -> None:
        """Put the ranks' results together."""
        index, values = self.per_image.compute()
        powers = {name.removeprefix("powers_"): values.pop(name) for name, _ in self.each()}
        self.result = Passed(index, **values, powers=powers)
