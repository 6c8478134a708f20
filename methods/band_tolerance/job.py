"""The fits of the channels of one classifier; each is kept in a file and continues after an interruption."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from datamodules.base import UNREADABLE, ImageDataModule
from datamodules.poisoned import without_poison
from datamodules.sampling import Draw
from datamodules.subset import TrainingSubset, stratified_indices
from methods.band_tolerance.channel import EMPTY, band_powers, bits
from methods.band_tolerance.evaluation import Channel
from methods.band_tolerance.fit import BandFit, Stages
from methods.band_tolerance.transform import BandTransform, check_levels, suitable_levels
from networks.classifier import Classifier
from study import classifiers
from study.artifact import Artifact, settings_of
from study.console import say
from study.data import make_data
from study.folder import seeded, study_folder
from study.records import arrays_of, read_record
from study.step import Result, Step
from study.trainer import Length, accelerate, without_accumulation
from study.training import fitted, guards, identity_of

OF_A_FIT = (
    "labels",
    "tolerances",
    "split",
    "images",
    "batch_size",
    "first_steps",
    "steps",
    "lr",
    "later_lr",
    "weight",
    "start",
)
REACHED = 1.25  # times the tolerance, up to which it counts as reached


@dataclass(frozen=True)
class Fitted:
    """A fit that is done: T tolerances, B bands.

    Attributes:
        tolerances: In nats, ascending, ``(T,)``.
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


@dataclass(frozen=True)
class Fits:
    """The fits of one classifier.

    Attributes:
        name: Name of the classifier.
        cfg: The configuration, with the classifier's labels.
        config: The classifier's own configuration.
    """

    name: str
    cfg: DictConfig
    config: DictConfig

    @property
    def options(self) -> DictConfig:
        """The settings of the task."""
        return self.cfg.band_tolerance

    @cached_property
    def data(self) -> ImageDataModule:
        """The clean images, even if the classifier was trained on poisoned ones."""
        return without_poison(make_data(self.cfg, self.options.batch_size))

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier with its weights, frozen."""
        loaded = classifiers.load_classifier(self.cfg, self.config, self.data)
        accelerate(self.cfg, loaded)
        return loaded

    def fit(self, seed: int, wavelet: str | None = None, control: str | None = None) -> Fitted:
        """Fit with a seed, unless that is done; returns the fit.

        Args:
            seed: Of the noise and of the order of the images.
            wavelet: Another wavelet than that of the settings.
            control: Name of the control that the fit is for: it has the compared tolerance alone.
        """
        options, folder = self.options, study_folder(self.cfg)
        tolerances = [options.compared] if control else sorted(options.tolerances)
        wavelet = wavelet or options.wavelet
        root = folder.root / "band_tolerance"
        path = root / "controls" / f"{self.name}-{control}.npz" if control else root / f"{seeded(self.name, seed)}.npz"
        settings = settings_of(self.cfg) | {name: plain(options[name]) for name in OF_A_FIT}
        settings |= {"tolerances": list(tolerances), "wavelet": wavelet, "levels": options.levels, "fit_seed": seed}
        weights = classifiers.weights_fingerprint(self.cfg, self.config)
        inputs = {"images": self.data.fingerprint(), f"classifier {self.name}": weights}
        artifact = Artifact([path], path.with_suffix(".json"), settings, inputs, precious=False)
        job = folder.job(f"band_tolerance-{control}" if control else "band_tolerance", self.name, seed)
        step = Step(artifact, job, self.cfg.seed)
        step.run(lambda: self.make(step, path, seed, wavelet, tolerances))
        return read_record(Fitted, path)

    def make(self, step: Step, path: Path, seed: int, wavelet: str, tolerances: Sequence[float]) -> Result:
        """Fit, from the last checkpoint if the fit was interrupted."""
        cfg, options = without_accumulation(self.cfg), self.options
        cfg = OmegaConf.merge(cfg, {"trainer": {"limit_val_batches": 0}})
        chosen = stratified_indices(self.data.split(options.split), options.images)
        data = TrainingSubset(self.data, chosen, options.split, batch_size=options.batch_size, seed=seed)
        size = image_size(data)
        levels = options.levels or suitable_levels(*size, wavelet)
        check_levels(levels, *size, wavelet)
        transform = BandTransform(wavelet, levels)
        variance, mean = signal_statistics(data, transform)
        stages = Stages(tuple(tolerances), options.first_steps, options.steps)
        module = BandFit(
            self.classifier, transform, variance, mean, size, stages=stages, targets=options.labels,
            start=options.start, lr=options.lr, later_lr=options.later_lr, weight=options.weight, seed=seed, chunk=options.chunk,
        )  # fmt: skip
        length, identity = Length(steps=stages.total), identity_of(cfg, data, step.artifact)
        callbacks = guards(cfg, step.job, seed)
        with fitted(cfg, module, data, length=length, job=step.job, identity=identity, callbacks=callbacks):
            pass
        log_ratio, distortion = module.log_ratios().numpy(), module.distortions().numpy()
        for tolerance, reached in zip(tolerances, distortion, strict=True):
            if reached > REACHED * tolerance:
                say(
                    f"[yellow]{self.name} does not reach a tolerance of {tolerance:g}[/yellow] (it is at {reached:.3g} "
                    "nats): raise band_tolerance.first_steps, or leave it out of band_tolerance.tolerances"
                )
        made = Fitted(
            np.array(tolerances), distortion, log_ratio, variance.numpy(), mean.numpy(),
            transform.counts(*size).numpy(), np.array(size), np.array(levels), np.array(wavelet),
        )  # fmt: skip
        rate = float(made.rates()[-1].sum())
        return Result(rate, {path.name: arrays_of(made)}, unreadable=data.unreadable(), shown={"bits": round(rate)})


def plain(value: Any) -> Any:
    """A setting as JSON has it."""
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def image_size(data: ImageDataModule) -> tuple[int, int]:
    """Height and width of the images of the training split, in pixels."""
    image, *_ = data.split("train")[Draw(0, 0)]
    return image.shape[-2], image.shape[-1]


@torch.no_grad()
def signal_statistics(data: TrainingSubset, transform: BandTransform) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean square of the coefficients of each band over the images of a fit, and the mean of the low-pass.

    Returns:
        float64, ``(bands, 3)``, the low-pass about its mean; and ``(3,)``.

    Raises:
        ValueError: If fewer than two images can be read, or nothing varies from image to image.
    """
    split, powers, means = data.split("train"), [], []
    for position in range(len(split)):
        image, label, _ = split[Draw(position, position)]
        if label == UNREADABLE:
            continue
        bands = transform.analyse(image[None].double() / 255)
        powers.append(band_powers(bands, torch.zeros(3, dtype=torch.float64))[0])
        means.append(bands[-1][0].mean(dim=(1, 2)))
    if len(powers) < 2:
        raise ValueError(
            f"task=band_tolerance: {len(powers)} image to fit on, and what varies cannot be known from fewer than two: "
            "use more images, or band_tolerance.split=train"
        )
    mean, variance = torch.stack(means).mean(dim=0), torch.stack(powers).mean(dim=0)
    variance[-1] -= mean**2
    if not (variance > EMPTY).any():
        raise ValueError("task=band_tolerance: the images are all the same colour all over: use other images")
    return variance, mean
