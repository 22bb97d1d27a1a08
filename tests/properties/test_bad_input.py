"""Whatever comes in, valid masks or one of our errors come out; the judges are in `bad_input`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.bad_input import AREAS
from tests.properties.judging import Area

# Enough to notice a broken rule; `make fuzz` tries many more.
CHEAP, WHOLE = 60, 8


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.name)
def test_is_valid_or_refused(area: Area) -> None:
    verdicts: list[str] = []

    @settings(
        max_examples=WHOLE if area.name == "whole segmentations" else CHEAP,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data: Any) -> None:
        verdicts.append(area.judge(data.draw(area.cases)))

    check()
    assert len(verdicts) > 1
