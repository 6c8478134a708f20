"""Numbers in, numbers out; tables in, figures out: what a study's results mean. Trains nothing, knows no config."""
