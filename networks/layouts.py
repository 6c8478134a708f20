"""The layouts of activations: channels first or last, tokens, or no spatial axes."""

from torch import Tensor


def channels_first(values: Tensor) -> Tensor:
    """Activations as ``(N, C, H, W)``.

    Args:
        values: ``(N, C, H, W)``; ``(N, H, W, C)``, recognised by equal second and third axes; tokens ``(N, T, C)``,
            which become T rows of one position; or ``(N, C)``.

    Raises:
        ValueError: If it has another number of axes.
    """
    if values.ndim == 2:
        return values[:, :, None, None]
    if values.ndim == 3:
        return values.transpose(1, 2)[..., None]
    if values.ndim != 4:
        raise ValueError(f"activations of shape {tuple(values.shape)} have an unknown layout: choose another layer")
    _, first, second, third = values.shape
    return values.permute(0, 3, 1, 2) if first == second != third else values


def laid_out_like(activation: Tensor, values: Tensor) -> Tensor:
    """The inverse of :func:`channels_first`.

    Args:
        activation: Has the layout, dtype and device of the result.
        values: ``(N, C, H, W)``; height and width may be 1.
    """
    values = values.to(activation)
    if activation.ndim == 2:
        return values[:, :, 0, 0]
    if activation.ndim == 3:
        return values[..., 0].transpose(1, 2)
    _, first, second, third = activation.shape
    return values.permute(0, 2, 3, 1) if first == second != third else values


def spatial_mean(activation: Tensor) -> Tensor:
    """The mean over positions, for each image and channel.

    Args:
        activation: See :func:`channels_first`; ``(N, C)`` is returned as it is.

    Returns:
        Shape ``(N, C)``.

    Raises:
        ValueError: If it has another number of axes.
    """
    return activation if activation.ndim == 2 else channels_first(activation).mean(dim=(2, 3))
