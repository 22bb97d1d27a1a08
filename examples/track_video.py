"""Objects through a video in Ikomia, frame by frame, as one would with a camera.

The plugin must be in ~/Ikomia/Plugins/Python (`make install` links it there).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ikomia.dataprocess.workflow import Workflow
from PIL import Image
from skimage.data import astronaut, coffee

MODEL_NAME = "sam2_demo_nano"  # comes along, a toy; for real work "sam2.1_hiera_small" or larger
FACE = astronaut()[0:180:2, 170:290:2]  # what moves; yours are frames of cv2.VideoCapture
FIRST_BOX = [20, 30, 79, 119]
OUTPUT = Path("example_output")

workflow = Workflow()
task = workflow.add_task(name="infer_segment_anything_2", auto_connect=True)
# Pictures that come one by one are a video only where that is asked for.
task.set_parameters({"model_name": MODEL_NAME, "video_mode": "track", "input_box": FIRST_BOX})

shown = []
for number in range(6):
    frame = coffee()[:200, :300].copy()
    left = 20 + 12 * number
    frame[30 : 30 + FACE.shape[0], left : left + FACE.shape[1]] = FACE
    workflow.run_on(array=frame)
    for mask in task.get_output(5).data["masks"]:
        print(f"frame {number}: object {mask['track_id']} {mask['state']}, {mask['area']} pixels")
    shown.append(task.get_image_with_mask())
OUTPUT.mkdir(exist_ok=True)
Image.fromarray(np.concatenate(shown, axis=1)).save(OUTPUT / "track_video.png")
