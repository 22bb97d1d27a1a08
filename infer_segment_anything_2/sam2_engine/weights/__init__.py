"""From a model's name to a verified weights file; no torch."""
