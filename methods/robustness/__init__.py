"""Robustness: accuracy under attack, of classifiers alone and behind autoencoders."""
