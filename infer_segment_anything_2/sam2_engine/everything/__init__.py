"""Everything in a picture, searched from a grid of points."""
