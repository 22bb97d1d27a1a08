"""What the tests of everything mode share."""

from __future__ import annotations

import pytest

from tests.networks import Generators, nano_network


@pytest.fixture(scope="module")
def nano() -> Generators:
    return Generators(nano_network())
