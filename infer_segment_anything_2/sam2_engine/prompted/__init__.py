"""What is prompted: masks of objects that somebody points at."""
