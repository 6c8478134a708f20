"""What further measurements of a study say: per-image results in, tables out."""
