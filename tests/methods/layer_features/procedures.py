"""The two procedures that come with the program, and one without regularizers."""

from dataclasses import asdict, replace

from omegaconf import OmegaConf

from methods.layer_features.procedure import Procedure
from methods.layer_features.settings import LayerFeatures
from run import CONF

DEFAULTS = asdict(LayerFeatures())
CHANGES = OmegaConf.to_container(OmegaConf.load(CONF / "presets" / "layer_features" / "published.yaml"))
assert isinstance(CHANGES, dict)
STABLE, PUBLISHED = Procedure.of(DEFAULTS), Procedure.of(DEFAULTS | {str(key): CHANGES[key] for key in CHANGES})
PLAIN = replace(STABLE, blur=(0.0, 0.0), denoise=None, every=0, until=1.0, shift=0)
