"""What may come in from outside, and what must become of it: for the properties and `make fuzz`.

An :class:`Area` is a way of making cases and a judge. The judge gives "valid", or the name of our
error that the case was refused with; whatever else comes out is a failure. Cases hold no arrays
but how to make them, so that a failure's report can be typed again.
"""

from __future__ import annotations

from tests.properties.bad_drawings import DRAWING_AREAS
from tests.properties.bad_files import FILE_AREAS
from tests.properties.bad_parameters import PARAMETER_AREAS
from tests.properties.bad_pictures import PICTURE_AREAS
from tests.properties.bad_prompts import PROMPT_AREAS
from tests.properties.odd_masks import MASK_AREAS
from tests.properties.whole_runs import WHOLE_AREAS

AREAS = (
    *PARAMETER_AREAS,
    *PROMPT_AREAS,
    *DRAWING_AREAS,
    *PICTURE_AREAS,
    *FILE_AREAS,
    *MASK_AREAS,
    *WHOLE_AREAS,
)
