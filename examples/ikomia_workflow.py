"""A workflow in Ikomia: two prompted objects, their instances, records and picture.

The plugin must be in ~/Ikomia/Plugins/Python (`make install` links it there).
"""

from __future__ import annotations

from pathlib import Path

from ikomia.dataprocess.workflow import Workflow
from PIL import Image
from skimage.data import coffee

PICTURE = coffee()  # or a file: workflow.run_on(path="yours.jpg")
PARAMETERS = {
    "model_name": "sam2_demo_nano",  # comes along, a toy; for real work "sam2.1_hiera_small"
    "input_box": [[60, 20, 500, 340], [390, 230, 560, 340]],
    "input_point": [[300, 150], [90, 300]],
    "input_point_label": [1, 0],
}
OUTPUT = Path("example_output")

workflow = Workflow()
task = workflow.add_task(name="infer_segment_anything_2", auto_connect=True)
task.set_parameters(PARAMETERS)
workflow.run_on(array=PICTURE)

# Output 1: the instances.
for instance in task.get_output(1).get_objects():
    print(f"instance {instance.id}: confidence {instance.confidence:.2f}, box {instance.box}")

# Output 4: a number per pixel, the smaller object on top.
print("numbers in the label picture:", sorted(set(task.get_output(4).get_image().ravel().tolist())))

# Output 5: a record per mask, in JSON types. The host clears it when it runs again: copy to keep.
for record in task.get_output(5).data["masks"]:
    print(f"record {record['id']}: {record['area']} pixels, prompt {record['prompt']}")

OUTPUT.mkdir(exist_ok=True)
Image.fromarray(task.get_image_with_mask()).save(OUTPUT / "ikomia_workflow.png")
