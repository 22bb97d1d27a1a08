"""A video on its way: which frame a run is, what is asked of it, and who is followed."""
