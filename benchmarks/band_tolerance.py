"""Seconds, memory and scaling of band tolerance for an ImageNet network of 0.4 GMAC at 224 pixels, on a CPU.

python benchmarks/band_tolerance.py --weights lite0.safetensors --out lite0
python benchmarks/band_tolerance.py --tiny                                   the same, small: numbers mean nothing

The images are square crops, of several scales, of the colour photographs in scikit-image and scikit-learn: channels are
fitted on crops of one half of each photograph, and evaluated on crops of the other half. Labels are not used. All
settings are the task's defaults, unless arguments change them. Without --weights, weights are random, which costs the
same, and the bits mean nothing. Prints Markdown; --out keeps curve.csv, spectrum.csv and bits.csv.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from sklearn.datasets import load_sample_images
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datamodules.base import ImageDataModule, ImageDataset, Split, TensorSplit
from datamodules.photographs import PHOTOGRAPHS, photograph
from datamodules.views.subset import ImagesInMemory
from methods.band_tolerance import measures
from methods.band_tolerance.evaluation import BandEvaluation, Passed
from methods.band_tolerance.fit import BandFit, Stages
from methods.band_tolerance.job import PIXELS_AT_ONCE, Fitted, signal_statistics
from methods.band_tolerance.rows import SPREADS, Row, rows_of_fits, rows_of_spreads
from methods.band_tolerance.settings import BandTolerance
from methods.band_tolerance.transform import COLOURS, BandTransform, suitable_levels
from networks.classifier import Classifier, Preprocessing, freeze
from networks.timm_classifiers import pretrained_config, timm_network
from networks.weights import load_weights
from stats.intervals import Resampling
from study.data import images_at_once
from study.trainer import Length, make_trainer

NAME = "tf_efficientnet_lite0"
SMALLEST_CROP = 96  # pixels of a photograph: a smaller square is mostly blur at 224 pixels


class Crops(ImageDataModule):
    """Crops of photographs, each resized to one size: one half of each photograph for ``train``, one for ``test``.

    Args:
        counts: Images of ``train`` and of ``test``.
        size: Of the images, in pixels.
        **options: See :class:`~datamodules.base.ImageDataModule`.
    """

    labelled = False

    def __init__(self, counts: tuple[int, int], size: int, **options: Any) -> None:
        super().__init__(**options)
        whole = [image for image in map(photograph, PHOTOGRAPHS) if not (image[0] == image[1]).all()]
        whole += [torch.from_numpy(pixels.transpose(2, 0, 1).copy()) for pixels in load_sample_images().images]
        self.classes, self.smallest_side = [str(number) for number in range(len(whole))], size
        generator = torch.Generator().manual_seed(self.seed)
        self.splits = {}
        for half, count in enumerate(counts):
            labels = torch.arange(count) % len(whole)
            images = torch.stack([crop(half_of(whole[label], half), size, generator) for label in labels])
            self.splits["test" if half else "train"] = TensorSplit(images, labels, size)

    def split(self, name: Split) -> ImageDataset:
        """The crops of one half of the photographs."""
        return self.splits["train" if name == "train" else "test"]


def half_of(image: Tensor, half: int) -> Tensor:
    """The first or the second half of an image ``(3, H, W)``, cut across its longer side."""
    return image.tensor_split(2, dim=1 if image.shape[1] > image.shape[2] else 2)[half]


def crop(image: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A random square of an image ``(3, H, W)``, of a random size, as ``(3, size, size)``."""
    most = min(image.shape[1:])
    scale, top, left = torch.rand(3, generator=generator).tolist()
    side = round(min(SMALLEST_CROP, most) * (most / min(SMALLEST_CROP, most)) ** scale)
    top, left = (int(share * (free - side + 1)) for share, free in zip((top, left), image.shape[1:], strict=True))
    square = image[None, :, top : top + side, left : left + side].float()
    resized = F.interpolate(square, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return resized[0].round().clamp(0, 255).byte()


class StepTimes(pl.Callback):
    """The seconds of all cores that each training step takes: other work on the machine changes them little."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the time."""
        self.ends.append(time.process_time())

    @property
    def median(self) -> float:
        """Median seconds of a step, without the first two."""
        return statistics.median(np.diff(self.ends[1:]))


@dataclass(frozen=True)
class Cost:
    """What a part took: seconds by the clock, seconds of all cores."""

    wall: float
    cpu: float

    @classmethod
    def since(cls, start: "Cost") -> "Cost":
        """From then to now."""
        now = cls.now()
        return cls(now.wall - start.wall, now.cpu - start.cpu)

    @classmethod
    def now(cls) -> "Cost":
        """The clocks."""
        return cls(time.perf_counter(), time.process_time())


def main() -> None:
    """Measure what the arguments ask for."""
    options = parse()
    torch.manual_seed(options.seed)
    if options.threads:
        torch.set_num_threads(options.threads)
    classifier = network(options.weights)
    with torch.no_grad():
        classifier(torch.rand(1, 3, options.size, options.size))
    loaded = memory("VmRSS")
    weights = options.weights.name if options.weights else "random weights"
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads, seed {options.seed}; {NAME}, {weights}; ")
    say(f"{options.images} images to fit on and {options.evaluation_images} others, of {options.size} pixels; ")
    say(f"{options.first_steps} + {len(options.tolerances) - 1} × {options.steps} steps ")
    say(f"of {options.batch_size} images, {images_at_once(options.chunk, options.size**2, PIXELS_AT_ONCE)} at once\n\n")
    data = crops(options, options.size, (options.images, options.evaluation_images))
    fitted = reported("fit", lambda: fit(options, classifier, data, times=None))
    rows = list(rows_of_fits([NAME], {NAME: {options.seed: fitted}}, options.compared))
    passed = reported("evaluation", lambda: evaluated(options, classifier, data, rows))
    say(f"\nPeak memory above the network: {(memory('VmHWM') - loaded) / 2**30:.2f} GiB\n")
    if "spreads" in options.parts:
        rows += rows_of_spreads([NAME], {NAME: fitted}, list(SPREADS), options.compared)
        passed = reported(
            "evaluation, with even bits and water-filling", lambda: evaluated(options, classifier, data, rows)
        )
    results(options, passed, rows)
    if "scaling" in options.parts:
        scaling(options, classifier)


def parse() -> argparse.Namespace:
    """The command line; its defaults are those of the task, or small ones."""
    defaults = BandTolerance()
    tiny = "--tiny" in sys.argv
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help=f"state dict of timm's {NAME}, .safetensors or .pth")
    parser.add_argument("--tiny", action="store_true", help="small numbers for all that follows")
    parser.add_argument("--size", type=int, default=64 if tiny else 224, help="pixels")
    parser.add_argument("--images", type=int, default=8 if tiny else defaults.images)
    parser.add_argument("--evaluation-images", type=int, default=8 if tiny else defaults.evaluation_images)
    parser.add_argument("--tolerances", type=float, nargs="+", default=defaults.tolerances)
    parser.add_argument("--compared", type=float, default=defaults.compared)
    parser.add_argument("--first-steps", type=int, default=2 if tiny else defaults.first_steps)
    parser.add_argument("--steps", type=int, default=2 if tiny else defaults.steps)
    parser.add_argument("--batch-size", type=int, default=4 if tiny else defaults.batch_size)
    parser.add_argument("--chunk", type=int, default=2 if tiny else defaults.chunk)
    parser.add_argument("--wavelet", default=defaults.wavelet)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128] if tiny else [64, 128, 256, 512])
    parser.add_argument("--numbers", type=int, nargs="+", default=[4, 8] if tiny else [32, 64, 128, 256])
    parser.add_argument("--parts", nargs="*", choices=("spreads", "scaling"), default=["spreads", "scaling"])
    parser.add_argument("--threads", type=int, help="of PyTorch; as many as it chooses if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the tables")
    return parser.parse_args()


