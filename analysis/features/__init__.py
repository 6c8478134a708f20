"""Class-agnostic features of layers: clusters of images, what a synthesis aims at, and how near it came."""
