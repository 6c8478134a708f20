"""The two procedures that come with the program, and one without regularizers."""

from dataclasses import replace
from typing import Any

from omegaconf import OmegaConf

from methods.layer_features.settings import LayerFeatures
from run import CONF

CHANGES: Any = OmegaConf.to_container(OmegaConf.load(CONF / "presets" / "layer_features" / "published.yaml"))
STABLE, PUBLISHED = LayerFeatures(), LayerFeatures(**CHANGES)
PLAIN = replace(STABLE, blur=[0.0, 0.0], denoise=None, every=0, until=1.0, shift=0)
