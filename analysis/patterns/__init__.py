"""Class-wise patterns: masks and their controls, pasting, and how often they succeed."""
