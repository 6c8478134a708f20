"""The syntheses of ``task=layer_features``: one job for each network and seed."""

import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from methods.layer_features import results
from methods.layer_features.image_set import ImageSet
from methods.layer_features.networks import PREFIX, FeatureNetwork, WithoutResizing
from methods.layer_features.procedure import start_images
from methods.layer_features.results import METHODS, START, SYNTHESIS, FeatureRecord
from methods.layer_features.schedules import shown_iterations
from methods.layer_features.settings import LayerFeatures
from methods.layer_features.synthesis import HISTORY, FeatureSynthesis
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
        return WithoutResizing(self.source.load(), self.settings.swapped)

    @cached_property
    def layers(self) -> dict[str, str]:
        """The name of the input of each layer's last convolution, by the name of the layer."""
        return self.source.layers(self.network)

    @cached_property
    def device(self) -> torch.device:
        """The device of the trainer."""
        return make_trainer(self.cfg).strategy.root_device

    @cached_property
    def real(self) -> dict[str, LayerActivations]:
        """Activations of each layer for the set of images."""
        return self.activations(self.images.pixels)

    @cached_property
    def settings(self) -> LayerFeatures:
        """The settings of the task, as plain values."""
        values: Any = OmegaConf.to_container(self.cfg.layer_features, resolve=True)
        return LayerFeatures(**values)

    def activations(self, images: Tensor) -> dict[str, LayerActivations]:
        """Activations of each layer for images."""
        return layer_activations(self.network, self.layers, images, self.device, self.settings.chunk)

    def drawn(self, seed: int) -> int:
        """The number that seeds clusters and synthesis: of the study's seed and the seed of the job."""
        # unlike that of text, the hash of numbers is the same in every process
        return hash((self.cfg.seed, seed)) % 2**31

    def paths(self, seed: int) -> list[Path]:
        """The files of one seed: record, numbers, differences between clusters."""
        name = seeded(self.source.name, seed)
        return [self.folder / f"{name}{end}" for end in (".npz", "-numbers.csv", "-diversity.csv")]

    def run(self, seed: int) -> float:
        """Synthesise with one seed, unless that is done; returns the mean cosine of the synthesis to its targets."""
        settings = {
            "layer_features": without(asdict(self.settings), NOT_DECISIVE),
            "layers": list(self.layers),
            "size": self.source.size,
            "seeds": [self.cfg.seed, seed],
            "precision": self.cfg.trainer.precision,
        }
        inputs = {"images": self.images.fingerprint(), f"network {self.source.name}": self.source.fingerprint}
        files = self.paths(seed)
        artifact = Artifact(files, files[0].with_suffix(".json"), settings, inputs, precious=False)
        step = Step(artifact, study_folder(self.cfg).job("layer_features", self.source.name, seed))
        return step.run(lambda: self.make(step, seed))

    def make(self, step: Step, seed: int) -> Result:
        """Synthesise with one seed, and measure the images."""
        layers = [
            find_layer_targets(layer, inputs, self.real[layer], self.settings, self.drawn(seed))
            for layer, inputs in self.layers.items()
        ]
        blends = [targets.blends(self.images.pixels) for targets in layers]
        first = [start_images(self.settings.start, part, seed) for part in blends]
        # the methods differ in their objectives only: a comparison needs the same starts
        starts = torch.cat([part for part in first for _ in METHODS])
        module, seconds = self.synthesise(step, layers, starts, seed)
        images = module.images.detach().cpu().float()
        numbers, differences, nearest = self.measure(module, images, starts)
        for table in (numbers, differences):
            table.insert(0, "seed", seed)
            table.insert(0, "network", self.source.name)
        numbers = results.with_gain(numbers.assign(seconds=seconds / len(module.rows)))
        objective = float(numbers[numbers["method"] == SYNTHESIS]["cosine"].mean())
        contents = (arrays_of(self.record(module, images, starts, nearest)), numbers, differences)
        files = dict(zip((path.name for path in step.artifact.files), contents, strict=True))
        return Result(objective, files, shown={"mean cosine": objective})

    def synthesise(
        self, step: Step, layers: list[LayerTargets], starts: Tensor, seed: int
    ) -> tuple[FeatureSynthesis, float]:
        """Optimise all images in one batch; returns the module and the seconds that it took."""
        kept = shown_iterations(self.settings.iterations, STRIP)
        with (
            recorded(self.network, [*self.layers, *self.layers.values()]) as read,
            open_loggers(self.cfg, step.job, step.artifact.identity) as loggers,
        ):
            module = FeatureSynthesis(
                self.network, read, layers, starts, self.settings, seed=self.drawn(seed), kept=kept
            )
            trainer = make_trainer(without_accumulation(self.cfg), loggers=loggers)
            begin = time.monotonic()
            trainer.fit(module)
            return module, time.monotonic() - begin

    def measure(
        self, module: FeatureSynthesis, images: Tensor, starts: Tensor
    ) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
        """Numbers of every synthesised and start image, differences between clusters, and the nearest real images."""
        synthesised, started = self.activations(images), self.activations(starts)
        numbers, differences, nearest = [], [], []
        for number, targets in enumerate(module.layers):
            rows = module.rows[module.rows["layer"] == number]
            # every method has the same starts: those of the first are enough
            first = rows[rows["method"] == METHODS[0]]
            keys = pd.concat([rows, first.assign(method=START)], ignore_index=True)
            means = synthesised[targets.layer].means.numpy()[rows.index]
            all_means = np.concatenate([means, started[targets.layer].means.numpy()[first.index]])
            pixels = np.concatenate([images.numpy()[rows.index], starts.numpy()[first.index]])
            features, real = targets.features.numpy()[keys["cluster"]], targets.activations.means.numpy()
            keys["layer"] = targets.layer.removeprefix(PREFIX)
            keys["members"] = np.bincount(targets.clusters.assignment)[keys["cluster"]]
            table = results.numbers_table(all_means, features, pixels, real, targets.channels(self.settings))
            numbers.append(pd.concat([keys, table], axis=1))
            for method in (*METHODS, START):
                group = keys["method"].to_numpy() == method
                apart = results.diversity(all_means[group], features[group], pixels[group])
                differences.append({"layer": targets.layer.removeprefix(PREFIX), "method": method} | apart)
            nearest.append(results.nearest_images(means, real, NEAREST))
        return pd.concat(numbers, ignore_index=True), pd.DataFrame(differences), np.concatenate(nearest)

    def record(self, module: FeatureSynthesis, images: Tensor, starts: Tensor, nearest: np.ndarray) -> FeatureRecord:
        """Everything that the figures show."""
        layers, layer, method = module.layers, module.rows["layer"].to_numpy(), np.array(module.rows["method"], str)
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
            cluster=module.rows["cluster"].to_numpy(),
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

    def costs(self) -> pd.DataFrame:
        """Floating-point operations of an image's pass to each layer, to all of them, and through the network."""
        image = torch.zeros(1, 3, self.source.size, self.source.size)
        network = self.network.cpu()  # the same numbers on every device
        ends = {layer.removeprefix(PREFIX): [layer] for layer in self.layers} | {"all": list(self.layers)}
        counts = [flop_count_to_layers(network, layers, image) for layers in ends.values()]
        costs = pd.DataFrame(counts, columns=["forward", "backward"]).assign(network_forward=flop_count(network, image))
        costs.insert(0, "layer", list(ends))
        costs.insert(0, "network", self.source.name)
        return costs


def as_bytes(images: Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8."""
    return (255 * images).round().to(torch.uint8).numpy()
