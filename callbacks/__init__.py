"""What happens while Lightning trains: checkpoints and stops, randomness, guards, loggers."""
