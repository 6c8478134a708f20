"""Band tolerance: how many bits of an image a network lets in, by scale, orientation and colour."""
