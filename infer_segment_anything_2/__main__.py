"""``python -m infer_segment_anything_2``: see :mod:`.sam2_batch.command_line`."""

from __future__ import annotations

import sys

from infer_segment_anything_2.sam2_batch.command_line import main

if __name__ == "__main__":
    sys.exit(main())
