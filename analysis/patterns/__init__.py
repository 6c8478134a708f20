"""Small patterns of pixels, as numbers."""
