"""Segment Anything 2 for Ikomia. Importing this package loads no torch, sam2 or Qt."""

from pathlib import Path

__version__ = "2.0.0"

# Where the plugin lies: the bundled model and its config are found from here.
PLUGIN_FOLDER = Path(__file__).resolve().parent
