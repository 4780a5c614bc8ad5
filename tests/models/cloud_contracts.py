"""Contracts for the two cloud models of the shared data, whose own JSON is in another form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BANDS = {
    "clouds_rgbi": ("blue", "green", "red", "nir"),
    "clouds_rgbiswir": ("blue", "green", "red", "nir", "swir16", "swir22"),
}
ENDINGS = {
    "pt2": ".pt2",
    "torchscript": ".torchscript.pt",
    "onnx": ".onnx",
    "safetensors": ".safetensors",
}
FACTORIES = {name: f"tests.models.cloud_unet:{name.removeprefix('clouds_')}" for name in BANDS}
"""For the safetensors form."""


def cloud_contract(name: str, fmt: str = "pt2") -> dict[str, Any]:
    """The contract of clouds_rgbi or clouds_rgbiswir: top-of-atmosphere reflectance to the probability of cloud."""
    bands = list(BANDS[name])
    return {
        "mlm:name": name,
        "mlm:architecture": "U-Net",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "ONNX" if fmt == "onnx" else "PyTorch",
        "mlm:total_parameters": {"clouds_rgbi": 95769, "clouds_rgbiswir": 95873}[name],
        "mlm:input": [
            {
                "name": "image",
                "bands": bands,
                "input": {
                    "shape": [-1, len(bands), -1, -1],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": None,
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "cloud_probability",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, 1, -1, -1],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": 0, "name": "clear", "color_hint": "4D7C56"},
                    {"value": 1, "name": "cloud", "color_hint": "F2F2F2"},
                ],
                "post_processing_function": None,
            }
        ],
        "swath:units": "reflectance",
        "swath:threshold": 0.5,
        "swath:resolution_m": 30,
    }


def write_cloud_contract(path: Path, name: str, fmt: str = "pt2") -> Path:
    """Write the contract to `path` and return it."""
    path.write_text(json.dumps(cloud_contract(name, fmt)), encoding="utf-8")
    return path
