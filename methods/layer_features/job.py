"""The syntheses of ``task=layer_features``: one job for each network and seed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from methods.layer_features.image_set import ImageSet
from methods.layer_features.networks import PREFIX, FeatureNetwork, WithoutResizing
from methods.layer_features.procedure import Procedure, start_images
from methods.layer_features.results import (
    METHODS,
    START,
    SYNTHESIS,
    FeatureRecord,
    diversity,
    nearest_images,
    numbers_table,
    with_gain,
)
from methods.layer_features.schedules import shown_iterations
from methods.layer_features.synthesis import HISTORY, FeatureSynthesis, Rows, layer_rows
from methods.layer_features.targets import (
    LayerActivations,
    LayerTargets,
    find_layer_targets,
    layer_activations,
    plane_positions,
)
from networks.activations import recorded
from networks.cost import flop_count, flop_count_to_layers
from study.artifact import Artifact, without
from study.folder import seeded, study_folder
from study.loggers import open_loggers
from study.records import arrays_of
from study.step import Result, Step
from study.trainer import make_trainer, without_accumulation

STRIP = 8  # images of an iteration strip
NEAREST = 3  # real images beside each synthesis
THUMBNAIL = 64  # pixels, at most
NOT_DECISIVE = {"seeds", "autoencoders", "on_error", "chunk"}
ENDS = (".npz", "-numbers.csv", "-diversity.csv")


@dataclass(frozen=True)
class FeatureJobs:
    """The syntheses for one network.

    Attributes:
        cfg: The configuration.
        source: The network.
        images: The set of images.
        folder: The folder of all syntheses.
    """

    cfg: DictConfig
    source: FeatureNetwork
    images: ImageSet
    folder: Path

    @cached_property
    def network(self) -> WithoutResizing:
        """The network, with its weights."""
        return self.source.load()

    @cached_property
    def layers(self) -> dict[str, str]:
        """The name of the input of each layer's last convolution, by the name of the layer."""
        return self.source.layers(self.network)

    @cached_property
    def device(self) -> torch.device:
        """The device of the trainer."""
        device: torch.device = make_trainer(self.cfg).strategy.root_device
        return device

    @cached_property
    def real(self) -> dict[str, LayerActivations]:
        """Activations of each layer for the set of images."""
        return self.activations(self.images.pixels)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings of the task, as plain values."""
        values: Any = OmegaConf.to_container(self.cfg.layer_features, resolve=True)
        return dict(values)

    @property
    def procedure(self) -> Procedure:
        """The procedure that the settings describe."""
        return Procedure.of(self.settings)

    def activations(self, images: Tensor) -> dict[str, LayerActivations]:
        """Activations of each layer for images."""
        return layer_activations(self.network, self.layers, images, self.device, self.settings["chunk"])

    def drawn(self, seed: int) -> int:
        """The number that seeds clusters and synthesis: of the study's seed and the seed of the job."""
        return hash((self.cfg.seed, seed)) % 2**31

    def paths(self, seed: int) -> list[Path]:
        """The files of one seed: record, numbers, differences between clusters."""
        return [self.folder / f"{seeded(self.source.name, seed)}{end}" for end in ENDS]

    def step(self, seed: int) -> Step:
        """The step that makes the files of one seed."""
        settings = {
            "layer_features": without(self.settings, NOT_DECISIVE),
            "layers": list(self.layers),
            "size": self.source.size,
            "seeds": [self.cfg.seed, seed],
            "precision": self.cfg.trainer.precision,
        }
        inputs = {"images": self.images.fingerprint(), f"network {self.source.name}": self.source.fingerprint}
        files = self.paths(seed)
        artifact = Artifact(files, files[0].with_suffix(".json"), settings, inputs, precious=False)
        return Step(artifact, study_folder(self.cfg).job("layer_features", self.source.name, seed))

    def run(self, seed: int) -> float:
        """Synthesise with one seed, unless that is done; returns the mean cosine of the synthesis to its targets."""
        step = self.step(seed)
        return step.run(lambda: self.make(step, seed))

    def make(self, step: Step, seed: int) -> Result:
        """Synthesise with one seed, and measure the images."""
        options = {key: self.settings[key] for key in ("clusters", "components", "members", "nearest")}
        layers = [
            find_layer_targets(layer, inputs, self.real[layer], **options, seed=self.drawn(seed))
            for layer, inputs in self.layers.items()
        ]
        starts = torch.cat([
            start_images(self.procedure.start, targets.blends(self.images.pixels), seed).repeat(len(METHODS), 1, 1, 1)
            for targets in layers
        ])  # fmt: skip
        module, seconds = self.synthesise(step, layers, starts, seed)
        images = module.images.detach().cpu().float()
        numbers, differences, nearest = self.measure(layers, module.rows, images, starts)
        for table in (numbers, differences):
            table.insert(0, "seed", seed)
            table.insert(0, "network", self.source.name)
        numbers = with_gain(numbers.assign(seconds=seconds / len(starts)))
        objective = float(numbers[numbers["method"] == SYNTHESIS]["cosine"].mean())
        record = arrays_of(self.record(layers, module, images, starts, nearest))
        contents = (record, numbers, differences)
        files = {path.name: content for path, content in zip(step.artifact.files, contents, strict=True)}
        return Result(objective, files, shown={"mean cosine": objective})

    def synthesise(
        self, step: Step, layers: list[LayerTargets], starts: Tensor, seed: int
    ) -> tuple[FeatureSynthesis, float]:
        """Optimise all images in one batch; returns the module and the seconds that it took."""
        procedure, channels = self.procedure, self.settings["channels"]
        rows = [layer_rows(targets, channels, procedure.comparable) for targets in layers]
        kept = shown_iterations(procedure.iterations, STRIP)
        with (
            recorded(self.network, [*self.layers, *self.layers.values()]) as read,
            open_loggers(self.cfg, step.job, step.artifact.identity) as loggers,
        ):
            module = FeatureSynthesis(self.network, read, rows, starts, procedure, seed=self.drawn(seed), kept=kept)
            trainer = make_trainer(without_accumulation(self.cfg), loggers=loggers)
            begin = time.monotonic()
            trainer.fit(module)
            return module, time.monotonic() - begin

    def measure(
        self, layers: list[LayerTargets], rows: list[Rows], images: Tensor, starts: Tensor
    ) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
        """Numbers of every synthesised and start image, differences between clusters, and the nearest real images."""
        synthesised, started = self.activations(images), self.activations(starts)
        numbers, differences, nearest, first = [], [], [], 0
        for targets, part in zip(layers, rows, strict=True):
            last, first_cluster = first + len(part.methods), slice(first, first + len(targets.targets))
            means = synthesised[targets.layer].means[first:last]
            table, apart = layer_tables(
                targets,
                [*part.methods, *[START] * len(targets.targets)],
                torch.cat([means, started[targets.layer].means[first_cluster]]).numpy(),
                torch.cat([images[first:last], starts[first_cluster]]).numpy(),
                targets.channels(self.settings["channels"], self.procedure.comparable),
            )
            numbers.append(table)
            differences.append(apart)
            nearest.append(nearest_images(means.numpy(), targets.activations.means.numpy(), NEAREST))
            first = last
        return pd.concat(numbers, ignore_index=True), pd.concat(differences, ignore_index=True), np.concatenate(nearest)

    def record(
        self, layers: list[LayerTargets], module: FeatureSynthesis, images: Tensor, starts: Tensor, nearest: np.ndarray
    ) -> FeatureRecord:
        """Everything that the figures show."""
        layer = np.repeat(np.arange(len(layers)), [len(rows.methods) for rows in module.rows])
        method = np.array([method for rows in module.rows for method in rows.methods])
        history = torch.stack(module.history).cpu().numpy()
        columns = [HISTORY.index("loss"), HISTORY.index("cosine")]
        curves = [
            [history[:, (layer == number) & (method == name)][..., columns].mean(axis=1).T for name in METHODS]
            for number in range(len(layers))
        ]
        side = min(THUMBNAIL, self.images.pixels.shape[-1])
        return FeatureRecord(
            layers=np.array([targets.layer.removeprefix(PREFIX) for targets in layers]),
            layer=layer,
            cluster=np.concatenate([rows.clusters for rows in module.rows]),
            method=method,
            images=as_bytes(images),
            starts=as_bytes(starts),
            nearest=nearest,
            assignment=np.stack([targets.clusters.assignment for targets in layers]),
            positions=np.stack([plane_positions(targets.clusters) for targets in layers]).astype(np.float32),
            real=transforms.resize(self.images.pixels, [side, side], antialias=True).numpy(),
            names=np.array(self.images.names),
            history=history,
            curves=np.array(curves),
            strip=np.stack([as_bytes(picture) for picture in module.pictures.values()]),
            iterations=np.array(list(module.pictures)),
        )

    def costs(self) -> list[dict[str, Any]]:
        """Floating-point operations of an image's pass to each layer, to all of them, and through the network."""
        image = torch.zeros(1, 3, self.source.size, self.source.size)
        network = self.network.cpu()  # the same numbers on every device
        whole = flop_count(network, image)
        ends = {layer.removeprefix(PREFIX): [layer] for layer in self.layers} | {"all": list(self.layers)}
        rows = []
        for name, layers in ends.items():
            forward, backward = flop_count_to_layers(network, layers, image)
            rows.append({"network": self.source.name, "layer": name, "forward": forward, "backward": backward,
                         "network_forward": whole})  # fmt: skip
        return rows