def network(weights: Path | None) -> Classifier:
    """The network, frozen; it takes images as they are, at any size."""
    known = pretrained_config(NAME)
    classifier = Classifier(timm_network(NAME, 1000), Preprocessing(None, None, known.mean, known.std))
    if weights:
        load_weights(classifier.network, weights)
    freeze(classifier)
    return classifier


def crops(options: argparse.Namespace, size: int, counts: tuple[int, int]) -> Crops:
    """The images."""
    return Crops(counts, size, batch_size=options.batch_size, seed=options.seed, workers=0, augmentation="crop_flip")


def fit(
    options: argparse.Namespace, classifier: Classifier, crops: Crops, times: StepTimes | None, steps: int | None = None
) -> Fitted:
    """The fit of ``task=band_tolerance``; ``steps``: only so many."""
    defaults = BandTolerance()
    size = (crops.smallest_side, crops.smallest_side)
    chosen = range(len(crops.split("train")))
    data = ImagesInMemory(crops, chosen, "train", batch_size=options.batch_size, seed=options.seed)
    transform = BandTransform(options.wavelet, suitable_levels(*size, options.wavelet))
    variance, mean = signal_statistics(data, transform)
    stages = Stages(tuple(options.tolerances), options.first_steps, options.steps)
    module = BandFit(
        classifier, transform, variance, mean, size, stages=stages, targets="decisions", start=defaults.start,
        lr=defaults.lr, later_lr=defaults.later_lr, weight=defaults.weight, seed=options.seed,
        chunk=images_at_once(options.chunk, size[0] * size[1], PIXELS_AT_ONCE), images=(data.pixels, data.index),
    )  # fmt: skip
    trainer(Length(steps=steps or stages.total), [times] if times else []).fit(module, datamodule=data)
    return Fitted(
        np.array(options.tolerances), np.array(1.0), module.distortions().numpy(), module.log_ratios().numpy(),
        variance.numpy(), mean.numpy(), transform.counts(*size).numpy(), np.array(size), np.array(transform.levels),
        np.array(options.wavelet),
    )  # fmt: skip


