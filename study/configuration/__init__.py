"""Configurations: what their files may say, which names are allowed, and the objects that they describe."""
