"""The page in a real browser: tabs, and what one does in them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.sam2_web.conftest import CHROMIUM, PATIENCE_MS, Page, ask

__all__ = ["CHROMIUM", "expect", "masks_shown", "opened", "place", "says", "text"]

CUP_HW = (200, 300)


def expect(locator: Any) -> Any:
    return pytest.importorskip("playwright.sync_api").expect(locator)


def opened(browser: Any, page: Page, path: str = "pictures/0") -> Any:
    """A tab on the page; whatever it asks of another host, or complains of, is noted."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE_MS)
    tab.complaints = []
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith((page.address, f"blob:{page.address}"))
            else tab.complaints.append(asked.url)
        ),
    )
    ask(page, f"/api/{path}/remembered", {}, method="PUT")  # of tests before
    tab.goto(f"{page.address}#{page.token}")
    says(tab, "a cup.png: 300 x 200 pixels")
    return tab


def says(tab: Any, words: str | re.Pattern[str]) -> None:
    expect(tab.locator("#status")).to_contain_text(words, timeout=PATIENCE_MS)


def place(tab: Any, x: float, y: float, image_hw: tuple[int, int] = CUP_HW) -> tuple[float, float]:
    """Where a place of the picture, in shares of its sides, lies in the tab."""
    height, width = image_hw
    box = tab.locator("#canvas").bounding_box()
    scale = min(box["width"] / width, box["height"] / height) * 0.98
    return (
        box["x"] + box["width"] / 2 + (x - 0.5) * width * scale,
        box["y"] + box["height"] / 2 + (y - 0.5) * height * scale,
    )


def masks_shown(tab: Any, count: int) -> None:
    """Waits until so many objects have their answers."""
    facts = tab.locator("#objects .facts", has_text=re.compile(r"\d\.\d\d$"))
    expect(facts).to_have_count(count, timeout=PATIENCE_MS)


def text(tab: Any, kind: str, words: str) -> str:
    tab.locator(f"[data-text={kind}]").click()
    expect(tab.locator("#text")).to_contain_text(words)
    shown: str = tab.locator("#text").inner_text()
    return shown
