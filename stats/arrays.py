"""Types of arrays, and the tolerance at which two ratios count as one value."""

from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Values = npt.NDArray[Any]
"""Booleans, integers or floats, a row for each image."""

SAME_VALUE = 1e-12
"""Relative difference up to which two ratios count as one value: 0.1/0.2 and 0.3/0.6 may differ in the last bits."""
