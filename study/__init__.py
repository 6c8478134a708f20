"""The engine: what a study is on disk, and how a step runs."""
