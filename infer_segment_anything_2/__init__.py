"""Segment Anything 2 for Ikomia. Importing this package loads no torch, sam2 or Qt."""

__version__ = "2.0.0"
