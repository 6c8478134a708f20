"""The syntheses of ``task=layer_features``: one for each network and seed, each kept in a file."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from methods.layer_features.aims import LayerAims, LayerView, find_aims, view_layers
from methods.layer_features.clusters import plane
from methods.layer_features.files import FeatureFile
from methods.layer_features.image_set import ImageSet
from methods.layer_features.networks import FeatureNetwork
from methods.layer_features.numbers import METHODS, START, SYNTHESIS, diversity, numbers_table, with_gain
from methods.layer_features.presets import PRESETS, Preset
from methods.layer_features.schedules import shown_iterations
from methods.layer_features.start_images import start_images
from methods.layer_features.synthesis import FeatureSynthesis
from methods.layer_features.without_resizing import PREFIX, WithoutResizing
from networks.activations import recorded
from networks.cost import flop_count, flop_count_to_layers
from study.artifact import Artifact, without
from study.console import is_first_rank, say_made
from study.distributed import wait_for_ranks
from study.folder import seeded, study_folder
from study.loggers import open_loggers
from study.trainer import make_trainer, without_accumulation

STRIP = 8  # pictures of an iteration strip
NEAREST = 3  # real images beside each synthesis
THUMBNAIL = 64  # pixels, at most
UNDECISIVE = {"seeds", "autoencoders", "on_error", "chunk"}


@dataclass(frozen=True)
class FeatureJobs:
    """The syntheses for one network.

    Attributes:
        cfg: The configuration.
        which: The network.
        images: The set of images.
        place: The folder of all syntheses.
    """

    cfg: DictConfig
    which: FeatureNetwork
    images: ImageSet
    place: Path

    @cached_property
    def network(self) -> WithoutResizing:
        """The network, with its weights."""
        return self.which.load()

    @cached_property
    def layers(self) -> dict[str, str]:
        """What feeds each layer, by its name."""
        return self.which.layers(self.network)

    @cached_property
    def device(self) -> torch.device:
        """Where the trainer works."""
        found: torch.device = make_trainer(self.cfg).strategy.root_device
        return found

    @cached_property
    def views(self) -> dict[str, LayerView]:
        """What each layer sees in the images."""
        return self.look(self.images.pixels)

    @property
    def preset(self) -> Preset:
        """How it goes: the preset, as the options change it."""
        options, preset = self.cfg.layer_features, PRESETS[self.cfg.layer_features.preset]
        direct = ("iterations", "start", "activation", "distance")
        changes = {key: options[key] for key in direct if options[key] is not None}
        if options.sparsity is not None:
            changes["sparsity"] = (float(options.sparsity), float(options.sparsity))
        if options.lr is not None:
            changes["lr"] = (float(options.lr), float(options.lr) * preset.lr[1] / preset.lr[0])
        return replace(preset, **changes)

    def artifact(self, seed: int) -> Artifact:
        """The files of one seed: images, numbers, and how different they are."""
        stem = self.place / seeded(self.which.name, seed)
        options: Any = OmegaConf.to_container(self.cfg.layer_features, resolve=True)
        settings = {
            "layer_features": without(options, UNDECISIVE),
            "layers": list(self.layers),
            "size": self.which.size,
            "seeds": [self.cfg.seed, seed],
            "precision": self.cfg.trainer.precision,
        }
        inputs = {"images": self.images.fingerprint(), f"network {self.which.name}": self.which.fingerprint}
        files = [stem.with_name(f"{stem.name}{end}") for end in (".npz", "-numbers.csv", "-diversity.csv")]
        return Artifact(files, stem.with_name(f"{stem.name}.json"), settings, inputs, precious=False)

    def look(self, images: Tensor) -> dict[str, LayerView]:
        """What each layer sees in images."""
        return view_layers(self.network, self.layers, images, self.device, self.cfg.layer_features.chunk)

    def make(self, seed: int) -> None:
        """Synthesise with a seed, if that was not done."""
        artifact = self.artifact(seed)
        if artifact.exists():
            return
        options, preset = self.cfg.layer_features, self.preset
        aims = [
            find_aims(
                layer, inputs, self.views[layer], preset, clusters=options.clusters, components=options.components,
                members=options.members, seed=hash((self.cfg.seed, seed)) % 2**31,
            )
            for layer, inputs in self.layers.items()
        ]  # fmt: skip
        starts = torch.cat([self.starts(found, seed) for found in aims])
        module, seconds = self.synthesise(aims, starts, seed, artifact)
        made, numbers, apart = self.measured(aims, starts, module)
        numbers["seconds"] = seconds / len(starts)
        for table in (numbers, apart):
            table.insert(0, "seed", seed)
            table.insert(0, "network", self.which.name)
        objective = float(numbers[numbers["method"] == SYNTHESIS]["cosine"].mean())
        if is_first_rank():  # others have made the same
            with artifact.making(objective) as temporary:
                made.save(temporary[artifact.files[0]])
                with_gain(numbers).to_csv(temporary[artifact.files[1]], index=False)
                apart.to_csv(temporary[artifact.files[2]], index=False)
        wait_for_ranks()
        say_made(artifact.files[0], **{"mean cosine": objective})

    def starts(self, found: LayerAims, seed: int) -> Tensor:
        """What the images of a layer begin as: the same for every method."""
        return start_images(self.preset.start, found.blends(self.images.pixels), seed).repeat(len(METHODS), 1, 1, 1)

    def synthesise(
        self, aims: list[LayerAims], starts: Tensor, seed: int, artifact: Artifact
    ) -> tuple[FeatureSynthesis, float]:
        """Optimise all images in one batch; returns the module and the seconds that it took."""
        preset, job = self.preset, study_folder(self.cfg).job("layer_features", self.which.name, seed)
        rows = [found.rows(self.cfg.layer_features.channels, preset) for found in aims]
        kept = shown_iterations(preset.iterations, STRIP)
        with (
            recorded(self.network, [*self.layers, *self.layers.values()]) as read,
            open_loggers(self.cfg, job, artifact.identity) as loggers,
        ):
            drawn = hash((self.cfg.seed, seed)) % 2**31
            module = FeatureSynthesis(self.network, read, rows, starts, preset, seed=drawn, kept=kept)
            trainer = make_trainer(without_accumulation(self.cfg), loggers=loggers)
            start = time.monotonic()
            trainer.fit(module)
            return module, time.monotonic() - start

    def measured(
        self, aims: list[LayerAims], starts: Tensor, module: FeatureSynthesis
    ) -> tuple[FeatureFile, pd.DataFrame, pd.DataFrame]:
        """What was made, its numbers, and how different the images of clusters are."""
        made = module.images.detach().cpu().float()
        views = {"made": self.look(made), START: self.look(starts)}
        tables, apart, nearest, first = [], [], [], 0
        for found, rows in zip(aims, module.rows, strict=True):
            last = first + len(rows.methods)
            real, count = found.view.means.numpy(), len(found.targets)
            for what, images in (("made", made[first:last]), (START, starts[first : first + count])):
                methods = list(rows.methods) if what == "made" else [START] * count
                means = views[what][found.layer].means[first : first + len(methods)].numpy()
                targets = np.tile(found.features.numpy(), (len(methods) // count, 1))
                channels = found.channels(self.cfg.layer_features.channels, self.preset)
                table = numbers_table(means, targets, images.numpy(), real, channels)
                table.insert(0, "method", methods)
                table.insert(0, "cluster", np.tile(np.arange(count), len(methods) // count))
                sizes = np.bincount(found.clusters.labels, minlength=count)
                table.insert(2, "members", sizes[table["cluster"]])
                table.insert(0, "layer", shown(found.layer))
                tables.append(table)
                apart += [
                    {"layer": shown(found.layer), "method": methods[place]}
                    | diversity(means[place:][:count], targets[place:][:count], images[place:][:count].numpy())
                    for place in range(0, len(methods), count)
                ]
                if what == "made":
                    nearest.append(nearest_images(means, real))
            first = last
        return self.file(aims, starts, made, module, nearest), pd.concat(tables, ignore_index=True), pd.DataFrame(apart)

    def file(
        self, aims: list[LayerAims], starts: Tensor, made: Tensor, module: FeatureSynthesis, nearest: list[np.ndarray]
    ) -> FeatureFile:
        """Everything that pictures are drawn from."""
        sizes = [len(rows.methods) for rows in module.rows]
        side = min(THUMBNAIL, self.images.pixels.shape[-1])
        return FeatureFile(
            layers=np.array([shown(found.layer) for found in aims]),
            layer=np.repeat(np.arange(len(aims)), sizes),
            cluster=np.concatenate([rows.clusters for rows in module.rows]),
            method=np.array([method for rows in module.rows for method in rows.methods]),
            images=as_bytes(made),
            starts=as_bytes(starts),
            nearest=np.concatenate(nearest),
            labels=np.stack([found.clusters.labels for found in aims]),
            places=np.stack([plane(found.clusters) for found in aims]).astype(np.float32),
            real=transforms.resize(self.images.pixels, [side, side], antialias=True).numpy(),
            names=np.array(self.images.names),
            history=torch.stack(module.history).cpu().numpy(),
            strip=np.stack([as_bytes(picture) for picture in module.pictures.values()]),
            iterations=np.array(list(module.pictures)),
        )

    def costs(self) -> list[dict[str, Any]]:
        """Floating-point operations of an image's pass to each layer, to all of them, and through the network."""
        image = torch.zeros(1, 3, self.which.size, self.which.size)
        network = self.network.cpu()
        whole = flop_count(network, image)
        wanted: Mapping[str, list[str]] = {shown(layer): [layer] for layer in self.layers}
        rows = []
        for name, layers in {**wanted, "all": list(self.layers)}.items():
            forward, backward = flop_count_to_layers(network, layers, image)
            rows.append({"network": self.which.name, "layer": name, "forward": forward, "backward": backward,
                         "network_forward": whole})  # fmt: skip
        return rows


def shown(layer: str) -> str:
    """A layer's name as people know it."""
    return layer.removeprefix(PREFIX)


def as_bytes(images: Tensor) -> np.ndarray:
    """Images in [0, 1] as uint8."""
    pixels: np.ndarray = (255 * images).round().to(torch.uint8).numpy()
    return pixels


def nearest_images(means: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The real images that a layer sees most like each row, nearest first, ``(R, P)``."""
    return np.stack([np.argsort(np.linalg.norm(real - row, axis=1), kind="stable")[:NEAREST] for row in means])
