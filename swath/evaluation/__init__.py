"""Evaluation: what a model or a map says against what is known of the ground, each pixel once."""
