"""The fits of the channels of one classifier; each is kept in a file and continues after an interruption."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from datamodules.views.subset import ImagesInMemory, stratified_indices
from methods.band_tolerance.channel import EMPTY, band_powers, bits
from methods.band_tolerance.evaluation import Channel
from methods.band_tolerance.fit import BandFit, Stages
from methods.band_tolerance.transform import BandTransform, suitable_levels, too_small
from networks.classifier import Classifier
from study import classifiers
from study.artifact import Artifact, settings_of
from study.console import say
from study.data import images_at_once
from study.folder import seeded, study_folder
from study.one_classifier import OneClassifier
from study.records import arrays_of, read_record
from study.step import Result, Step
from study.trainer import Length, without_accumulation
from study.training import fitted, guards, identity_of

OF_A_FIT = (
    "labels", "tolerances", "split", "images", "batch_size", "first_steps", "steps", "lr", "later_lr", "weight",
    "start",
)  # fmt: skip
BATCH = 32  # images
PIXELS_AT_ONCE = 4 * 224**2  # in the forward and backward pass: memory of about 0.5 GiB in a network of 0.4 GMAC
LEAST_INFORMATION = 1e-6  # nats; below it, answers differ by rounding alone
REACHED = 1.25  # times the tolerance, up to which it counts as reached


@dataclass(frozen=True)
class Fitted:
    """A fit that is done: T tolerances, B bands.

    Attributes:
        tolerances: In nats, ascending, ``(T,)``.
        scale: What they were multiplied by, ``()``: 1, but for random weights, see :meth:`Fits.tolerance_scale`.
        distortion: Mean D in the steps that log ρ is the mean of, in nats, ``(T,)``.
        log_ratio: log ρ, ``(T, B, 3)``.
        variance: :math:`s_b^2` of the images of the fit, ``(B, 3)``.
        mean: Of their low-pass, ``(3,)``.
        counts: Coefficients of an image in each band, ``(B, 1)``.
        size: Height and width of the images, in pixels, ``(2,)``.
        levels: Number of scales, ``()``.
        wavelet: Name of the wavelet, ``()``.
    """

    tolerances: np.ndarray
    scale: np.ndarray
    distortion: np.ndarray
    log_ratio: np.ndarray
    variance: np.ndarray
    mean: np.ndarray
    counts: np.ndarray
    size: np.ndarray
    levels: np.ndarray
    wavelet: np.ndarray

    @property
    def transform(self) -> BandTransform:
        """Its bands."""
        return BandTransform(str(self.wavelet), int(self.levels))

    def rates(self) -> np.ndarray:
        """Bits per image in each band at each tolerance, ``(T, B, 3)``."""
        arrays = (torch.from_numpy(array) for array in (self.counts, self.log_ratio, self.variance))
        return bits(*arrays).numpy()

    def channel(self, log_ratio: np.ndarray | torch.Tensor, readers: Sequence[int]) -> Channel:
        """A channel with other ratios, for some classifiers."""
        variance, mean = torch.from_numpy(self.variance).float(), torch.from_numpy(self.mean).float()
        return Channel(self.transform, torch.as_tensor(log_ratio).float(), variance, mean, readers)


class Fits(OneClassifier):
    """The fits of one classifier."""

    @property
    def options(self) -> DictConfig:
        """The settings of the task."""
        return self.cfg.band_tolerance

    def possible_tolerances(self) -> list[float]:
        """The tolerances, ascending; those above what guessing costs are left out, and that is said."""
        classes = len(self.data.classes) if self.config.classes is None else int(self.config.classes)
        check_compared(self.options.compared, classes)
        most = most_tolerance(classes)
        if above := [f"{tolerance:g}" for tolerance in sorted(self.options.tolerances) if tolerance >= most]:
            say(
                f"[yellow]{self.name}: no tolerance of {', '.join(above)} nats[/yellow]: among {classes} classes, "
                f"guessing costs {most:.3g}"
            )
        return [tolerance for tolerance in sorted(self.options.tolerances) if tolerance < most]

    def fit(self, seed: int, wavelet: str | None = None, control: str | None = None) -> Fitted:
        """Fit with a seed, unless that is done; returns the fit.

        Args:
            seed: Of the noise and of the order of the images.
            wavelet: Another wavelet than that of the settings.
            control: Name of the control that the fit is for: it has the compared tolerance alone.
        """
        options, folder = self.options, study_folder(self.cfg)
        tolerances = [options.compared] if control else self.possible_tolerances()
        wavelet = wavelet or options.wavelet
        root = folder.root / "band_tolerance"
        path = root / "controls" / f"{self.name}-{control}.npz" if control else root / f"{seeded(self.name, seed)}.npz"
        settings = settings_of(self.cfg) | {name: plain(options[name]) for name in OF_A_FIT}
        settings |= {"tolerances": list(tolerances), "wavelet": wavelet, "levels": options.levels, "fit_seed": seed}
        artifact = Artifact([path], path.with_suffix(".json"), settings, self.inputs, precious=False)
        job = folder.job(f"band_tolerance-{control}" if control else "band_tolerance", self.name, seed)
        step = Step(artifact, job, self.cfg.seed)
        step.run(lambda: self.make(step, path, seed, wavelet, tolerances))
        return read_record(Fitted, path)

    def tolerance_scale(self, data: ImagesInMemory) -> float:
        """What tolerances are multiplied by: for random weights, the share of a full decision that the answers carry.

        A network with random weights gives all classes nearly the same probability, so that nothing that is done to
        its input changes its answers by the tolerances of a trained network.
        """
        if self.config.weights != classifiers.RANDOM or self.options.labels == "labels":
            return 1.0
        information = answer_information(self.classifier, data)
        if information < LEAST_INFORMATION:  # it answers alike on everything: any tolerance is kept at 0 bits
            return 1.0
        return information / math.log(max(2, len(self.data.classes)))

    def make(self, step: Step, path: Path, seed: int, wavelet: str, tolerances: Sequence[float]) -> Result:
        """Fit, from the last checkpoint if the fit was interrupted."""
        cfg, options = without_accumulation(self.cfg), self.options
        chosen = stratified_indices(self.data.split(options.split), options.images)
        data = ImagesInMemory(self.data, chosen, options.split, batch_size=options.batch_size, seed=seed)
        size = (data.pixels.shape[-2], data.pixels.shape[-1])
        levels = options.levels or suitable_levels(*size, wavelet)
        if reason := too_small(levels, *size, wavelet):
            raise ValueError(f"task=band_tolerance: {reason}")
        transform = BandTransform(wavelet, levels)
        variance, mean = signal_statistics(data, transform)
        scale = self.tolerance_scale(data)
        scaled = tuple(scale * tolerance for tolerance in tolerances)
        stages = Stages(scaled, options.first_steps, options.steps)
        how = {name: options[name] for name in ("start", "lr", "later_lr", "weight")}
        how["chunk"] = images_at_once(options.chunk, size[0] * size[1], PIXELS_AT_ONCE)
        module = BandFit(
            self.classifier, transform, variance, mean, size,
            stages=stages, targets=options.labels, seed=seed, images=(data.pixels, data.index), **how,
        )  # fmt: skip
        length, identity = Length(steps=stages.total), identity_of(cfg, data, step.artifact)
        callbacks = guards(cfg, step.job, seed)
        with fitted(cfg, module, data, length=length, job=step.job, identity=identity, callbacks=callbacks):
            pass
        log_ratio, distortion = module.log_ratios().numpy(), module.distortions().numpy()
        for number, (tolerance, reached) in enumerate(zip(scaled, distortion, strict=True)):
            if reached > REACHED * tolerance:
                say(
                    f"[yellow]{self.name} does not reach a tolerance of {tolerance:.3g}[/yellow] (it is at "
                    f"{reached:.3g} nats): raise band_tolerance.{'steps' if number else 'first_steps'}, or leave it "
                    "out of band_tolerance.tolerances"
                )
        made = Fitted(
            np.array(tolerances), np.array(scale), distortion, log_ratio, variance.numpy(), mean.numpy(),
            transform.counts(*size).numpy(), np.array(size), np.array(levels), np.array(wavelet),
        )  # fmt: skip
        rate = float(made.rates()[-1].sum())
        return Result(rate, {path.name: arrays_of(made)}, unreadable=data.unreadable(), shown={"bits": round(rate)})


def check_compared(compared: float, classes: int) -> None:
    """Refuse a compared tolerance above what guessing costs.

    Raises:
        ValueError: Says what it costs.
    """
    if compared >= most_tolerance(classes):
        raise ValueError(
            f"band_tolerance.compared={compared:g}: among {classes} classes, guessing costs "
            f"{most_tolerance(classes):.3g} nats: give a lower one"
        )


def most_tolerance(classes: int) -> float:
    """The KL divergence of guessing, in nats, from a network that is sure: no tolerance is above it."""
    return math.log(max(2, classes))


@torch.no_grad()
def answer_information(classifier: Classifier, data: ImagesInMemory) -> float:
    r"""What the answers of a classifier tell about the images, in nats: the mean of :math:`KL(p(x) \| \bar p)`.

    Here :math:`p(x)` are the probabilities of the classes for image :math:`x` and :math:`\bar p` is their mean.
    """
    answers = torch.cat([classifier(part.float() / 255).double().softmax(dim=1) for part in data.pixels.split(BATCH)])
    mean = answers.mean(dim=0, keepdim=True)
    return float((torch.special.xlogy(answers, answers) - torch.special.xlogy(answers, mean)).sum(dim=1).mean())


def plain(value: Any) -> Any:
    """A setting as JSON has it."""
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


@torch.no_grad()
def signal_statistics(data: ImagesInMemory, transform: BandTransform) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean square of the coefficients of each band over the images of a fit, and the mean of the low-pass.

    Returns:
        float64, ``(bands, 3)``, the low-pass about its mean; and ``(3,)``.

    Raises:
        ValueError: If fewer than two images can be read, or nothing varies from image to image.
    """
    if len(data.pixels) < 2:
        raise ValueError(
            "task=band_tolerance: one image to fit on, and what varies cannot be known from fewer than two: use more "
            "images, or band_tolerance.split=train"
        )
    powers, means = [], []
    for part in data.pixels.split(BATCH):
        bands = transform.analyse(part.double() / 255)
        powers.append(band_powers(bands, torch.zeros(3)))
        means.append(bands[-1].mean(dim=(2, 3)))
    mean, variance = torch.cat(means).mean(dim=0), torch.cat(powers).mean(dim=0)
    variance[-1] -= mean**2
    if not (variance > EMPTY).any():
        raise ValueError("task=band_tolerance: the images are all the same colour all over: use other images")
    return variance, mean
