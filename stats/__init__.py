"""Statistics: arrays in, arrays and tables out; no files, no figures, no configuration."""
