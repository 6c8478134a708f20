"""SegNet: a convolutional autoencoder that passes the positions of pooled maxima to its decoder."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor, nn

from networks.normalization import IMAGENET_MEAN, IMAGENET_STD, Normalization

VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
COMPACT_STAGES = ((16, 16), (32, 32), (64, 64))

Switches = list[tuple[Tensor | None, Size]]


class SegNet(nn.Module):
    """SegNet: VGG16-BN's convolutions, and a mirrored decoder that unpools with the encoder's switches.

    At full width it has 29,480,259 parameters: the layers of the published weight file, counted. Normalisation
    happens inside; the output is not clamped.

    Args:
        stages: Channel widths of the encoder's convolutions, stage by stage; a 2×2 max-pool ends each stage.
        mean: Per-channel mean the network normalises with.
        std: Per-channel standard deviation the network normalises with.
        switches: Whether the decoder gets the positions of the pooled maxima. Otherwise nothing is pooled: each 2×2
            pixels become one with four times the channels (and back), and the decoder gets nothing but the code.
        code: Channels of the code, to which a 1×1 convolution reduces the last stage; ``None`` keeps them all.

    Source: arXiv 1803.08337, section 3; layer names are those of the weights published with it. ``switches=False`` is
    this project's, with the rearrangement of arXiv 1609.05158.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[int]] = VGG16_STAGES,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        switches: bool = True,
        code: int | None = None,
    ) -> None:
        super().__init__()
        if code is not None and code < 1:
            raise ValueError(f"autoencoder.network.code={code}: the code needs one channel or more, or null for all")
        self.normalization = Normalization(mean, std)
        self.encoder = Encoder(stages, switches, code)
        self.decoder = Decoder(stages, switches, code)

    @property
    def smallest_image(self) -> int:
        """The smallest height or width that every pooling stage can still halve, in pixels."""
        return 2 ** len(self.encoder.stages)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images.

        Args:
            images: RGB in [0, 1], shape ``(N, 3, H, W)``; any size from ``smallest_image`` on.

        Returns:
            Reconstructions of the same shape; values may leave [0, 1].
        """
        return self.decode(*self.encode(images))

    def encode(self, images: Tensor) -> tuple[Tensor, Switches]:
        """Compute the code ``(N, C, H', W')`` and the pooling switches of images ``(N, 3, H, W)`` in [0, 1]."""
        if min(images.shape[-2:]) < self.smallest_image:
            height, width = images.shape[-2:]
            raise ValueError(
                f"images of {height}×{width} pixels are too small for an autoencoder with {len(self.encoder.stages)} "
                f"pooling stages; use at least {self.smallest_image}×{self.smallest_image}"
            )
        code, switches = self.encoder(self.normalization(images))
        return code, switches

    def decode(self, code: Tensor, switches: Switches) -> Tensor:
        """Turn what :meth:`encode` returned into images ``(N, 3, H, W)``, about in [0, 1]."""
        return self.normalization.undo(self.decoder(code, switches))


class Encoder(nn.Module):
    """Convolution stages, each followed by a 2×2 max-pool (its switches are returned) or by a rearrangement."""

    def __init__(self, stages: Sequence[Sequence[int]], switches: bool = True, code: int | None = None) -> None:
        super().__init__()
        self.stages = [list(range(1, len(widths) + 1)) for widths in stages]
        self.switches = switches
        channels = 3
        for stage, widths in enumerate(stages, start=1):
            for position, width in enumerate(widths, start=1):
                add_convolution(self, f"{stage}{position}", channels, width)
                channels = width
            channels *= 1 if switches else 4
        self.conv_code = nn.Identity() if code is None else nn.Conv2d(channels, code, kernel_size=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Switches]:
        """Return the code and, per stage, the switches (or ``None``) with the size they were taken at."""
        switches: Switches = []
        for stage, positions in enumerate(self.stages, start=1):
            for position in positions:
                x = convolve(self, f"{stage}{position}", x)
            size = x.shape
            if self.switches:
                x, indices = F.max_pool2d(x, 2, return_indices=True)
            else:
                odd = [0, size[-1] % 2, 0, size[-2] % 2]
                x, indices = F.pixel_unshuffle(F.pad(x, odd, mode="replicate"), 2), None
            switches.append((indices, size))
        return self.conv_code(x), switches


class Decoder(nn.Module):
    """The encoder mirrored: unpool or rearrange, then convolutions, the last of which changes the channels."""

    def __init__(self, stages: Sequence[Sequence[int]], switches: bool = True, code: int | None = None) -> None:
        super().__init__()
        self.stages = [list(range(len(widths), 0, -1)) for widths in stages]
        times = 1 if switches else 4  # channels that a rearrangement takes for one
        self.conv_code = nn.Identity() if code is None else nn.Conv2d(code, times * stages[-1][-1], kernel_size=1)
        for stage in range(len(stages), 0, -1):
            width = stages[stage - 1][-1]
            narrower = times * stages[stage - 2][-1] if stage > 1 else stages[0][0]
            for position in self.stages[stage - 1]:
                add_convolution(self, f"{stage}{position}", width, narrower if position == 1 else width, suffix="d")
        self.conv_final = nn.Conv2d(stages[0][0], 3, kernel_size=1)

    def forward(self, x: Tensor, switches: Switches) -> Tensor:
        """Return normalised images ``(N, 3, H, W)`` from the code and the encoder's switches."""
        x = self.conv_code(x)
        for stage in range(len(self.stages), 0, -1):
            indices, size = switches[stage - 1]
            # Without output_size, max_unpool2d raises on odd sizes or, on small maps, silently misplaces pixels
            if indices is None:
                x = F.pixel_shuffle(x, 2)[..., : size[-2], : size[-1]]
            else:
                x = F.max_unpool2d(x, indices, [2, 2], output_size=list(size[-2:]))
            for position in self.stages[stage - 1]:
                x = convolve(self, f"{stage}{position}", x, suffix="d")
        if not torch.is_autocast_enabled(x.device.type):
            return self.conv_final(x)
        with torch.autocast(x.device.type, enabled=False):  # half precision has too few levels for pixels
            return self.conv_final(x.float())


def add_convolution(module: nn.Module, number: str, channels: int, width: int, suffix: str = "") -> None:
    """Register one 3×3 convolution and its batch-norm under their published names."""
    module.add_module(f"conv{number}{suffix}", nn.Conv2d(channels, width, kernel_size=3, padding=1))
    module.add_module(f"bn{number}{suffix}", nn.BatchNorm2d(width, momentum=0.1))  # as published


def convolve(module: nn.Module, number: str, x: Tensor, suffix: str = "") -> Tensor:
    """Apply the convolution, batch-norm and ReLU registered under a number."""
    convolution: Any = getattr(module, f"conv{number}{suffix}")
    norm: Any = getattr(module, f"bn{number}{suffix}")
    return F.relu(norm(convolution(x)))


class CompactSegNet(SegNet):
    """A SegNet for small images: three stages of 16, 32 and 64 channels, trained in minutes on a laptop."""

    def __init__(
        self, stages: Sequence[Sequence[int]] = COMPACT_STAGES, switches: bool = True, code: int | None = None
    ) -> None:
        super().__init__(stages, switches=switches, code=code)
