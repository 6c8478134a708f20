"""The concepts of one classifier: found, described, and set against controls."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from datamodules.base import ImageDataModule
from datamodules.poisoned import without_poison
from methods.concepts import tables as readouts
from methods.concepts.ablation import strongest
from methods.concepts.activation_collection import block_shapes
from methods.concepts.activations import (
    Activations,
    Images,
    check_columns,
    check_disk,
    choose_images,
    collect,
    layers_of,
)
from methods.concepts.attribute_auroc import COLUMNS as CUES
from methods.concepts.attribute_auroc import planted_table
from methods.concepts.controls import UNTRAINED
from methods.concepts.files import PIXELS, ConceptFile
from methods.concepts.fits import Found, Method, check_weights, factorize, heldout_column_error, method_of, project
from methods.concepts.importance import importance_table
from methods.concepts.stability import stability
from methods.concepts.superclasses import read_superclasses
from networks.classifier import Classifier
from study import classifiers
from study.data import make_data
from study.folder import study_folder
from study.labels import with_labels_of

Tables = dict[str, pd.DataFrame]
PARTS = ("-fitted", "-heldout", f"-{UNTRAINED}-fitted", f"-{UNTRAINED}-heldout")  # of a classifier's activations


@dataclass(frozen=True)
class Described:
    """What is kept of one classifier's concepts.

    Attributes:
        tables: By their names, without the classifier's.
        file: The factorisation.
        matrix: Cosines with the concepts of other starts, ``(k, k)``; empty without any.
    """

    tables: Tables
    file: ConceptFile
    matrix: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ConceptJob:
    """The concepts of one classifier.

    Attributes:
        cfg: The configuration.
        config: The classifier's.
        place: The folder of all concepts.
        identity: What tells these settings and inputs from others.
    """

    cfg: DictConfig
    config: DictConfig
    place: Path
    identity: str

    @property
    def name(self) -> str:
        """The classifier's."""
        return str(self.config.name)

    @cached_property
    def options(self) -> Any:
        """The settings of this task."""
        return self.cfg.concepts

    @cached_property
    def asked(self) -> DictConfig:
        """The configuration with the labels that this classifier is asked for."""
        return with_labels_of(self.cfg, self.config)

    @cached_property
    def data(self) -> ImageDataModule:
        """The images with these labels."""
        return without_poison(make_data(self.asked, self.options.chunk))

    @cached_property
    def superclasses(self) -> list[str] | None:
        """The super-class of each class, if there are any."""
        given = self.options.superclasses
        return self.data.superclasses if given is None else read_superclasses(Path(given), self.data.classes)

    @cached_property
    def images(self) -> tuple[Images, Images]:
        """Those that are factorised, and those that are held out."""
        return choose_images(self.options, self.data)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier with its weights."""
        return classifiers.load_classifier(self.cfg, self.config, self.data)

    @cached_property
    def layers(self) -> list[str]:
        """The names of the blocks."""
        return layers_of(self.options, self.classifier, self.data, self.images[0])

    @cached_property
    def method(self) -> Method:
        """How the network's own concepts are found."""
        return replace(method_of(self.options), seed=int(self.cfg.seed))

    def check(self) -> None:
        """Find settings that do not fit this classifier, before any work is done.

        Raises:
            ValueError: Names the setting.
        """
        check_weights(self.method.weights, self.layers)
        _ = self.superclasses  # a wrong table is refused when it is read
        options, (fitted, heldout) = self.options, self.images
        first = self.data.split(fitted.split)[fitted.chosen[0]][0].float() / 255
        shapes = block_shapes(self.classifier, first, self.layers, options.pool, options.negative)
        columns = sum(math.prod(shape) for shape in shapes)
        check_columns(len(fitted.chosen), columns, options)
        networks = 2 if options.controls else 1  # an untrained one, too
        rows = networks * (len(fitted.chosen) + len(heldout.chosen))
        files = (path for part in PARTS for path in (self.activations / f"{self.name}{part}").glob("*.npy"))
        check_disk(rows, columns, options, self.place, there=sum(path.stat().st_size for path in files))

    @property
    def activations(self) -> Path:
        """The folder of all activations."""
        return self.place / "activations"

    def collected(self, images: Images, untrained: bool = False) -> Activations:
        """Blocks of some images: of the classifier, or of one like it whose weights are random."""
        classifier, name = self.classifier, self.name
        weights = classifiers.weights_fingerprint(self.cfg, self.config)
        if untrained:
            other = {"weights": classifiers.RANDOM, "weights_seed": self.config.weights_seed + 1}
            changed: Any = OmegaConf.merge(self.config, other)
            classifier, name = classifiers.load_classifier(self.cfg, changed, self.data), f"{name}-{UNTRAINED}"
            weights = classifiers.weights_fingerprint(self.cfg, changed)
        inputs = {"images": self.data.fingerprint(), "classifier": weights}
        where = self.activations / f"{name}-{'fitted' if images is self.images[0] else 'heldout'}"
        return collect(self.asked, classifier, self.data, images, self.layers, where, inputs)

    @cached_property
    def fitted(self) -> Activations:
        """Blocks of the images that are factorised."""
        return self.collected(self.images[0])

    @cached_property
    def heldout(self) -> Activations:
        """Blocks of the images that are held out."""
        return self.collected(self.images[1])

    @cached_property
    def own(self) -> Found:
        """The network's own concepts; their factorisation goes on if it was interrupted."""
        job = study_folder(self.cfg).job("concepts", self.name)
        return factorize(self.cfg, self.fitted, int(self.options.k), self.method, job, f"{self.identity} {self.name}")

    @cached_property
    def projected(self) -> tuple[npt.NDArray[np.float64], list[float]]:
        """How much of each concept is in the images held out, and the relative squared errors."""
        return project(self.own, self.heldout, self.method.penalties, self.options.chunk)

    @cached_property
    def others(self) -> dict[int, list[list[npt.NDArray[np.float64]]]]:
        """What :meth:`from_other_starts` has found so far."""
        return {}

    def from_other_starts(self, k: int) -> list[list[npt.NDArray[np.float64]]]:
        """Scaled stacked rows of factorisations that start at random."""
        if k not in self.others:
            methods = [replace(self.method, start="random", seed=int(seed)) for seed in self.options.seeds]
            methods = [method for method in methods if method != self.method]  # it would find itself again
            self.others[k] = [factorize(self.cfg, self.fitted, k, method).scaled()[1] for method in methods]
        return self.others[k]

    def described(self, controls: pd.DataFrame) -> Described:
        """Everything that there is to say of this classifier.

        Args:
            controls: Their table.
        """
        file, others = self.file, self.from_other_starts(int(self.options.k))
        again = stability(self.own.scaled()[1], others, self.cfg.seed) if others else None
        none = np.zeros(0)
        cosines = {
            "cosine": none if again is None else again.cosine,
            "chance": none if again is None else again.chance,
        }
        tables = {
            "concepts": readouts.concepts_table(file, self.superclasses, self.cfg.seed, self.options.permutations),
            "profile": readouts.profile_table(file),
            "classes": readouts.classes_table(file, self.superclasses),
            "neurons": readouts.neurons_table(file),
            "controls": controls,
            "importance": self.importance(),
            "ranks": self.ranks(),
            "stability": pd.DataFrame(cosines).rename_axis("concept").reset_index(),
            "impurity": readouts.impurity_table(file),
            "cues": self.cues(),
        }
        return Described(tables, file, np.zeros((0, 0)) if again is None else again.matrix)

    @cached_property
    def file(self) -> ConceptFile:
        """What is kept of the factorisation."""
        own, (projected, errors) = self.own, self.projected
        split, index = self.data.split(self.images[0].split), self.fitted.index
        count = int(self.options.top_images)
        tops = [strongest(own.image_factor, concept, count) for concept in range(own.image_factor.shape[1])]
        top_index = np.stack([index[np.resize(top if len(top) else [0], count)] for top in tops])
        pictures = [[split[int(position)][0].numpy() for position in row] for row in top_index]
        return ConceptFile(
            image_factor=own.image_factor.astype(np.float32),
            index=index,
            labels=self.fitted.labels,
            predicted=self.fitted.predicted,
            heldout_image_factor=projected.astype(np.float32),
            heldout_index=self.heldout.index,
            heldout_labels=self.heldout.labels,
            heldout_predicted=self.heldout.predicted,
            blocks=np.array(self.layers),
            shapes=np.array(self.fitted.shapes),
            weights=np.array(own.weights),
            factors=[factor.astype(np.float32) for factor in own.factors],
            errors=np.array(own.errors),
            heldout_errors=np.array(errors),
            objective=np.array(own.objective),
            mean_image=self.fitted.collected.mean_image,
            top_index=top_index,
            top_images=np.array(pictures),
            classes=np.array(self.data.classes),
        )

    def importance(self) -> pd.DataFrame:
        """What taking concepts out does, in images that were held out."""
        count = int(self.options.importance_images)
        layers = [layer for layer in self.layers if layer != PIXELS] if count else []
        kept = replace(self.own, factors=[self.own.factors[self.layers.index(layer)] for layer in layers])
        split, some = self.data.split(self.images[1].split), self.heldout.of(layers)
        return importance_table(self.classifier, split, some, kept, self.projected[0], count, self.cfg.seed)

    def ranks(self) -> pd.DataFrame:
        """Error, held-out error and stability for several k."""
        rows = []
        for k in sorted({int(rank) for rank in self.options.ranks}):
            found = self.own if k == self.options.k else factorize(self.cfg, self.fitted, k, self.method)
            others = self.from_other_starts(k)
            again = stability(found.scaled()[1], others, self.cfg.seed) if others else None
            heldout = heldout_column_error(found, self.heldout, self.options.chunk, self.cfg.seed)
            sure = (np.nan, np.nan) if again is None else (float(again.cosine.mean()), float(again.chance.mean()))
            rows.append([k, found.error, heldout, *sure])
        return pd.DataFrame(rows, columns=["k", "error", "heldout_error", "stability", "chance"])

    def cues(self) -> pd.DataFrame:
        """Whether planted cues are concepts, where the images have any."""
        split: Any = self.data.split(self.images[0].split)
        if not self.data.attributes:
            return pd.DataFrame(columns=CUES)
        values = np.asarray(split.values)[self.fitted.index]
        return planted_table(self.own.scaled()[0], values, self.data.attributes, seed=self.cfg.seed)
