"""Layer features: images that show what a layer finds most informative (arXiv 2101.12447)."""
