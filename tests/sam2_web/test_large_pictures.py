"""The page on a picture of 50 megapixels: everything sent stays small, coordinates are its own."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from tests.sam2_web.conftest import CHROMIUM, Page, ask, end_page, start_page, unpacked
from tests.sam2_web.tabs import expect, masks_shown, place, says, text

pytestmark = pytest.mark.slow

HW = (5773, 8660)
CLICK_XY = (3921, 2104)  # in the cup
OVERVIEW_PX = 2048


@pytest.fixture(scope="module")
def photo() -> npt.NDArray[np.uint8]:
    enlarged = Image.fromarray(data.coffee()).resize(HW[::-1], Image.Resampling.BICUBIC)
    return np.asarray(enlarged)


@pytest.fixture(scope="module")
def large(photo: npt.NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("large")
    Image.fromarray(photo).save(folder / "large.bmp")
    running = start_page(folder, folder / "out")
    yield running
    end_page(running)


def part(page: Page, *box: int) -> tuple[npt.NDArray[np.uint8], int]:
    """A part as the page shows it, and the bytes that were sent."""
    status, sent, _ = ask(page, f"/api/pictures/0/part?box={','.join(map(str, box))}")
    assert status == 200
    with Image.open(io.BytesIO(sent)) as jpeg:
        return np.asarray(jpeg), len(sent)


def test_is_sent_small_and_near_by_in_its_own_pixels(
    large: Page, photo: npt.NDArray[np.uint8]
) -> None:
    facts = json.loads(ask(large, "/api/pictures/0")[1])
    assert (facts["height"], facts["width"]) == HW
    overview, n_bytes = part(large, 0, 0, *HW[::-1])
    assert max(overview.shape) == OVERVIEW_PX
    assert n_bytes < 2**20
    left, top = HW[1] - 1024, HW[0] - 700
    tile, n_bytes = part(large, left, top, *HW[::-1])
    assert tile.shape == (700, 1024, 3)
    assert n_bytes < 2**20
    assert np.abs(tile.astype(int) - photo[top:, left:]).mean() < 3


def test_masks_are_of_its_own_pixels_and_few_bytes(large: Page) -> None:
    given = {
        "input_objects": [{"points": [CLICK_XY], "labels": [1]}],
        "multimask_output": True,
    }
    body = {"parameters": given, "job": "click"}
    status, packed, _ = ask(large, "/api/pictures/0/segment", body)
    assert status == 200
    assert len(packed) < 2**19  # three masks; as pixels they would be 150 MB
    head, rles = unpacked(packed, HW)
    assert len(rles) == 3
    x, y = CLICK_XY
    for (mask,), rle in zip(head["ranks"], rles, strict=True):
        mask_hw = rle.decode()
        assert mask_hw.shape == HW
        assert mask["area"] == mask_hw.sum()
        columns, rows = np.flatnonzero(mask_hw.any(0)), np.flatnonzero(mask_hw.any(1))
        assert mask["box"] == [columns[0], rows[0], columns[-1], rows[-1]]
    assert any(rle.decode()[y, x] for rle in rles)
    assert max(mask["box"][2] for (mask,) in head["ranks"]) > OVERVIEW_PX


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_click_in_the_browser_is_told_in_its_own_pixels(
    browser: object, large: Page, tmp_path: Path
) -> None:
    tab = browser.new_page(viewport={"width": 1280, "height": 800})  # type: ignore[attr-defined]
    sent: list[int] = []
    tab.on("response", lambda answer: sent.append(int(answer.header_value("content-length") or 0)))
    tab.goto(f"{large.address}#{large.token}")
    says(tab, "8660 x 5773 pixels")
    x, y = CLICK_XY
    tab.mouse.click(*place(tab, x / HW[1], y / HW[0], HW))
    masks_shown(tab, 1)
    for _ in range(14):  # until the picture's own pixels are seen
        tab.mouse.wheel(0, -100)
    expect(tab.locator("#zoom")).to_have_text(re.compile(r"22\d %"))
    tab.keyboard.press("n")
    near_x, near_y = place(tab, x / HW[1], y / HW[0], HW)
    tab.mouse.click(near_x, near_y)
    tab.mouse.click(near_x + 20, near_y)
    expect(tab.locator("#objects .facts").last).to_contain_text("2 pt")
    masks_shown(tab, 2)
    first, second = json.loads(text(tab, "command", '"points"').split("'")[1])
    # At first a pixel of the screen is ten of the picture, then less than half of one.
    assert first["points"][0] == pytest.approx(CLICK_XY, abs=12)
    (left, top), (right, bottom) = second["points"]
    assert (left, top) == pytest.approx(CLICK_XY, abs=12)
    assert (right - left, bottom - top) == pytest.approx((20 / 2.21, 0), abs=0.2)
    assert max(sent) < 2**20
    tab.close()
