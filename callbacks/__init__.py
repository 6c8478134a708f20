"""What happens while Lightning trains: checkpoints and stops, randomness, guards, what dashboards show."""

from callbacks.checkpointing import Checkpointing, Stopped, WholeFileCheckpointIO
from callbacks.guards import FiniteLoss
from callbacks.randomness import SeededBatches

__all__ = ["Checkpointing", "FiniteLoss", "SeededBatches", "Stopped", "WholeFileCheckpointIO"]
