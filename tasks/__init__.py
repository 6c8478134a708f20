"""One file per thing ``run.py`` can do; each wires config → datamodule → module → Trainer → study folder."""
