"""Kinds of files besides those of a study: checkpoints, caches, images, and what a user gives."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from callbacks.checkpointing import Checkpointing
from datamodules import ImageFolder
from datamodules.prepared import prepare, prepared_folder
from datamodules.sampling import Draw
from datamodules.shards import counted
from methods.concepts.superclasses import read_superclasses
from networks.weights import load_weights, read_weights
from study.autoencoders import make_autoencoder
from study.files import save_weights
from study.lightning_fixes import WholeFileCheckpointIO
from tests.datamodules.trees import WNIDS, jpeg, make_tree, write_tar
from tests.fuzz.engine import Reader, Subject
from tests.fuzz.of_studies import copy_of, pairs, runs
from tests.images import image_folder, image_shards
from tests.studies import compose

LONG_AGO = 10**18  # ns: no tree that has just changed is indexed


def checkpoints(finished: Path, folder: Path) -> Subject:
    """A checkpoint: read when a training goes on."""
    path, other = folder / "last.ckpt", folder / "other.ckpt"
    network = make_autoencoder(compose(finished))
    for file, identity in ((path, "this training"), (other, "another training")):
        callback = Checkpointing(file, 1, identity)
        callback.consumed_batches = 7
        state = {"state_dict": network.state_dict(), "callbacks": {callback.state_key: callback.state_dict()}}
        WholeFileCheckpointIO().save_checkpoint(state, file)
    read = Checkpointing(path, 1, "this training").consumed
    return Subject(folder, pairs([path], read), absent={read})


def old_tree(root: Path, **counts: int) -> Path:
    """A tree of images that was made long ago."""
    tree = make_tree(root, **counts)
    for path in (tree, *tree.rglob("*")):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return tree


def caches(finished: Path, folder: Path) -> Subject:
    """What is kept to save time: indexes of trees, prepared images, numbers of images in shards."""
    tree, cache = old_tree(folder / "tree", train=2, val=3), folder / "cache"
    paths = tars(folder / "shards")

    def data() -> ImageFolder:
        return image_folder(tree, size=24, resize=30, cache=str(cache))

    def found() -> list[tuple[str, int]]:
        split = data().split("train")
        return [(str(split.path(place)), split.label(place)) for place in range(len(split))]

    def again() -> list[bytes]:
        images = data()
        transform, fingerprint = images.transform("val"), images.split_fingerprint("val")
        store = prepared_folder(cache, transform)
        prepare(images.split("val"), store, fingerprint, transform, 0, lambda batches, _: batches)
        return read()

    def read() -> list[bytes]:
        images = data()
        images.use_prepared()
        split = images.split("val")
        return [split[place][0].numpy().tobytes() for place in range(len(split))]

    def counts() -> list[int]:
        return [shard.count for shard in counted(paths, cache)]

    for reader in (found, again, counts):
        reader()
    return Subject(
        folder,
        pairs(sorted((cache / "indexes").rglob("*.*")), found)
        + pairs(sorted((cache / "prepared").rglob("*.*")), read, again)
        + pairs(sorted((cache / "shards").rglob("*.*")), counts),
        may_be_ignored=True,
    )


def tars(root: Path) -> list[Path]:
    """Shards of images."""
    root.mkdir()
    paths = [root / f"{number}.tar" for number in range(3)]
    for number, path in enumerate(paths):
        numbers = [10 * number + image for image in range(3)]
        write_tar(path, {f"{image}.jpg": jpeg(image, 30, 30) for image in numbers})
    return paths


def images(finished: Path, folder: Path) -> Subject:
    """Images of a tree and of shards, read for training and evaluation; unreadable ones are skipped or not."""
    tree, root = make_tree(folder / "tree", train=2, val=2), folder / "shards"
    paths = tars(root)

    def tree_reader(on_error: str) -> Reader:
        def read() -> int:
            data = image_folder(tree, size=24, resize=30, on_error=on_error)
            training, evaluation = data.split("train"), data.split("val")
            read = [training[Draw(place, 0)] for place in range(len(training))]
            return len(read + [evaluation[place] for place in range(len(evaluation))]) + len(data.showcase(2))

        return read

    def shard_reader(on_error: str) -> Reader:
        def read() -> int:
            data = image_shards(root, size=24, resize=30, held_out_shards=1, on_error=on_error)
            return len(list(data.split("train"))) + len(list(data.split("val")))

        return read

    readers = pairs(sorted(tree.rglob("*.JPEG")), tree_reader("raise"), tree_reader("skip"))
    return Subject(
        folder, readers + pairs(paths * 3, shard_reader("raise"), shard_reader("skip")), given=True, names=WNIDS
    )


def given_tables(finished: Path, folder: Path) -> Subject:
    """Tables that a user gives: accuracies, covariates, super-classes, numbers of images in shards."""
    studies = copy_of(finished, folder)
    shutil.rmtree(studies / "smoke" / "intervals")  # its tables are made with other settings
    classes = [f"class {number}" for number in range(4)]
    accuracy, covariates = folder / "given.csv", folder / "covariates.csv"
    superclasses, sizes = folder / "superclasses.csv", folder / "shards" / "sizes.json"
    accuracy.write_text("autoencoder,a,b,c\na,0.9,0.5,0.25\nb,0.75,0.8,0.125\nc,0.5,0.5,0.7\noriginal,0.9,0.9,0.8\n")
    covariates.write_text("classifier,depth,date\nvgg_compact,16,2014\nresnet_compact,18,2015\n")
    superclasses.write_text("class,superclass\n" + "".join(f"{name},{name[-1] > '1'}\n" for name in classes))
    paths = tars(folder / "shards")
    sizes.write_text('{"0.tar": 3, "1.tar": 3, "2.tar": 3}')

    def counts() -> list[int]:
        return [shard.count for shard in counted(paths, None)]

    order = runs(studies, "order", f"accuracy={accuracy}")
    intervals = runs(studies, "intervals", f"intervals.covariates={covariates}", "intervals.resamples=20")
    readers = pairs([accuracy] * 3, order) + pairs([superclasses] * 3, lambda: read_superclasses(superclasses, classes))
    readers += pairs([sizes] * 2, counts) + pairs([covariates], intervals)
    return Subject(folder, readers, given=True, names=["intervals.covariates"])


def given_weights(finished: Path, folder: Path) -> Subject:
    """Weights that a user gives, as safetensors and as PyTorch writes them, now and years ago."""
    network = make_autoencoder(compose(finished))
    state = network.state_dict()
    paths = [folder / name for name in ("new.safetensors", "new.pt", "old.pth", "container.ckpt")]
    save_weights(network, paths[0])
    torch.save(state, paths[1])
    torch.save(state, paths[2], _use_new_zipfile_serialization=False)
    torch.save({"model_state": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, paths[3])

    def reader(read: Callable[[], Any]) -> Reader:
        return lambda: read() and None

    readers = [(path, reader(lambda path=path: load_weights(network, path))) for path in paths]  # type: ignore[misc]
    readers += [(path, reader(lambda path=path: read_weights(path))) for path in paths]  # type: ignore[misc]
    return Subject(folder, readers, given=True)


FILES = {
    "checkpoints": checkpoints,
    "caches": caches,
    "images": images,
    "given tables": given_tables,
    "given weights": given_weights,
}
