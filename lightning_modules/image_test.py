"""A test that measures batches of images."""

from abc import abstractmethod

from torch import Tensor

from lightning_modules.frozen import FrozenParts


class ImageTest(FrozenParts):
    """A module that is only tested; a batch of which no image could be read is left out."""

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Measure one batch, if it holds images."""
        images, labels, index = batch
        if len(images):
            self.measure(images, labels, index)

    @abstractmethod
    def measure(self, images: Tensor, labels: Tensor, index: Tensor) -> None:
        """Measure images of the test split.

        Args:
            images: In [0, 1], shape ``(B, 3, H, W)``, at least one.
            labels: Shape ``(B,)``.
            index: Positions in the split, ``(B,)``.
        """
