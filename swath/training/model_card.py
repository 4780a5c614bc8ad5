"""Model card: an HTML page with the purpose of a model, its training data, settings and metrics."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template

    from swath.training.model_record import ModelRecord


def render_card(record: ModelRecord, curves: bytes) -> str:
    """The card as a self-contained HTML page. `curves` is the PNG of the learning curves."""
    from swath.training.model_contract import hyperparameters

    best = record.best
    total = sum(map(sum, best.counts)) or 1
    classes: list[dict[str, Any]] = [
        {
            "name": name,
            "color": color,
            "iou": best.iou[number] if best.counts else None,
            "share": sum(best.counts[number]) / total if best.counts else None,
            "training": record.pixels.get("train", (0,) * len(record.colors))[number],
            "row": best.counts[number] if best.counts else (),
        }
        for number, (name, color) in enumerate(zip(record.settings.classes, record.colors, strict=True))
    ]
    return _template().render(
        record=record,
        best=best,
        classes=classes,
        settings=hyperparameters(record),
        curves=base64.b64encode(curves).decode(),
    )


@cache
def _template() -> Template:
    import jinja2

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=folder, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["setting_text"] = setting_text
    return environment.get_template("model_card.html.j2")


def setting_text(value: Any) -> str:
    """A setting as text: names and values, separated by commas."""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{str(name).replace('_', ' ')} {setting_text(each)}" for name, each in value.items())
        case list() | tuple():
            nested = any(isinstance(each, dict | list | tuple) for each in value)
            return ("; " if nested else ", ").join(map(setting_text, value))
        case float():
            return f"{value:g}"
    return str(value)
