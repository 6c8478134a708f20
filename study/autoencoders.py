"""The autoencoders of a configuration."""

from pathlib import Path

from omegaconf import DictConfig

from networks.segnet import SegNet
from networks.weights import load_weights
from study.configuration.instantiation import instantiate


def has_autoencoders(cfg: DictConfig) -> bool:
    """Whether the study has autoencoders; ``autoencoder=none`` makes it one of classifiers alone."""
    return "_target_" in (cfg.autoencoder.network or {})


def require_autoencoders(cfg: DictConfig, what: str) -> None:
    """Refuse what cannot be done without autoencoders in a study that has none."""
    if not has_autoencoders(cfg):
        raise ValueError(
            f"{what} needs autoencoders, and autoencoder=none says that there are none: choose one, as "
            "autoencoder=segnet_compact"
        )


def make_autoencoder(cfg: DictConfig, weights: Path | None = None) -> SegNet:
    """The autoencoder, with the weights of a file if one is given."""
    autoencoder: SegNet = instantiate(cfg.autoencoder.network, "autoencoder.network", "autoencoder")
    if weights is not None:
        load_weights(autoencoder, weights)
    return autoencoder
