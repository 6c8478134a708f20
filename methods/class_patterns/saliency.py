"""Which pixels a class's logit is most sensitive to."""

import torch
from torch import Tensor, nn

from networks.classifier import frozen


def class_saliency(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The gradient of each image's logit of a class: its largest absolute value over the three channels.

    Args:
        model: From images to logits ``(N, classes)``; in eval mode meanwhile.
        images: RGB in [0, 1], shape ``(N, 3, H, W)``.
        targets: The classes, shape ``(N,)``.

    Returns:
        Shape ``(N, H, W)``.

    Source: arXiv 1312.6034, section 3.
    """
    with frozen(model), torch.inference_mode(False), torch.enable_grad():
        pixels = images.clone().requires_grad_()
        logits = model(pixels).float()
        [gradient] = torch.autograd.grad(logits.gather(1, targets.clone()[:, None]).sum(), pixels)
    return gradient.abs().amax(dim=1)
