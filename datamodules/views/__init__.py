"""Views of other images, with other labels or fewer images."""
