"""Import torchvision for libraries that need it, also beside a torch that it was not built for.

Package indexes give a torchvision for torch with CUDA. Beside a torch for the CPU its compiled part does not load, and its import
ends with an error about operators of object detection. Nothing in segmentation calls them, so they are declared here, and the
rest of torchvision, which is Python, works.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util

import torch


@functools.cache
def import_torchvision() -> torch.library.Library | None:
    """Import torchvision where it is installed. Returns the declaration of the operators, which lasts as long as it is
    referenced."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    else:
        return None
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    importlib.import_module("torchvision")
    return library
