"""Makes the page's pictures in docs/images in a real browser: `python -m scripts.page_shot`.

Words behind it, "picture" or "video", make only that one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from skimage.data import coffee

from infer_segment_anything_2.sam2_results.video_writing import opened_video
from scripts.demo_clip import draw_clip

FOLDER = Path("docs/images")
WIDTH, HEIGHT = 1280, 760
PHOTO_WH = (600, 400)
CLIP_WH = (256, 192)
CLIP_FPS = 12
FOLLOWED_FRAMES = 3
PATIENCE_MS = 120_000
CUP = (300, 150)
SPOON_BOX = (322, 236, 392, 328)


def main() -> None:
    """Starts the page on a photo and on a clip, points at objects, and takes the pictures."""
    wanted = sys.argv[1:] or ["picture", "video"]
    with tempfile.TemporaryDirectory() as folder:
        if "picture" in wanted:
            photo = Path(folder) / "coffee.png"
            Image.fromarray(coffee()).save(photo)
            with served(photo) as tab:
                point(tab)
                tab.screenshot(path=FOLDER / "page.jpg", type="jpeg", quality=85)
        if "video" in wanted:
            clip = draw_clip()
            file = Path(folder) / "clip.mp4"
            with opened_video(file) as video:
                for number, frame in enumerate(clip.frames):
                    video.write(frame, number / CLIP_FPS)
            with served(file) as tab:
                follow(tab, [clip.box_xyxy_px(one, 0) for one in range(len(clip.truth))])
                tab.screenshot(path=FOLDER / "page_video.jpg", type="jpeg", quality=85)


@contextmanager
def served(path: Path) -> Iterator[Page]:
    """A tab on the page of a file."""
    command = ["-m", "infer_segment_anything_2", "page", path.name]
    flags = ["--model-name", "sam2_demo_nano", "--no-browser", "--out", "out"]
    serving = subprocess.Popen(
        [sys.executable, *command, *flags],
        stderr=subprocess.PIPE,
        text=True,
        cwd=path.parent,  # so that the copied texts have short paths
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    try:
        assert serving.stderr is not None  # noqa: S101 - for the type checker
        address = re.search(r"http\S+", serving.stderr.readline())
        assert address is not None  # noqa: S101
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            tab.goto(address.group(), timeout=PATIENCE_MS)
            expect(tab.locator("#status")).to_contain_text("pixels", timeout=PATIENCE_MS)
            yield tab
            browser.close()
    finally:
        serving.terminate()
        serving.wait()


def point(tab: Page) -> None:
    """Points at the cup, then around the spoon."""
    tab.mouse.click(*place(tab, PHOTO_WH, *CUP))
    answered(tab, 1)
    tab.get_by_label("Name of object 1").fill("cup")
    tab.get_by_label("Name of object 1").press("Tab")
    answered(tab, 1)
    tab.locator("#canvas").focus()
    tab.keyboard.press("n")
    drag(tab, PHOTO_WH, SPOON_BOX)
    answered(tab, 2)
    tab.mouse.move(*place(tab, PHOTO_WH, *CUP))
    tab.wait_for_timeout(500)


def follow(tab: Page, boxes_xyxy_px: Sequence[tuple[int, int, int, int]]) -> None:
    """Draws boxes on the first frame, and follows them."""
    for number, box_xyxy_px in enumerate(boxes_xyxy_px, start=1):
        drag(tab, CLIP_WH, box_xyxy_px)
        answered(tab, number)
    for number, name in enumerate(("eye", "woman"), start=1):
        tab.get_by_label(f"Name of object {number}").fill(name)
        tab.get_by_label(f"Name of object {number}").press("Tab")
    tab.locator("[data-text=command]").click()
    tab.locator("#canvas").focus()
    for number in range(1, FOLLOWED_FRAMES + 1):
        tab.keyboard.press("f")
        expect(tab.locator("#status")).to_contain_text(f"Frame {number}:", timeout=PATIENCE_MS)
    tab.wait_for_timeout(500)


def drag(tab: Page, picture_wh: tuple[int, int], box_xyxy_px: tuple[int, int, int, int]) -> None:
    """Draws a box."""
    tab.mouse.move(*place(tab, picture_wh, *box_xyxy_px[:2]))
    tab.mouse.down()
    tab.mouse.move(*place(tab, picture_wh, *box_xyxy_px[2:]), steps=5)
    tab.mouse.up()


def answered(tab: Page, objects: int) -> None:
    """Waits until so many objects have their masks."""
    facts = tab.locator("#objects .facts", has_text=re.compile(r"\d\.\d\d$"))
    expect(facts).to_have_count(objects, timeout=PATIENCE_MS)


def place(tab: Page, picture_wh: tuple[int, int], x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the picture lies in the tab."""
    box = tab.locator("#canvas").bounding_box()
    assert box is not None  # noqa: S101
    width, height = picture_wh
    scale = min(box["width"] / width, box["height"] / height) * 0.98
    return (
        box["x"] + box["width"] / 2 + (x - width / 2) * scale,
        box["y"] + box["height"] / 2 + (y - height / 2) * scale,
    )


if __name__ == "__main__":
    main()
