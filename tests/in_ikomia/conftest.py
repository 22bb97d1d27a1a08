"""What the tests in a real Ikomia share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data


@pytest.fixture(scope="session")
def others_are_known(ikomia_home: Path) -> None:
    """Ikomia knows the tasks of `chains`."""
    from ikomia.dataprocess.registry import ik_registry

    from tests.in_ikomia.chains import (
        DETECTOR_NAME,
        SEGMENTER_NAME,
        Detector,
        Factory,
        ParamFactory,
        Segmenter,
    )

    for name, task in ((DETECTOR_NAME, Detector), (SEGMENTER_NAME, Segmenter)):
        ik_registry.register_task(Factory(name, task), ParamFactory(name))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut()[::4, ::4])
