"""Chips: survey of labelled imagery, the sampler, batches of chips, and their export."""
