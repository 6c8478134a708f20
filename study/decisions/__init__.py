"""Decisions as labels: where they are used, where they are kept, and what is checked before work is done with them."""
