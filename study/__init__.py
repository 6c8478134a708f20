"""The engine: what a study is on disk, and how a step runs."""

__version__ = "0.2.0"
