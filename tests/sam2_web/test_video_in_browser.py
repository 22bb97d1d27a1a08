"""A video on the page as its users have it: in a real browser, by mouse and keyboard."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from infer_segment_anything_2.sam2_batch.flags import make_parser
from tests.sam2_web.conftest import CHROMIUM, CLIP_HW, N_FRAMES, Page
from tests.sam2_web.tabs import expect, masks_shown, opened, place, says, text

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

CLIP = "videos/1"
# Where the first disc is on the first frame, in shares of its sides.
LEFT, TOP, RIGHT, BOTTOM = 0.1, 0.17, 0.3, 0.43


@pytest.fixture
def tab(browser: Any, page: Page) -> Iterator[Any]:
    made = opened(browser, page, CLIP)
    made.locator("#picture").select_option("clip.mp4")
    says(made, f"clip.mp4: 128 x 96 pixels, {N_FRAMES} frames")
    yield made
    assert made.complaints == []
    made.context.close()


def at(tab: Any, x: float, y: float) -> tuple[float, float]:
    return place(tab, x, y, CLIP_HW)


def draw_box(tab: Any) -> None:
    tab.mouse.move(*at(tab, LEFT, TOP))
    tab.mouse.down()
    tab.mouse.move(*at(tab, RIGHT, BOTTOM), steps=4)
    tab.mouse.up()


def shows_frame(tab: Any, number: int) -> None:
    expect(tab.locator("#frame-number")).to_have_value(str(number))
    says(tab, re.compile(rf"Frame {number}\b"))


def entries(tab: Any, words: str) -> list[dict[str, Any]]:
    """What the copied command prompts."""
    command = shlex.split(text(tab, "command", words))[1:]
    assert command[0] == "track"
    listed: list[dict[str, Any]] = json.loads(make_parser({}).parse_args(command).input_objects)
    return listed


def test_prompt_steps_correction_and_the_command(tab: Any) -> None:
    draw_box(tab)
    masks_shown(tab, 1)
    for number in (1, 2):
        tab.keyboard.press("f")
        shows_frame(tab, number)
    masks_shown(tab, 1)
    tab.mouse.click(*at(tab, 0.22, 0.32))
    expect(tab.locator("#objects .facts")).to_contain_text("1 pt")
    tab.mouse.click(*at(tab, 0.9, 0.9), button="right")
    expect(tab.locator("#objects .facts")).to_contain_text("2 pt")
    tab.keyboard.press("n")
    tab.mouse.click(*at(tab, 0.45, 0.5))
    expect(tab.locator("#objects li")).to_have_count(2)
    masks_shown(tab, 2)
    tab.get_by_label("Name of object 2").fill("dog")
    tab.get_by_label("Name of object 2").press("Tab")
    listed = entries(tab, "dog")
    assert [(one["frame"], one["id"]) for one in listed] == [(0, 1), (2, 1), (2, 2)]
    assert listed[0]["box"][0] == pytest.approx(LEFT * 128 - 0.5, abs=1)
    assert (listed[1]["labels"], listed[2]["category"]) == ([1, 0], "dog")
    assert '"frame": 2' in text(tab, "python", "run_on")
    # Back to where it began: the mask is there, and the prompts of that frame.
    tab.get_by_label("Prompted frame 0").click()
    shows_frame(tab, 0)
    masks_shown(tab, 1)
    expect(tab.locator("#objects .facts").first).to_contain_text("box")
    tab.locator("#canvas").focus()
    tab.keyboard.press("Control+z")  # the name
    tab.keyboard.press("Control+z")  # the second object
    expect(tab.locator("#objects li")).to_have_count(1)


def test_follows_on_the_way_until_it_is_stopped(tab: Any) -> None:
    draw_box(tab)
    masks_shown(tab, 1)
    play = tab.locator("#play")
    held: list[Any] = []
    tab.route("**/frames/3/masks", lambda route: held.append(route))
    play.click()
    says(tab, "Frame 2")
    expect(play).to_have_text("Stop")
    while not held:
        tab.wait_for_timeout(10)
    play.click()
    says(tab, "Stopped at frame 2")
    held[0].continue_()
    expect(play).to_have_text("Follow")
    expect(tab.locator("#frame-number")).to_have_value("2")
    tab.unroute("**/frames/3/masks")
    play.click()
    shows_frame(tab, N_FRAMES - 1)
    expect(play).to_have_text("Follow")
    expect(tab.locator("#frame-step")).to_be_disabled()
    tab.locator("#frame").focus()
    for number in (4, 3):  # all were seen, and are there
        tab.keyboard.press("ArrowLeft")
        shows_frame(tab, number)
        says(tab, re.compile(rf"Frame {number}: 1 object|Frame {number}: 0 objects, 1 absent"))


def test_a_frame_far_ahead_says_what_it_knows_and_is_followed_on_demand(tab: Any) -> None:
    tab.locator("#canvas").focus()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Enter")
    masks_shown(tab, 1)
    tab.locator("#frame-number").fill("4")
    tab.locator("#frame-number").press("Enter")
    says(tab, "Frame 4 is not followed yet")
    tab.mouse.click(*at(tab, 0.3, 0.4))
    says(tab, "Only this frame's own prompts count so far")
    tab.locator("#follow-here").click()
    says(tab, re.compile(r"^Frame 4: [01] objects?, [01] absent\.$"))
    tab.locator("#clear-frame").click()
    expect(tab.get_by_label("Prompted frame 4")).to_have_count(0)
    assert [one["frame"] for one in entries(tab, "points")] == [0]


def test_what_was_prompted_is_there_again(tab: Any) -> None:
    draw_box(tab)
    masks_shown(tab, 1)
    tab.keyboard.press("f")
    shows_frame(tab, 1)
    tab.locator("#picture").select_option("a cup.png")
    says(tab, "a cup.png: 300 x 200 pixels")
    expect(tab.locator("#video")).to_be_hidden()
    expect(tab.locator("#tab-point")).to_be_visible()
    tab.locator("#picture").select_option("clip.mp4")
    expect(tab.locator("#frame-number")).to_have_value("1")
    expect(tab.locator("#objects li")).to_have_count(1)
    tab.locator("#picture").select_option("broken.mp4")
    says(tab, "cannot be opened")
    assert tab.locator("#status").get_attribute("class") == "error"
    expect(tab.locator("#frame-number")).to_have_value("1")
