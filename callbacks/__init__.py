"""What happens while Lightning trains: checkpoints and stops, randomness, guards, what dashboards show."""

from callbacks.checkpointing import Checkpointing, WholeFileCheckpointIO
from callbacks.guards import FiniteLoss
from callbacks.monitoring import Monitor, Reconstructions
from callbacks.randomness import SeededBatches
from callbacks.stopping import STOP_REQUESTS, Stopped

__all__ = [
    "STOP_REQUESTS",
    "Checkpointing",
    "FiniteLoss",
    "Monitor",
    "Reconstructions",
    "SeededBatches",
    "Stopped",
    "WholeFileCheckpointIO",
]
