"""Tables and images in, matplotlib figures out."""