def layer_tables(
    targets: LayerTargets, methods: Sequence[str], means: np.ndarray, images: np.ndarray, channels: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers of the images of one layer, and the differences between the clusters of each method.

    Args:
        targets: The K targets of the layer.
        methods: Method of each image; K successive images have the same.
        means: z of each image, ``(R, C)``.
        images: In [0, 1], ``(R, 3, H, W)``.
        channels: Number of top channels.
    """
    count = len(targets.targets)
    features = np.tile(targets.features.numpy(), (len(methods) // count, 1))
    name, clusters = targets.layer.removeprefix(PREFIX), np.tile(np.arange(count), len(methods) // count)
    sizes = np.bincount(targets.clusters.assignment, minlength=count)
    keys = {"layer": name, "cluster": clusters, "method": methods, "members": sizes[clusters]}
    numbers = numbers_table(means, features, images, targets.activations.means.numpy(), channels)
    groups = [slice(first, first + count) for first in range(0, len(methods), count)]
    differences = [
        {"layer": name, "method": methods[group.start]} | diversity(means[group], features[group], images[group])
        for group in groups
    ]
    return pd.concat([pd.DataFrame(keys), numbers], axis=1), pd.DataFrame(differences)


def as_bytes(images: Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8."""
    pixels: np.ndarray = (255 * images).round().to(torch.uint8).numpy()
    return pixels
