"""Typed settings: one dataclass per node of the configuration, with type, range and a line of help for every key."""

from study.settings.fields import Settings, check_node, expected, setting

__all__ = ["Settings", "check_node", "expected", "setting"]
