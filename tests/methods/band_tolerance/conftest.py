"""Made-up predictions and their numbers, for every test of tables."""

import pytest

from methods.band_tolerance.evaluation import Passed
from methods.band_tolerance.measures import Measured, measure
from tests.methods.band_tolerance.made_channels import HOW, ROWS, made_predictions


@pytest.fixture(scope="session")
def passed() -> Passed:
    return made_predictions(ROWS)


@pytest.fixture(scope="session")
def measured(passed: Passed) -> Measured:
    return measure(passed, ROWS, HOW)
