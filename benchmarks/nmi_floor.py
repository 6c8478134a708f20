"""The nMI floor against the number of bins: how alike do unrelated images look?

python benchmarks/nmi_floor.py     (the built-in photographs' test pairs, and independent noise of the same size)
"""

import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from datamodules import Photographs  # noqa: E402
from metrics.nmi import normalized_mutual_information  # noqa: E402


def main() -> None:
    """Print a Markdown table: bins, bias expected, floor of noise, floor of the photographs."""
    settings: Any = OmegaConf.to_container(OmegaConf.load(REPOSITORY / "conf" / "data" / "photographs.yaml"))
    del settings["_target_"]
    split = Photographs(**settings, batch_size=1, seed=0, augmentation="crop_flip").split("test")
    images = torch.stack([split[index][0] for index in range(len(split))]).float() / 255
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    values = images[0].numel()
    sys.stdout.write("| bins | bias, nats | nMI of noise | floor of the photographs |\n|---|---|---|---|\n")
    for bins in (8, 16, 32, 64, 128, 256):
        floors = [normalized_mutual_information(x[0::2], x[1::2], bins=bins).mean() for x in (noise, images)]
        bias = (bins - 1) ** 2 / (2 * values)
        sys.stdout.write(f"| {bins} | {bias:.3f} | {floors[0]:.4f} | {floors[1]:.3f} |\n")


if __name__ == "__main__":
    main()
