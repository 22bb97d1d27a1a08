"""Millions of pictures: a frozen plan of shards, two tables as the result, workers anywhere."""
