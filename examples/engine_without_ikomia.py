"""The engine by itself, without Ikomia: clicks, boxes, and everything, on one picture.

Run it from the repository: python examples/engine_without_ikomia.py
"""

from __future__ import annotations

from pathlib import Path

from skimage.data import coffee

from infer_segment_anything_2.exports import write_overlay
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine import (
    Engine,
    GridSettings,
    PredictionSettings,
    choose_device,
    load_model,
    to_rgb8,
)

PICTURE = coffee()  # or np.asarray(PIL.Image.open("yours.jpg"))
MODEL_NAME = "sam2_demo_nano"  # comes along, a toy; for real work "sam2.1_hiera_small" or larger
CUP = ObjectPrompt(points_xy_px=((300, 150), (60, 350)), labels=(1, 0))  # on it, and beside it
SPOON = ObjectPrompt(box_xyxy_px=(390, 230, 560, 340), category="spoon")
GRID = GridSettings(points_per_side=12)
OUTPUT = Path("example_output")

engine = Engine(load_model(MODEL_NAME, device=choose_device(cuda=True)))
image = to_rgb8(PICTURE)  # any picture becomes RGB of 8 bits: grey, 16 bits, floats, alpha

# What is prompted. The embedding is the slow part; it is made once and used for all prompts.
embedding = engine.embed(image)
(masks,) = engine.predict(embedding, [CUP, SPOON]).ranked
for rle, iou in zip(masks.rles, masks.predicted_iou, strict=True):
    print(f"prompted: {rle.area_px} pixels, predicted IoU {iou:.2f}")
write_overlay(OUTPUT / "prompted.png", masks, image)

# Three candidates for one click, the best first.
candidates = engine.predict(embedding, [CUP], PredictionSettings(multimask_output=True)).ranked
print("candidates:", [one.rles[0].area_px for one in candidates], "pixels")

# Everything.
result = engine.generate(image, GRID)
print("everything:", result.filter_counts)
write_overlay(OUTPUT / "everything.png", result.masks, image)

# Masks stay run lengths until pixels are wanted: one at a time, or all (n x height x width).
for rle in result.masks.rles[:1]:
    print("the best of them:", rle.decode().sum(), "pixels, as a bool array")
