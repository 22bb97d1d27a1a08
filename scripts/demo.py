"""Segments a few photos through a real Ikomia workflow and tracks a short clip: `make demo`.

Uses the small bundled network, so nothing is downloaded. Writes pictures, a video and records to
`demo_output/`, and an Ikomia home of its own beside them; your own Ikomia is left alone.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

REPOSITORY = Path(__file__).resolve().parent.parent
PLUGIN_NAME = "infer_segment_anything_2"
OUTPUT = REPOSITORY / "demo_output"
IKOMIA_HOME = OUTPUT / ".ikomia_home"

NO_PROMPT = {"input_point": "", "input_point_label": "", "input_box": "", "multimask_output": False}

CLIP_FPS = 12
STRIP_FRAMES = 6
STRIP_NAME = "clip_strip.png"
TRACKED_NAME = "clip_tracked.mp4"

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """A picture, and what to ask about it.

    Attributes:
        name: Of the files.
        image: H x W or H x W x 3.
        click_xy: On an object.
        box_xyxy: Around an object.
        background_xy: In that box, on something else.
    """

    name: str
    image: Picture
    click_xy: tuple[int, int]
    box_xyxy: tuple[int, int, int, int]
    background_xy: tuple[int, int]


@dataclass(frozen=True)
class Row:
    """One line of the table at the end."""

    picture: str
    mode: str
    masks: int
    best_iou: float
    seconds: float
    file: str


def main() -> None:
    """Runs everything and prints the table."""
    prepare_home()
    subjects = make_subjects()
    workflow, task = make_workflow()
    rows: list[Row] = []
    for subject in subjects:
        for mode, parameters in questions(subject).items():
            print(f"{subject.name}: {mode} ...", flush=True)
            rows.append(ask(workflow, task, subject, mode, parameters))
    print_table(rows)
    print("clip: two objects tracked from their boxes on the first frame ...", flush=True)
    print_tracking(track_clip(workflow, task))


def prepare_home() -> None:
    """Makes an Ikomia home with the plugin in it; must come before Ikomia is imported."""
    plugins = IKOMIA_HOME / "Ikomia" / "Plugins" / "Python"
    plugins.mkdir(parents=True, exist_ok=True)
    link = plugins / PLUGIN_NAME
    if not link.is_symlink():
        link.symlink_to(REPOSITORY / PLUGIN_NAME)
    os.environ.update(HOME=str(IKOMIA_HOME), IKOMIA_AUTO_COMPLETION="0")


def make_workflow() -> tuple[Any, Any]:
    """A workflow with our task, with the bundled network."""
    from ikomia.dataprocess.workflow import Workflow

    workflow = Workflow("Segment Anything 2 demo")
    task = workflow.add_task(name=PLUGIN_NAME, auto_connect=True)
    task.set_parameters({"model_name": "sam2_demo_nano", "cuda": False})
    return workflow, task


def make_subjects() -> list[Subject]:
    """Photos that scikit-image ships, and a scene like those that the network learned from."""
    from skimage import data

    from training.scenes import draw_scene

    return [
        Subject("coins", data.coins(), (158, 190), (138, 170, 178, 212), (140, 172)),
        Subject("coffee", data.coffee(), (287, 130), (170, 15, 425, 335), (365, 275)),
        Subject("rocket", data.rocket(), (320, 250), (295, 90, 345, 330), (300, 100)),
        Subject(
            "scene", draw_scene(4_000_007).image_hwc, (147, 165), (98, 108, 196, 206), (106, 114)
        ),
    ]


def questions(subject: Subject) -> dict[str, dict[str, Any]]:
    """The parameters of each thing that is asked about a picture."""
    box = list(subject.box_xyxy)
    return {
        "everything": NO_PROMPT,
        "click": {
            **NO_PROMPT,
            "input_point": [list(subject.click_xy)],
            "multimask_output": True,
        },
        "box": {**NO_PROMPT, "input_box": box},
        "box_and_background_point": {
            **NO_PROMPT,
            "input_box": box,
            "input_point": [list(subject.background_xy)],
            "input_point_label": [0],
        },
    }


def ask(workflow: Any, task: Any, subject: Subject, mode: str, parameters: dict[str, Any]) -> Row:
    """Runs the workflow once, and writes the picture and the records."""
    task.set_parameters(parameters)
    started = time.perf_counter()
    workflow.run_on(array=subject.image)
    seconds = time.perf_counter() - started
    records = task.get_output(5).data
    ranks = (1, 2, 3) if mode == "click" else (1,)
    painted = [
        task.get_output(0).get_image_with_mask(task.get_output(rank)).copy() for rank in ranks
    ]
    for picture in painted:
        draw_prompts(picture, subject, mode)
    file = OUTPUT / f"{subject.name}_{mode}.png"
    save_picture(np.concatenate(painted, axis=1), file)
    file.with_suffix(".json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    best = max((mask["predicted_iou"] for mask in records["masks"]), default=float("nan"))
    return Row(subject.name, mode, len(records["masks"]), best, seconds, file.name)


def draw_prompts(picture: Picture, subject: Subject, mode: str) -> None:
    """Marks what was asked: green on the object, red on the background, a white box."""
    import cv2

    def dot(xy: tuple[int, int], colour: tuple[int, int, int]) -> None:
        cv2.circle(picture, xy, 6, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, xy, 4, colour, -1, cv2.LINE_AA)

    marks: dict[str, Callable[[], None]] = {
        "click": lambda: dot(subject.click_xy, (0, 160, 0)),
        "box_and_background_point": lambda: dot(subject.background_xy, (220, 0, 0)),
    }
    if mode.startswith("box"):
        x1, y1, x2, y2 = subject.box_xyxy
        cv2.rectangle(picture, (x1, y1), (x2, y2), (255, 255, 255), 2)
    marks.get(mode, lambda: None)()


def save_picture(image_rgb_hwc: Picture, file: Path) -> None:
    """Writes a PNG."""
    from PIL import Image

    Image.fromarray(image_rgb_hwc).save(file)


def track_clip(workflow: Any, task: Any) -> list[float]:
    """Tracks a drawn clip through the workflow, and paints a strip of it beside the video.

    Returns:
        Per object the mean IoU with the truth over the frames after the first.
    """
    from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
    from infer_segment_anything_2.sam2_reading.video_files import VideoFile
    from infer_segment_anything_2.sam2_results.video_writing import opened_video
    from scripts.demo_clip import draw_clip

    clip = draw_clip()
    with opened_video(OUTPUT / "clip.mp4") as video:
        for number, frame in enumerate(clip.frames):
            video.write(frame, number / CLIP_FPS)
    boxes = [clip.box_xyxy_px(one, 0) for one in range(len(clip.truth))]
    task.set_parameters({**NO_PROMPT, "input_box": boxes})
    workflow.set_auto_save(True)  # records of all frames, and a video that shows the masks
    workflow.run_on(path=str(OUTPUT / "clip.mp4"))
    saved = Path(task.output_folder)
    (saved_video,) = saved.glob("*.mp4")
    shutil.copyfile(saved_video, OUTPUT / TRACKED_NAME)
    shown = [frame.image_rgb_hwc for frame in VideoFile(str(OUTPUT / TRACKED_NAME)).frames()]
    save_picture(np.concatenate(shown[:: len(shown) // STRIP_FRAMES], axis=1), OUTPUT / STRIP_NAME)
    records = json.loads((saved / "Records_5.json").read_text(encoding="utf-8"))
    found: list[dict[int, npt.NDArray[np.bool_]]] = [
        {
            mask["track_id"]: Rle.from_coco(
                tuple(mask["segmentation"]["size"]), mask["segmentation"]["counts"]
            ).decode()
            for mask in frame["masks"]
        }
        for frame in records
    ]
    return [
        float(
            np.mean(
                [
                    iou(masks.get(number, np.zeros_like(truth_hw)), truth_hw)
                    for masks, truth_hw in zip(found[1:], truth[1:], strict=True)
                ]
            )
        )
        for number, truth in enumerate(clip.truth, start=1)
    ]


def iou(one_hw: npt.NDArray[np.bool_], other_hw: npt.NDArray[np.bool_]) -> float:
    """What two masks share of what either has; 1 where both are empty."""
    either = (one_hw | other_hw).sum()
    return float((one_hw & other_hw).sum() / either) if either else 1.0


def print_tracking(mean_ious: list[float]) -> None:
    """What came out of the clip, against its truth."""
    ious = ", ".join(f"{value:.2f}" for value in mean_ious)
    print(f"Mean IoU with the truth after the first frame, by object: {ious}")
    print(f"The video is {OUTPUT / TRACKED_NAME}, a strip of it {OUTPUT / STRIP_NAME}")


def print_table(rows: list[Row]) -> None:
    """The summary, as Markdown."""
    print(f"\nPictures and records are in {OUTPUT}")
    print(
        "The model that comes along is a toy: look at coffee_box.png and rocket_box.png, where it "
        "finds parts of\nthe cup and of the rocket only. Meta's models, fetched on first use, do "
        "much better.\n"
    )
    print("| picture | asked | masks | best predicted IoU | seconds | file |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.picture} | {row.mode} | {row.masks} | {row.best_iou:.2f} "
            f"| {row.seconds:.2f} | {row.file} |"
        )


if __name__ == "__main__":
    main()
