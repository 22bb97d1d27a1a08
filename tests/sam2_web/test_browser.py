"""The page as its users have it: in a real browser, by mouse and keyboard."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer_segment_anything_2.parameters import ROWS, Parameters, stringify
from infer_segment_anything_2.sam2_batch.flags import make_parser
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_reading.picture_files import read_picture
from infer_segment_anything_2.segmentation import Segmenter
from tests.sam2_web.conftest import Page, end_page, start_page
from tests.sam2_web.tabs import CHROMIUM, masks_shown, opened, place, says, text

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
sync_api = pytest.importorskip("playwright.sync_api")


@pytest.fixture
def tab(browser: Any, page: Page) -> Iterator[Any]:
    made = opened(browser, page)
    yield made
    assert made.complaints == []
    made.context.close()


class TestPointing:
    def test_copied_command_gives_the_mask_that_is_shown(self, tab: Any, page: Page) -> None:
        tab.mouse.click(*place(tab, 0.45, 0.4))
        masks_shown(tab, 1)
        tab.mouse.click(*place(tab, 0.9, 0.9), button="right")
        sync_api.expect(tab.locator("#objects .facts")).to_contain_text("2 pt")
        masks_shown(tab, 1)
        tab.mouse.move(*place(tab, 0.45, 0.4))
        under = tab.locator("#under-cursor")
        command = text(tab, "command", "segment")

        options = make_parser({}).parse_args(shlex.split(command)[1:])
        texts = {row.key: getattr(options, row.key) for row in ROWS}
        parameters = Parameters.from_strings(
            stringify({key: value for key, value in texts.items() if value is not None})
        )
        found = Segmenter().segment(read_picture(Path(options.pictures[0])), parameters)
        area = found.ranked[0].rles[0].area_px
        tab.mouse.move(*place(tab, 0.46, 0.41))
        sync_api.expect(under).to_contain_text(f"{area:,} px")

    def test_box_second_object_candidate_name_undo(self, tab: Any) -> None:
        tab.mouse.click(*place(tab, 0.45, 0.4))
        masks_shown(tab, 1)
        tab.keyboard.press("2")
        sync_api.expect(tab.locator("#candidates [aria-checked=true]")).to_contain_text("2:")
        tab.keyboard.press("n")
        tab.mouse.move(*place(tab, 0.6, 0.5))
        tab.mouse.down()
        tab.mouse.move(*place(tab, 0.95, 0.9), steps=4)
        tab.mouse.up()
        masks_shown(tab, 2)
        tab.get_by_label("Name of object 2").fill("spoon")
        tab.get_by_label("Name of object 2").press("Tab")
        program = text(tab, "python", "spoon")
        assert '"category": "spoon"' in program
        assert "# object 1: candidate 2, which is in output 2" in program
        tab.locator("#canvas").focus()
        tab.keyboard.press("Control+z")
        sync_api.expect(tab.locator("#text")).not_to_contain_text("spoon")
        for _ in range(2):  # the box, and the beginning of its object
            tab.keyboard.press("Control+z")
        sync_api.expect(tab.locator("#objects li")).to_have_count(1)
        tab.keyboard.press("Control+Shift+z")
        tab.keyboard.press("Control+Shift+z")
        masks_shown(tab, 2)

    def test_works_by_keyboard_alone(self, tab: Any) -> None:
        tab.locator("#canvas").focus()
        tab.keyboard.press("ArrowLeft")
        tab.keyboard.press("Enter")
        masks_shown(tab, 1)
        tab.keyboard.press("Delete")
        sync_api.expect(tab.locator("#objects li")).to_have_count(0)

    def test_tabs_do_not_disturb_each_other(self, browser: Any, tab: Any, page: Page) -> None:
        other = opened(browser, page)
        for one, x in ((tab, 0.45), (other, 0.2)):
            one.mouse.click(*place(one, x, 0.4))
        masks_shown(tab, 1)
        masks_shown(other, 1)
        assert text(tab, "command", "points") != text(other, "command", "points")
        assert other.complaints == []
        other.context.close()


class TestTuning:
    def test_slider_filters_what_was_found(self, tab: Any) -> None:
        tab.locator("#tab-everything").click()
        slider = tab.get_by_label("Predicted IoU threshold").locator("visible=true").last
        for key, value in (("iou_thresh", "0"), ("stability_score_thresh", "0")):
            field = tab.locator(f"#setting-{key}")
            field.fill(value)
            field.press("Tab")
        tab.locator("#search").click()
        sync_api.expect(tab.locator("#funnel")).to_contain_text("proposed")
        sync_api.expect(tab.locator("#stop")).to_be_hidden()
        shown = int(tab.locator("#funnel tr:last-child td:last-child").inner_text())
        assert shown > 0
        slider.focus()
        tab.keyboard.press("End")
        funnel = tab.locator("#funnel tr:last-child td:last-child")
        sync_api.expect(funnel).to_have_text("0")
        assert "--iou-thresh 1.0" in text(tab, "command", "--iou-thresh")
        hint = tab.locator("#hint")
        sync_api.expect(hint).to_contain_text("Nothing passed: lower Predicted IoU threshold to")
        promised = re.search(r"to see (\d+) mask", hint.inner_text())
        assert promised is not None
        hint.get_by_role("button").click()
        sync_api.expect(funnel).to_have_text(promised[1])
        sync_api.expect(hint).to_be_hidden()


class TestWhatGoesWrong:
    def test_broken_picture_is_told_and_the_shown_one_stays(self, tab: Any) -> None:
        tab.locator("#picture").select_option("broken.png")
        # First the class: "Opening the picture", said meanwhile, has the word too.
        sync_api.expect(tab.locator("#status")).to_have_class("error")
        says(tab, "picture")
        assert tab.locator("#status").get_attribute("class") == "error"
        assert tab.locator("#picture").input_value() == "0"

    def test_ended_program_is_told_and_prompts_stay(self, browser: Any, page: Page) -> None:
        own = start_page(page.folder, page.out.parent / "other")
        tab = opened(browser, own)
        end_page(own)
        tab.mouse.click(*place(tab, 0.45, 0.4))
        says(tab, "has ended")
        sync_api.expect(tab.locator("#objects li")).to_have_count(1)
        tab.context.close()


class TestRunLengths:
    def test_are_read_as_the_engine_means_them(self, tab: Any) -> None:
        rng = np.random.default_rng(1)
        for height, width in ((1, 7), (9, 5), (31, 40)):
            mask_hw = rng.random((height, width)) > 0.5
            rle = Rle.from_mask(mask_hw)
            rows, coco = tab.evaluate(
                """async ([counts, height, width]) => {
                    const { Mask, toCoco } = await import("/static/masks.js");
                    const mask = new Mask({}, Uint32Array.from(counts), height);
                    const columns = [];
                    for (let x = 0; x < width; x += 1) {
                        const column = Array(height).fill(false);
                        mask.inColumn(x, (top, bottom) => column.fill(true, top, bottom));
                        columns.push(column);
                    }
                    return [columns, toCoco(mask, width)];
                }""",
                [rle.counts.tolist(), height, width],
            )
            assert np.array_equal(np.array(rows).T, mask_hw)
            assert coco == rle.to_coco()
