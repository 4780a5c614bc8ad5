"""estimate: steps, bytes read and memory of a training, from the headers of its imagery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swath.imagery.reading.mosaic import common_dtype
from swath.training.chips.chips import CACHE_BYTES

if TYPE_CHECKING:
    from swath.geo import Window
    from swath.imagery.labels.labelled_image import LabelledImage
    from swath.spec.fields.sampling import Sampling

BATCHES_IN_MEMORY = 6
"""Four that are read ahead, one that is read, one in the network."""


def estimate(
    images: Sequence[LabelledImage], windows: Sequence[tuple[int, Window]], bands: int, sampling: Sampling, epochs: int
) -> dict[str, Any]:
    """What `pipe plan` shows of a training. `windows` are those of the survey; their labels are not read, so without `sampling.steps`
    the number of steps is an upper bound."""
    pixels = sum(window.height * window.width for _, window in windows)
    chip = sampling.chip**2
    steps = epochs * (sampling.steps or max(1, -(-pixels // (chip * sampling.batch))))
    return {
        "images": len(images),
        "megapixels": round(pixels / 1e6, 3),
        "windows": len(windows),
        "read_bytes": pixels * bands * common_dtype(images[0].scenes).itemsize,
        "epochs": epochs,
        "steps": steps if sampling.steps else f"at most {steps}",
        "chips": steps * sampling.batch,
        "memory_bytes": CACHE_BYTES + BATCHES_IN_MEMORY * sampling.batch * chip * (bands * 4 + 2),
    }
