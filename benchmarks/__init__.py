"""Measurements of speed, cost and agreement; each file is a command, described in its first lines."""
