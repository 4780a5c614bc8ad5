"""Error map: label and prediction of each pixel as one value, with its legend.

The value is `label * n + prediction`, n being the number of classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.maps.legend import Legend, MapClass
from swath.spec.fields.labels import IGNORE_INDEX

NODATA = 255
"""Where there is no label, or no prediction."""
MAX_CLASSES = 15
"""Their pairs fit into a byte beside nodata."""


def encode_errors(labels: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> NDArray[np.uint8]:
    """Values of the map, uint8, of two arrays of class numbers of one shape; NODATA where either is IGNORE_INDEX."""
    values = np.full(labels.shape, NODATA, np.uint8)
    known = (labels != IGNORE_INDEX) & (predicted != IGNORE_INDEX)
    values[known] = labels[known] * np.uint8(classes) + predicted[known]
    return values


def decode_errors(values: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class numbers of labels and predictions; IGNORE_INDEX for NODATA."""
    known = values != NODATA
    return (
        np.where(known, values // np.uint8(classes), np.uint8(IGNORE_INDEX)),
        np.where(known, values % np.uint8(classes), np.uint8(IGNORE_INDEX)),
    )


def error_legend(classes: Legend) -> Legend:
    """All pairs of classes: correct ones are pale, wrong ones a darker colour of the predicted class."""
    count = len(classes)

    def color(label: MapClass, predicted: MapClass) -> tuple[int, int, int]:
        red, green, blue = predicted.color
        if label == predicted:
            return (255 - (255 - red) // 5, 255 - (255 - green) // 5, 255 - (255 - blue) // 5)
        return (red * 4 // 5, green * 4 // 5, blue * 4 // 5)

    return tuple(
        MapClass(
            label.value * count + predicted.value,
            f"{label.name}: right" if label == predicted else f"{label.name}, called {predicted.name}",
            color(label, predicted),
        )
        for label in classes
        for predicted in classes
    )
