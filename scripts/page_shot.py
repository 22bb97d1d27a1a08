"""Makes docs/images/page.jpg, the page at work in a real browser: `python -m scripts.page_shot`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from skimage.data import coffee

TARGET = Path("docs/images/page.jpg")
WIDTH, HEIGHT = 1280, 760
SIDES_PX = (600, 400)
PATIENCE_MS = 120_000
CUP = (300, 150)
SPOON_BOX = (322, 236, 392, 328)


def main() -> None:
    """Starts the page on a photo, points at three objects, and takes the picture."""
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(coffee()).save(Path(folder) / "coffee.png")
        command = ["-m", "infer_segment_anything_2", "page", f"{folder}/coffee.png"]
        flags = ["--model-name", "sam2_demo_nano", "--no-browser", "--out", f"{folder}/results"]
        serving = subprocess.Popen(
            [sys.executable, *command, *flags], stderr=subprocess.PIPE, text=True
        )
        try:
            assert serving.stderr is not None  # noqa: S101 - for the type checker
            address = re.search(r"http\S+", serving.stderr.readline())
            assert address is not None  # noqa: S101
            shoot(address.group())
        finally:
            serving.terminate()
            serving.wait()


def shoot(address: str) -> None:
    """Points at the cup, then around the spoon."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        tab.goto(address)
        expect(tab.locator("#status")).to_contain_text("pixels", timeout=PATIENCE_MS)
        tab.mouse.click(*place(tab, *CUP))
        answered(tab, 1)
        tab.get_by_label("Name of object 1").fill("cup")
        tab.get_by_label("Name of object 1").press("Tab")
        answered(tab, 1)
        tab.locator("#canvas").focus()
        tab.keyboard.press("n")
        tab.mouse.move(*place(tab, *SPOON_BOX[:2]))
        tab.mouse.down()
        tab.mouse.move(*place(tab, *SPOON_BOX[2:]), steps=5)
        tab.mouse.up()
        answered(tab, 2)
        tab.mouse.move(*place(tab, *CUP))
        tab.wait_for_timeout(500)
        tab.screenshot(path=TARGET, type="jpeg", quality=85)
        browser.close()


def answered(tab: Page, objects: int) -> None:
    """Waits until so many objects have their masks."""
    facts = tab.locator("#objects .facts", has_text=re.compile(r"\d\.\d\d$"))
    expect(facts).to_have_count(objects, timeout=PATIENCE_MS)


def place(tab: Page, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the picture lies in the tab."""
    box = tab.locator("#canvas").bounding_box()
    assert box is not None  # noqa: S101
    width, height = SIDES_PX
    scale = min(box["width"] / width, box["height"] / height) * 0.98
    return (
        box["x"] + box["width"] / 2 + (x - width / 2) * scale,
        box["y"] + box["height"] / 2 + (y - height / 2) * scale,
    )


if __name__ == "__main__":
    main()
