"""Rules on bands as models: functions of a block (bands, height, width), which `model.predictor` names."""

import numpy as np


def water(block):
    """Class numbers: 1 where the NDWI is above 0.05. Looks at each pixel alone: `radius: 0`."""
    green, nir = block
    return (green - nir) / np.maximum(green + nir, 1) > 0.05


def texture(block):
    """Values: NDVI, and its standard deviation in 5 x 5 pixels. Looks at two pixels in each direction: `radius: 2`."""
    red, nir = block
    ndvi = (nir - red) / np.maximum(nir + red, 1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(ndvi, 2, mode="edge"), (5, 5))
    return np.stack([ndvi, around.std(axis=(2, 3))])
