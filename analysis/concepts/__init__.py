"""Concepts: groups of images, neurons and pixels in one latent space, and what can be read off them."""
