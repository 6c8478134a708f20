"""``task=band_tolerance``: how many bits each classifier lets in, by scale, orientation and colour."""

from omegaconf import DictConfig

from datamodules.views.poisoned import without_poison
from methods.band_tolerance.band_study import band_study, evaluated, summarised
from methods.band_tolerance.job import check_compared
from methods.band_tolerance.transform import check_wavelet, suitable_levels, too_small
from stats.intervals import Resampling
from study.artifact import Artifact
from study.classifiers import every_classifier
from study.data import make_data
from study.files import sha256
from study.folder import study_folder
from study.inputs import verified
from study.step import Step

TABLES = ("curve", "spectrum", "bits", "cross_reading", "cues", "cue_pairs")


def run(cfg: DictConfig) -> float:
    """Fit the channels of every classifier, evaluate and compare them; returns the mean bits at the retention."""
    check(cfg)
    study = band_study(cfg)
    passed, path = evaluated(study)
    folder = study_folder(cfg).root / "band_tolerance"
    how = Resampling(int(cfg.intervals.resamples), float(cfg.intervals.level), int(cfg.seed))
    inputs = {"predictions": sha256(path)} | autoencoders_input(cfg)
    settings = {"retention": cfg.band_tolerance.retention, "resamples": how.resamples, "level": how.level}
    settings |= {"seed": how.seed, "photographs": cfg.band_tolerance.photographs}
    paths = [*(folder / f"{name}.csv" for name in TABLES), folder / "order.json", folder / "pictures.npz"]
    artifact = Artifact(paths, folder / "band_tolerance.json", settings, inputs, precious=False)
    return Step(artifact, study_folder(cfg).job("band_tolerance")).run(lambda: summarised(study, passed, how))


def check(cfg: DictConfig) -> None:
    """Refuse what cannot be measured, before any work is done."""
    check_options(cfg)
    if reason := unsuitable_images(cfg):
        raise ValueError(f"task=band_tolerance: {reason}")


def check_options(cfg: DictConfig) -> None:
    """Refuse settings that are wrong for any images."""
    options, data = cfg.band_tolerance, make_data(cfg)
    classes = min(config.classes or len(data.classes) for config in every_classifier(cfg).values())
    for key in wavelets(options):
        check_wavelet(options[key], key)
    check_compared(options.compared, classes)


def wavelets(options: DictConfig) -> list[str]:
    """The settings with the wavelets that are used."""
    return ["wavelet", *(["second_wavelet"] if "second_wavelet" in options.controls else [])]


def unsuitable_images(cfg: DictConfig) -> str | None:
    """Why the images of a study are not fit for a measurement, and what to do; ``None`` if they are."""
    options, data = cfg.band_tolerance, without_poison(make_data(cfg))
    if data.single_pass:
        return "it chooses images by their index, and these are read from shards: use images in folders"
    side = data.smallest_side
    for key in wavelets(options):
        levels = options.levels or suitable_levels(side, side, options[key])
        if reason := too_small(levels, side, side, options[key]):
            return reason
    if data.same_images(options.split, "test"):
        return (
            f"the images of band_tolerance.split={options.split} are those of test, too, and channels must not be "
            "tested on images that they were fitted on: use band_tolerance.split=train"
        )
    for name, images in {options.split: data.split(options.split), "test": data.split("test")}.items():
        if len(images) < 2:
            return f"there is {len(images)} image in {name}, and two are needed at least: add images"
    return None


def autoencoders_input(cfg: DictConfig) -> dict[str, str]:
    """The fingerprint of the predictions of the study's autoencoders, if there are any."""
    path = study_folder(cfg).predictions
    return {"autoencoders": verified(path, cfg, "cross_evaluate")} if path.exists() else {}
