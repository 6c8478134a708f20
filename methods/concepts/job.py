"""The job of one classifier: its images, their blocks, its concepts and those of other starts."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from datamodules.base import ImageDataModule
from datamodules.views.poisoned import without_poison
from methods.concepts import activations, fits
from methods.concepts.ablation import importance_table, strongest
from methods.concepts.activations import Activations, Images
from methods.concepts.attribute_auroc import COLUMNS as CUES
from methods.concepts.attribute_auroc import attribute_table
from methods.concepts.fits import FittedConcepts, Method
from methods.concepts.record import ConceptRecord, Floats
from methods.concepts.stability import Stability, Stacked, stability
from methods.concepts.superclasses import read_superclasses
from networks.classifier import Classifier
from study import classifiers
from study.data import images_at_once, make_data
from study.folder import study_folder

PIXELS_AT_ONCE = 2_400_000  # of a forward pass that only collects activations: 1,041 images at 48 pixels, 47 at 224
PARTS = ("fitted", "heldout")  # of the images, as in ConceptJob.images


@dataclass(frozen=True)
class ConceptJob:
    """The concepts of one classifier; everything is computed when it is first used, and kept.

    Attributes:
        cfg: The configuration, with the labels on which this classifier is trained.
        config: The configuration of the classifier.
        identity: What tells these settings and inputs from others.
    """

    cfg: DictConfig
    config: DictConfig
    identity: str

    @property
    def settings(self) -> Any:
        """The settings of the task."""
        return self.cfg.concepts

    @property
    def folder(self) -> Path:
        """The folder of all activations."""
        return study_folder(self.cfg).root / "concepts" / "activations"

    @cached_property
    def data(self) -> ImageDataModule:
        """The images with their labels."""
        data = without_poison(make_data(self.cfg))
        data.batch_size = min(self.settings.chunk, images_at_once(None, data.smallest_side**2, PIXELS_AT_ONCE))
        return data

    @cached_property
    def superclasses(self) -> list[str] | None:
        """The super-class of each class, if there are any."""
        path = self.settings.superclasses
        return self.data.superclasses if path is None else read_superclasses(Path(path), self.data.classes)

    @cached_property
    def images(self) -> tuple[Images, Images]:
        """The images that are factorised, and those that are held out."""
        return activations.choose_images(self.settings, self.data)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier with its weights."""
        return classifiers.load_classifier(self.cfg, self.config, self.data)

    @cached_property
    def layers(self) -> list[str]:
        """Names of the blocks."""
        return activations.layers_of(self.settings, self.classifier, self.data, self.images[0])

    @cached_property
    def method(self) -> Method:
        """The method of the network's concepts."""
        return fits.method_of(self.settings, self.cfg.seed)

    def check(self) -> None:
        """Find settings that do not fit this classifier, before any work is done.

        Raises:
            ValueError: Names the setting.
        """
        fits.check_weights(self.method.weights, self.layers)
        _ = self.superclasses  # a wrong table is refused when it is read
        fitted, heldout = self.images
        shapes = activations.shapes_of(self.settings, self.classifier, self.data, fitted, self.layers)
        columns = sum(math.prod(shape) for shape in shapes)
        activations.check_columns(len(fitted.chosen), columns, self.settings)
        networks = 2 if self.settings.controls else 1  # an untrained one, too
        rows = networks * (len(fitted.chosen) + len(heldout.chosen))
        folders = [self.folder / f"{self.config.name}{part}-{which}" for part in ("", "-untrained") for which in PARTS]
        present = sum(path.stat().st_size for folder in folders for path in folder.glob("*.npy"))
        activations.check_disk(rows, columns, self.settings, self.folder.parent, present)

    def collected(self, images: Images, untrained: bool = False) -> Activations:
        """Blocks of some images: of the classifier, or of the same network with random weights."""
        classifier, name, config = self.classifier, self.config.name, self.config
        if untrained:
            random: Any = {"weights": classifiers.RANDOM, "weights_seed": self.config.weights_seed + 1}
            config, name = OmegaConf.merge(self.config, random), f"{name}-untrained"  # type: ignore[assignment]
            classifier = classifiers.load_classifier(self.cfg, config, self.data)
        weights = classifiers.weights_fingerprint(self.cfg, config)
        inputs = {"images": self.data.fingerprint(), "classifier": weights}
        folder = self.folder / f"{name}-{PARTS[self.images.index(images)]}"
        return activations.collect(self.cfg, classifier, self.data, images, self.layers, folder, inputs)

    @cached_property
    def fitted(self) -> Activations:
        """Blocks of the images that are factorised."""
        return self.collected(self.images[0])

    @cached_property
    def heldout(self) -> Activations:
        """Blocks of the images that are held out."""
        return self.collected(self.images[1])

    @cached_property
    def concepts(self) -> FittedConcepts:
        """The concepts of the network; their factorisation goes on if it was interrupted."""
        name = self.config.name
        job = study_folder(self.cfg).job("concepts", name)
        return fits.factorize(self.cfg, self.fitted, self.settings.k, self.method, job, f"{self.identity} {name}")

    @cached_property
    def projected(self) -> tuple[Floats, list[float]]:
        """H of the images held out, ``(N', k)``, and the relative squared error of each block."""
        return fits.project(self.concepts, self.heldout, self.method.penalties, self.settings.chunk)

    @cached_property
    def other_starts(self) -> dict[int, list[Stacked]]:
        """Scaled stacked rows of the factorisations from other random starts, by k."""
        methods = [replace(self.method, start="random", seed=seed) for seed in self.settings.seeds]
        methods = [method for method in methods if method != self.method]  # it would be compared with itself
        return {
            k: [fits.factorize(self.cfg, self.fitted, k, method).scaled()[1] for method in methods]
            for k in dict.fromkeys([self.settings.k, *sorted(self.settings.ranks)])
        }

    @cached_property
    def stability(self) -> Stability:
        """How well the concepts agree with those of other starts."""
        return stability(self.concepts.scaled()[1], self.other_starts[self.settings.k], self.cfg.seed)

    def stability_table(self) -> pd.DataFrame:
        """Cosine of each concept with its matches in other starts, and by chance; empty without other starts."""
        columns = {"cosine": self.stability.cosine, "chance": self.stability.chance}
        return pd.DataFrame(columns).rename_axis("concept").reset_index()

    @cached_property
    def record(self) -> ConceptRecord:
        """What is kept of the factorisation."""
        concepts, (projected, errors) = self.concepts, self.projected
        split, index = self.data.split(self.images[0].split), self.fitted.index
        count = self.settings.top_images
        tops = [strongest(concepts.image_factor, concept, count) for concept in range(concepts.image_factor.shape[1])]
        top_index = np.stack([index[np.resize(top if len(top) else [0], count)] for top in tops])
        pictures = [[split[int(position)][0].numpy() for position in row] for row in top_index]
        return ConceptRecord(
            image_factor=concepts.image_factor.astype(np.float32),
            index=index,
            labels=self.fitted.labels,
            predicted=self.fitted.predicted,
            heldout_image_factor=projected.astype(np.float32),
            heldout_index=self.heldout.index,
            heldout_labels=self.heldout.labels,
            heldout_predicted=self.heldout.predicted,
            blocks=np.array(self.layers),
            shapes=np.array(self.fitted.shapes),
            weights=np.array(concepts.weights),
            factors=np.concatenate([factor.astype(np.float32) for factor in concepts.factors], axis=1),
            errors=np.array(concepts.errors),
            heldout_errors=np.array(errors),
            objective=np.array(concepts.objective),
            mean_image=self.fitted.collected.mean_image,
            top_index=top_index,
            top_images=np.array(pictures),
            classes=np.array(self.data.classes),
        )

    def importance(self) -> pd.DataFrame:
        """The effect of removing each concept from each layer, in images held out."""
        split, count = self.data.split(self.images[1].split), self.settings.importance_images
        return importance_table(
            self.classifier, split, self.heldout, self.concepts, self.projected[0], count, self.cfg.seed
        )

    def ranks(self) -> pd.DataFrame:
        """Error, error on held-out columns and stability for several k."""
        rows = []
        for k in sorted(self.settings.ranks):
            same = k == self.settings.k
            concepts = self.concepts if same else fits.factorize(self.cfg, self.fitted, k, self.method)
            heldout = fits.heldout_column_error(concepts, self.heldout, self.settings.chunk, self.cfg.seed)
            similar = stability(concepts.scaled()[1], self.other_starts[k], self.cfg.seed)
            means = [float(part.mean()) if len(part) else np.nan for part in (similar.cosine, similar.chance)]
            rows.append([k, concepts.error, heldout, *means])
        return pd.DataFrame(rows, columns=["k", "error", "heldout_error", "stability", "chance"])

    def cues(self) -> pd.DataFrame:
        """How well concepts separate the values of planted cues, where the images have any."""
        split: Any = self.data.split(self.images[0].split)
        if not self.data.attributes:
            return pd.DataFrame(columns=CUES)
        values = np.asarray(split.values)[self.fitted.index]
        return attribute_table(self.concepts.scaled()[0], values, self.data.attributes, self.cfg.seed)
