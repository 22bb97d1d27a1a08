"""Everything in two pictures, into one COCO file, read again by pycocotools.

Run it from the repository: python examples/export_coco.py
The command line does the same for files: python -m infer_segment_anything_2 segment --help
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from skimage.data import coffee, rocket

from infer_segment_anything_2.exports import coco_dataset
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.segmentation import Segmenter

PICTURES = {"coffee.png": coffee(), "rocket.png": rocket()}
PARAMETERS = Parameters(
    model_name="sam2_demo_nano",  # comes along, a toy; for real work "sam2.1_hiera_small" or larger
    points_per_side=12,
)
OUTPUT = Path("example_output/coco.json")

segmenter = Segmenter()
images: list[dict[str, object]] = []
masks: list[dict[str, object]] = []
for number, (name, picture) in enumerate(PICTURES.items(), start=1):
    found = segmenter.segment(picture, PARAMETERS)
    print(f"{name}: {found.summary}")
    dataset = coco_dataset(found.ranked[0], file_name=name)  # of one picture; joined here
    images += [{**image, "id": number} for image in dataset["images"]]
    masks += [
        {**mask, "id": len(masks) + index, "image_id": number}
        for index, mask in enumerate(dataset["annotations"], start=1)
    ]
OUTPUT.parent.mkdir(exist_ok=True)
OUTPUT.write_text(json.dumps({**dataset, "images": images, "annotations": masks}))

coco = COCO(str(OUTPUT))
areas = [int(np.sum(coco.annToMask(mask))) for mask in coco.loadAnns(coco.getAnnIds())]
print(f"{OUTPUT}: {len(coco.imgs)} pictures, {len(areas)} masks of {areas[:3]}, ... pixels")
