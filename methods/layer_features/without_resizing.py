"""A network without its own resizing: it looks at images of the size that they have."""

from torch import Tensor, nn

from networks.classifier import Classifier

PREFIX = "network."  # of the names of its layers


class WithoutResizing(nn.Module):
    """A classifier's network behind its normalisation, or any other network as it is.

    Args:
        network: A :class:`~networks.classifier.Classifier`, whose resizing and cropping are left out; or a network that
            takes images in [0, 1].
        swapped: The network gets blue, green, red.
    """

    def __init__(self, network: nn.Module, swapped: bool = False) -> None:
        super().__init__()
        self.network = network
        self.normalization: nn.Module = nn.Identity()
        if isinstance(network, Classifier):
            self.network, self.normalization = network.network, network.normalization
        self.swapped = swapped

    def forward(self, images: Tensor) -> Tensor:
        """What the network makes of images ``(N, 3, H, W)`` in [0, 1]."""
        made: Tensor = self.network(self.normalization(images.flip(1) if self.swapped else images))
        return made
