"""Masks as run lengths: scored, traced, compared, cleaned."""
