"""The page: lays out what tasks have written."""
