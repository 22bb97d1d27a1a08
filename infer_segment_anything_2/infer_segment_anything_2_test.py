"""The hub's smoke test: it hands over a task and a picture, and expects a run."""

from __future__ import annotations

import logging
from typing import Any

from ikomia.utils.tests import run_for_test

from infer_segment_anything_2.parameters import DEMO_MODEL_NAME

logger = logging.getLogger("ikomia.infer_segment_anything_2")


def test(t: Any, data_dict: dict[str, Any]) -> Any:
    """Runs the task on the hub's test picture, with the bundled model: no download.

    Args:
        t: The task.
        data_dict: The hub's test data; ``data_dict["images"]`` holds paths of pictures by kind.
    """
    logger.info("Testing %s", t.name)
    t.get_input(0).load(data_dict["images"]["detection"]["coco"])
    t.set_parameters({"model_name": DEMO_MODEL_NAME, "points_per_side": 8})
    return run_for_test(t)
