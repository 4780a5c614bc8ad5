"""The contract of a trained model: a STAC MLM document with the split and the images of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swath.training.model_record import round_significant

if TYPE_CHECKING:
    from swath.training.model_record import ModelRecord

FRAMEWORK = "PyTorch"


def contract_document(record: ModelRecord) -> dict[str, Any]:
    """The contract as values for JSON."""
    settings, bands = record.settings, list(record.bands)
    document: dict[str, Any] = {
        "mlm:name": record.name,
        "mlm:architecture": settings.network.name,
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": FRAMEWORK,
        "mlm:framework_version": record.software.get("torch", "").partition("+")[0],
        "mlm:total_parameters": record.exported.parameters,
        "mlm:pretrained": True,
        "mlm:pretrained_source": settings.network.weights or "trained from random weights",
        "mlm:batch_size_suggestion": record.sampling.get("batch"),
        "mlm:input": [
            {
                "name": "image",
                "bands": bands,
                "input": {
                    "shape": [-1, len(bands), -1, -1],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": [dict(each) for each in record.scaling],
                "statistics": [dict(each) for each in record.statistics],
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "logits",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, len(settings.classes), -1, -1],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": value, "name": name, "color_hint": color}
                    for value, (name, color) in enumerate(zip(settings.classes, record.colors, strict=True))
                ],
                "post_processing_function": None,
            }
        ],
        "mlm:hyperparameters": hyperparameters(record),
        "swath:units": record.units,
        "swath:output": "classes",
        "swath:dtype": "uint8",
        "swath:nodata": 255,
        "swath:metrics": record.metrics(),
        "swath:training_data": "; ".join(
            f"{each.id}{f', {each.datetime}' if each.datetime else ''}: {each.labels}" for each in record.sources
        ),
        "swath:training": {
            "split": record.split,
            "sampling": record.sampling,
            "pixels": {name: list(counts) for name, counts in record.pixels.items()},
            "scenes": [
                {"id": s.id, "datetime": s.datetime, "bbox": s.box and list(s.box), "geometry": s.geometry}
                for s in record.sources
            ],
            "weights_sha256": record.exported.sha256,
            "software": record.software,
            **({"git_commit": record.git} if record.git else {}),
        },
        "swath:licence": record.licence,
    }
    if record.resolution_m is not None:
        document["swath:resolution_m"] = record.resolution_m
    return document


def hyperparameters(record: ModelRecord) -> dict[str, Any]:
    """The settings that decided the weights."""
    settings = record.settings
    return {
        "network": settings.network.model_dump(exclude_defaults=True) | {"name": settings.network.name},
        "loss": [term.model_dump(mode="json") for term in settings.loss],
        "class_weights": [list(map(round_significant, each)) for each in settings.class_weights],
        "augment": settings.augment.model_dump(),
        "optimizer": settings.optimizer.model_dump(),
        "epochs": settings.epochs,
        "steps": settings.steps,
        "seed": settings.seed,
        "precision": settings.precision,
        "device": settings.device,
        "threads": settings.threads,
    }
