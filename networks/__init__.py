"""Plain ``torch.nn`` networks: autoencoders and classifiers. No Lightning, no config."""
