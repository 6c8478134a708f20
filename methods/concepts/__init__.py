"""Concepts: images, neurons and pixels factorised with one shared image factor (arXiv 2012.12516)."""
