"""Objects followed from frame to frame."""
