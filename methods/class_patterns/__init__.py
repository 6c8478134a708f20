"""Class-wise patterns: few pixels that make a classifier predict a class (arXiv 2101.06898)."""
