"""The same images under several autoencoders, with no encoder run twice."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from torch import Tensor, nn

from networks.segnet import SegNet


def reconstructions(autoencoders: Iterable[nn.Module], encoder_of: Sequence[int], images: Tensor) -> Iterator[Tensor]:
    """Yield the images themselves, then each autoencoder's reconstruction of them.

    Args:
        autoencoders: In the order of the rows.
        encoder_of: For each, the position of the first one with the same encoder.
        images: In [0, 1] or about, shape ``(N, 3, H, W)``.
    """
    encoded: dict[int, tuple] = {}

    def decoded() -> Iterator[Tensor]:
        for position, autoencoder in enumerate(autoencoders):
            assert isinstance(autoencoder, SegNet)
            source = encoder_of[position]
            if source == position:
                encoded[source] = autoencoder.encode(images)
            yield autoencoder.decode(*encoded[source])

    return chain([images], decoded())
