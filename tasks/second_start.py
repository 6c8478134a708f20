"""``task=second_start``: a control, the autoencoder A_S trained once more with another seed."""

from omegaconf import DictConfig, OmegaConf

from study.folder import study_folder
from tasks.pretrain import pretrain


def run(cfg: DictConfig) -> float:
    """Pre-train with the next seed, and return the validation loss."""
    if cfg.autoencoder.weights:
        raise ValueError("controls: second_start needs an A_S that is trained here; autoencoder.weights gives one")
    folder = study_folder(cfg)
    changed: DictConfig = OmegaConf.merge(cfg, {"seed": cfg.seed + 1})  # type: ignore[assignment]
    return pretrain(changed, folder.control("second_start"), folder.job("second_start"))
