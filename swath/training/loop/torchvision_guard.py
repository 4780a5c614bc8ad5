"""Imports torchvision for the libraries that want it, also beside a torch that it was not built for.

Package indexes give a torchvision for torch with CUDA. Beside a torch for the CPU its compiled part does not load, and then
its import ends at operators of object detection that are described but not there. Nothing in
segmentation calls them, so they are declared, and the rest of torchvision, which is Python, works.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util

import torch


@functools.cache
def import_torchvision() -> torch.library.Library | None:
    """Import torchvision where it is installed. What is returned is the declaration, which lasts as long as it is held."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    else:
        return None
    declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    importlib.import_module("torchvision")
    return declared