def evaluated(options: argparse.Namespace, classifier: Classifier, data: Crops, rows: list[Row]) -> Passed:
    """The evaluation of ``task=band_tolerance``."""
    images, channels = range(len(data.split("test"))), [row.channel for row in rows]
    module = BandEvaluation({NAME: classifier}, channels, images, complete=True, targets=None, seed=options.seed)
    trainer().test(module, datamodule=data, verbose=False)
    return module.result


def trainer(length: Length | None = None, callbacks: list[pl.Callback] | None = None) -> pl.Trainer:
    """The project's Trainer, on a CPU."""
    settings = {"accelerator": "cpu", "devices": 1, "limit_val_batches": 0}
    return make_trainer(OmegaConf.create({"trainer": settings}), length, callbacks or [])


def results(options: argparse.Namespace, passed: Passed, rows: list[Row]) -> None:
    """Print the curve, the spectrum and what bits are compared with; keep the tables."""
    measured = measures.measure(passed, rows, Resampling(1000, 0.95, options.seed))
    tables = {
        "curve": measures.curve_table(measured),
        "spectrum": measures.spectrum_table(measured),
        "bits": measures.bits_table(measured, BandTolerance().retention),
    }
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, table in tables.items():
            table.to_csv(options.out / f"{name}.csv", index=False)
    say_table(
        ["tolerance", "D in the fit", "D, other images", "bits", "95 %", "decisions kept", "95 %"],
        [
            [
                *(f"{line[name]:.3g}" for name in ("tolerance", "fit_divergence", "divergence")),
                *with_ends(line, "bits", ",.0f", "bits_lower", "bits_upper"),
                *with_ends(line, "retention", ".3f", "retention_lower", "retention_upper"),
            ]
            for line in tables["curve"].query("kind == 'fit'").to_dict("records")
        ],
    )
    spectrum = tables["spectrum"].query(f"tolerance == {options.compared}")
    shares = spectrum.pivot_table("share", ["low_cycles_per_pixel", "high_cycles_per_pixel"], "colour", aggfunc="sum")
    say(f"\nShares of the bits at {options.compared:g} nats, by cycles per pixel and colour\n")
    say_table(
        ["", *COLOURS],
        [
            [
                f"{line['low_cycles_per_pixel']:.3g} – {line['high_cycles_per_pixel']:.3g}",
                *(f"{line[name]:.3f}" for name in COLOURS),
            ]
            for line in shares.reset_index().to_dict("records")
        ],
    )
    say_table(
        ["bits at", "decisions kept", "bits", "95 %", "× fit", "95 %"],
        [
            [
                *(line["kind"], f"{line['retention']:.2f}", *with_ends(line, "bits", ",.0f", "lower", "upper")),
                *with_ends(line, "ratio", ".2f", "ratio_lower", "ratio_upper"),
            ]
            for line in tables["bits"].to_dict("records")
        ],
    )


def with_ends(line: Mapping[Hashable, Any], name: str, form: str, lower: str, upper: str) -> list[str]:
    """A number, and its interval."""
    return [f"{line[name]:{form}}", f"{line[lower]:{form}} – {line[upper]:{form}}"]


def scaling(options: argparse.Namespace, classifier: Classifier) -> None:
    """Print seconds of a step at several sizes of images, and of the evaluation of several numbers of images."""
    count, steps = options.batch_size, 4 if options.tiny else 9
    say("\n| pixels | seconds of a step, all cores |\n|---|---|\n")
    seconds = []
    for size in options.sizes:
        times = StepTimes()
        fit(options, classifier, crops(options, size, (max(2, count), 2)), times, steps)
        seconds.append(times.median)
        say(f"| {size} × {size} | {times.median:.3f} |\n")
    say(f"\nseconds ~ pixels^{exponent([size**2 for size in options.sizes], seconds):.2f}\n")
    say("\n| images | seconds of the evaluation, all cores |\n|---|---|\n")
    data = crops(options, options.size, (max(2, count), max(options.numbers)))
    rows = list(rows_of_fits([NAME], {NAME: {0: fit(options, classifier, data, None, 2)}}, options.compared))
    seconds = []
    for number in options.numbers:
        part = crops(options, options.size, (2, number))
        start = Cost.now()
        evaluated(options, classifier, part, rows)
        seconds.append(Cost.since(start).cpu)
        say(f"| {number} | {seconds[-1]:.1f} |\n")
    say(f"\nseconds ~ images^{exponent(options.numbers, seconds):.2f}\n")


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of log seconds over log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def reported(name: str, part: Any) -> Any:
    """Run a part, and print what it took."""
    start = Cost.now()
    result = part()
    cost = Cost.since(start)
    say(f"{name}: {cost.wall:.0f} s, {cost.cpu:.0f} s of all cores\n")
    return result


def memory(name: str) -> int:
    """Memory of this process in bytes, by its name in Linux: ``VmRSS`` now, ``VmHWM`` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def say_table(header: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    rule = ["---"] * len(header)
    say("\n" + "".join(f"| {' | '.join(row)} |\n" for row in (header, rule, *cells)))


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
