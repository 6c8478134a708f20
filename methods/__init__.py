"""One room per further method."""
