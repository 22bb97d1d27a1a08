"""Ikomia's own classes around our results, and its drawings as prompts."""
