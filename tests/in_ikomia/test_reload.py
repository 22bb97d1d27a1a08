"""The host's reload of the plugin: nothing but our own modules goes, and it works after that.

The host drops every loaded module whose name contains that of a folder of ours, whoever's it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PLUGIN_NAME, REPOSITORY, SHELVES

pytestmark = pytest.mark.ikomia

# In a process of its own. The modules of others are given by what they are, not only by name: one
# that was dropped and imported again would be another one.
RELOAD = f"""
import json, sys
import numpy as np
import sam2.automatic_mask_generator, sam2.sam2_image_predictor, sam2.sam2_video_predictor
import sam2.utils.amg, torch.utils.data, torchvision.models
from ikomia.dataprocess.registry import ik_registry
from ikomia.dataprocess.workflow import Workflow

NAME = "{PLUGIN_NAME}"
picture = np.full((96, 128, 3), 40, np.uint8)
picture[24:72, 32:96] = (230, 120, 40)

def run():
    workflow = Workflow()
    task = workflow.add_task(name=NAME, auto_connect=True)
    task.set_parameters({{"model_name": "sam2_demo_nano", "input_box": [28, 20, 100, 76]}})
    workflow.run_on(array=picture)
    return type(task), task.get_output(5).data["masks"][0]["segmentation"]

def is_ours(name):
    return name == NAME or name.startswith(NAME + ".")

before_type, before_mask = run()
before = dict(sys.modules)
ik_registry.load_python_algorithm(ik_registry.get_plugins_directory() + "/Python/" + NAME)
after = dict(sys.modules)
after_type, after_mask = run()
print(json.dumps({{
    "plugin": before[NAME].__file__,
    "ours": sorted(name for name in before if is_ours(name)),
    "dropped": sorted(name for name in before if name not in after),
    "replaced": sorted(n for n in before if n in after and after[n] is not before[n]),
    "is another class": before_type is not after_type,
    "before": before_mask,
    "after": after_mask,
}}))
"""


@pytest.fixture(scope="module")
def told(ikomia_home: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RELOAD],
        env={**os.environ, "HOME": str(ikomia_home.parent)},
        cwd=ikomia_home,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


class TestReload:
    def test_is_of_this_checkouts_plugin_and_of_all_its_shelves_in_use(
        self, told: dict[str, Any]
    ) -> None:
        assert Path(told["plugin"]).resolve().parent == REPOSITORY / PLUGIN_NAME
        loaded = {name.split(".")[1] for name in told["ours"] if "." in name}
        # Not for a run in the API: the other faces.
        assert loaded & SHELVES == SHELVES - {"sam2_form", "sam2_batch", "sam2_web"}

    def test_takes_no_module_from_anybody_else(self, told: dict[str, Any]) -> None:
        for kind in ("dropped", "replaced"):
            assert [name for name in told[kind] if name not in told["ours"]] == []

    def test_drops_all_that_lies_on_our_shelves(self, told: dict[str, Any]) -> None:
        # What stayed would be old code under new.
        gone = {*told["dropped"], *told["replaced"]}
        on_shelves = [
            name for name in told["ours"] if name.split(".")[1:2] and name.split(".")[1] in SHELVES
        ]
        assert on_shelves
        assert [name for name in on_shelves if name not in gone] == []

    def test_a_workflow_runs_after_it(self, told: dict[str, Any]) -> None:
        assert told["is another class"]
        assert told["after"] == told["before"]
