"""Models: contracts, loading weights of any format, receptive field, inference. Knows nothing of training."""
