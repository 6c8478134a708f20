"""Workarounds for Lightning, each with its reason."""

import logging
import warnings


def quiet_lightning() -> None:
    """Keep Lightning's notices about the machine, and advice that does not apply here, off the screen."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*recommended to use .*devices=1, num_nodes=1.*",
        r".*module\(s\) in eval mode at the start of training.*",  # frozen on purpose
        ".*LeafSpec.* is deprecated.*",  # Lightning's own call
        ".*your dataloader is not resumable.*",  # its sampler is
        ".*`srun` command is available on your system but is not used.*",  # one process is enough for one device
        ".*`IterableDataset` has `__len__` defined.*",  # and it is right
    ):
        warnings.filterwarnings("ignore", message=message)
