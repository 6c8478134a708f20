"""The same images under several autoencoders, with no encoder run twice."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from lightning_modules.image_test import ImageTest
from networks.classifier import Classifier
from networks.segnet import SegNet
from stats.names import ORIGINAL


class ReconstructionEvaluation(ImageTest):
    """A test of frozen classifiers on images and on their reconstructions by frozen autoencoders.

    Autoencoders with the same encoder weights (A_S and all A_i of which only the decoder was trained) share one
    encoder pass.

    Args:
        autoencoders: By name, in the order of the rows.
        classifiers: By name, in the order of the columns.

    Attributes:
        rows: ``original`` and the autoencoders' names.
        columns: The classifiers' names.
    """

    def __init__(self, autoencoders: Mapping[str, SegNet], classifiers: Mapping[str, Classifier]) -> None:
        super().__init__()
        self.rows, self.columns = [ORIGINAL, *autoencoders], list(classifiers)
        self.autoencoders = nn.ModuleList(autoencoders.values())
        self.classifiers = nn.ModuleList(classifiers.values())
        self.freeze_parts("autoencoders", "classifiers")
        self.encoder_of = first_equal([autoencoder.encoder for autoencoder in autoencoders.values()])

    def reconstruct(self, images: Tensor) -> Iterator[Tensor]:
        """Yield images ``(N, 3, H, W)``, then each autoencoder's reconstruction of them, in the order of the rows."""
        yield images
        encoded: dict[int, tuple] = {}  # by the position of the first autoencoder with that encoder
        for position, autoencoder in enumerate(self.autoencoders):
            assert isinstance(autoencoder, SegNet)
            source = self.encoder_of[position]
            if source == position:
                encoded[source] = autoencoder.encode(images)
            yield autoencoder.decode(*encoded[source])

    def classifier(self, column: str) -> nn.Module:
        """The classifier of a column."""
        return self.classifiers[self.columns.index(column)]


def first_equal(modules: Sequence[nn.Module]) -> list[int]:
    """For each module, the position of the first one with exactly the same weights and buffers."""
    states = [module.state_dict() for module in modules]
    return [
        next(
            earlier
            for earlier in range(position + 1)
            if states[earlier].keys() == state.keys()
            and all(torch.equal(states[earlier][key], tensor) for key, tensor in state.items())
        )
        for position, state in enumerate(states)
    ]
