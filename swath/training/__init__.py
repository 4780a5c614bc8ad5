"""Training: the split of places, chips and their sampler, the training loop, and the published model with its contract and card."""
