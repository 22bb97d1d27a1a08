"""Which colour a drawn item asks for."""

from __future__ import annotations

import numpy as np
import pytest
from ikomia import core

from infer_segment_anything_2.sam2_host.graphics import _chosen_colour
from tests.conftest import PLUGIN_NAME
from tests.in_ikomia.chains import chain, instances

pytestmark = pytest.mark.ikomia


class TestDrawnColour:
    def test_a_pen_that_nobody_chose_has_none(self) -> None:
        assert _chosen_colour(core.CGraphicsRectangle(1, 2, 3, 4).property.pen_color) is None

    def test_a_chosen_pen_has(self) -> None:
        look = core.GraphicsRectProperty()
        look.pen_color = [1, 2, 3, 255]
        drawn = core.CGraphicsRectangle(1, 2, 3, 4, look)
        assert _chosen_colour(drawn.property.pen_color) == (1, 2, 3)

    def test_rectangles_of_no_colour_get_colours_of_their_own(self, photo: np.ndarray) -> None:
        workflow, (task,) = chain(PLUGIN_NAME)
        drawn = [core.CGraphicsRectangle(10, 10, 60, 60), core.CGraphicsRectangle(50, 50, 60, 60)]
        task.get_input(1).set_items(drawn)
        workflow.run_on(array=photo)
        colours = [colour for _, colour, _ in instances(task)]
        assert len(colours) == 2 and colours[0] != colours[1]
