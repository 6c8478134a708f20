"""What all views of other images have in common."""

from pathlib import Path

from torch import Tensor

from datamodules.base import ImageDataModule


class WrappedImages(ImageDataModule):
    """Other images in another view: some of them, with triggers, or preprocessed for one network.

    Args:
        images: The other images; what a subclass does not override is theirs.
    """

    def __init__(self, images: ImageDataModule) -> None:
        super().__init__(
            batch_size=images.batch_size, seed=images.seed, workers=images.workers, augmentation=images.augmentation
        )
        self.images = images
        self.classes, self.superclasses = images.classes, images.superclasses
        self.labelled, self.on_error = images.labelled, images.on_error
        self.smallest_side = images.smallest_side

    def showcase(self, count: int) -> dict[str, Tensor]:
        """Whole images of the wrapped data."""
        return self.images.showcase(count)

    def unreadable(self) -> list[Path]:
        """The images that this process met and could not read."""
        return self.images.unreadable()
