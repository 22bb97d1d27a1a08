"""Clicks on one picture in Ikomia: the first encodes the picture, the others are answered at once.

The plugin must be in ~/Ikomia/Plugins/Python (`make install` links it there).
"""

from __future__ import annotations

import time
from pathlib import Path

from ikomia.dataprocess.workflow import Workflow
from PIL import Image
from skimage.data import coffee

PICTURE = coffee()
MODEL_NAME = "sam2_demo_nano"  # comes along, a toy; for real work "sam2.1_hiera_small" or larger
CLICKS = [  # x, y, and whether it lies on the object (1) or on something else (0)
    (300, 150, 1),
    (60, 350, 0),
    (480, 290, 0),
    (150, 150, 1),
]
OUTPUT = Path("example_output")

workflow = Workflow()
task = workflow.add_task(name="infer_segment_anything_2", auto_connect=True)
task.set_parameters({"model_name": MODEL_NAME})
workflow.init_long_process()  # loads the network, so that it is not counted below
workflow.set_image_input(array=PICTURE)

OUTPUT.mkdir(exist_ok=True)
for count in range(1, len(CLICKS) + 1):
    so_far = CLICKS[:count]
    task.set_parameters(
        {
            "input_point": [[x, y] for x, y, _ in so_far],
            "input_point_label": [label for _, _, label in so_far],
        }
    )
    started = time.perf_counter()
    workflow.run()
    milliseconds = (time.perf_counter() - started) * 1000
    record = task.get_output(5).data["masks"][0]
    print(
        f"click {count}: {milliseconds:6.0f} ms, {record['area']} pixels, "
        f"predicted IoU {record['predicted_iou']:.2f}"
    )
    Image.fromarray(task.get_image_with_mask()).save(OUTPUT / f"click_{count}.png")
