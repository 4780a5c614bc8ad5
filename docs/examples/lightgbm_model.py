"""A LightGBM classifier as a model. It is trained on pixels, with one feature for each band of the contract."""

from functools import lru_cache
from pathlib import Path

import lightgbm


def classes(block, path):
    """The probability of each class, (classes, height, width). `path` is the text file that Booster.save_model wrote."""
    pixels = block.reshape(len(block), -1).T
    probabilities = _booster(path, Path(path).stat().st_mtime_ns).predict(pixels, num_threads=1)
    return probabilities.T.reshape(-1, *block.shape[1:])


@lru_cache(maxsize=2)
def _booster(path, changed):
    return lightgbm.Booster(model_file=path)
