"""Learning: networks, what they are trained with, and what is left of a training. Needs the extra `train`."""
