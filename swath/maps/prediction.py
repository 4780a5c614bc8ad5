"""A map made by a model: its files are written and published, and its report says what it was made from.

`estimate` says what such a map takes before it is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swath.imagery.reading.mosaic import common_dtype
from swath.imagery.scene import Scenes, all_scenes
from swath.maps.ground import regions_km2
from swath.maps.legend import MapClass, class_shares
from swath.maps.map_files import MapFiles
from swath.maps.stac_item import ModelFacts
from swath.models.contract_file import item_properties
from swath.storage.address import redacted
from swath.units import rounded

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.geo import Regions, Window
    from swath.maps.cog.cog import CogFacts
    from swath.maps.layout import MapLayout
    from swath.maps.region_result import RegionResult
    from swath.models.contract import Contract, ModelInfo
    from swath.spec.fields.area import Area
    from swath.spec.fields.output import Output
    from swath.storage.publication import Published

_MOST_BANDS = 64
"""Of a map of values whose statistics are in the report; embeddings have hundreds."""
MOSAICS = {
    "first": "the first valid pixel",
    "last": "the last valid pixel",
    "least_cloud": "the valid pixel of the least cloudy scene",
    "median": "the median of the valid pixels",
}
"""What is taken where scenes overlap."""
ARTIFACTS = {
    "pt2": "torch.export.save", "torchscript": "torch.jit.save", "onnx": "onnx", "safetensors": "safetensors",
    "checkpoint": "torch.save", "function": "python",
}  # fmt: skip
"""How the STAC extension for models calls the formats of weights."""


def publish_prediction(
    results: Sequence[RegionResult],
    regions: Regions,
    grids: tuple[Scenes, ...],
    model: ModelInfo,
    area: Area | None,
    layout: MapLayout,
    output: Output,
    seams: dict[str, Any],
) -> Published:
    """Write the map and the files beside it, and publish them together. `seams` is the certificate of swath.maps.seams.

    `results` are sorted by place, `grids` are the scenes of each grid of the map. Raises TaskFailed when a file cannot be
    written or does not read back.
    """
    contract = model.contract
    legend = tuple(MapClass(each.value, each.name, each.color) for each in contract.classes)
    numbers = contract.values or tuple(f"value-{n + 1}" for n in range(layout.encoding.bands))
    files = MapFiles(
        results, regions, grids, layout, output, legend,
        bands=(contract.name,) if contract.output == "classes" else numbers,
        subtitle=f"{contract.name}, from {grids[0].scenes[0].id}{_and_more(len(all_scenes(grids)) - 1)}",
        model=ModelFacts(contract.name, model.path, model.sha256, ARTIFACTS[model.format], contract.bands, item_properties(contract)),
        lineage=lineage(grids, model),
    )  # fmt: skip
    with files:
        facts = files.write()
        found = class_shares(legend, facts.counts)
        return files.publish(
            {
                "seams": seams,
                "shares": [dataclasses.asdict(share) for share in found],
                "statistics": _statistics(facts) if contract.output == "values" else [],
                "numbers": {
                    "valid pixels": facts.valid,
                    **{f"{share.name} %": round(100 * share.fraction, 3) for share in found},
                    "seam differences": seams["differing"],
                },
                "valid_pixels": facts.valid,
                "megapixels": round(regions.megapixels, 3),
                "ground_km2": regions_km2(regions, grids),
                "missing_regions": list(facts.missing),
                "input": describe_input(grids, model, area, regions),
            }
        )


def _statistics(facts: CogFacts) -> list[dict[str, Any]]:
    """For the report: name and statistics of the first bands of a map of values."""
    pairs = list(zip(facts.bands, facts.statistics, strict=True))[:_MOST_BANDS]
    return [{"name": name, **each} for name, each in pairs if "mean" in each]


def describe_input(grids: tuple[Scenes, ...], model: ModelInfo, area: Area | None, regions: Regions) -> dict[str, Any]:
    """For the report: what a map was made from."""
    each = all_scenes(grids)
    notes = list(dict.fromkeys(note for scenes in grids for note in scenes.notes))
    return {
        "area": (area.source or "given in the spec") if area is not None else "everything that the imagery covers",
        "imagery": [f"{scene.id}{f', {scene.datetime}' if scene.datetime else ''}" for scene in each],
        "files": sorted({redacted(band.href) for scene in each for band in scene.bands}),
        "bands": ", ".join(grids[0].bands),
        "where scenes overlap": MOSAICS[grids[0].mosaic],
        "grid": [grid_text(blocks.image, blocks.output) for blocks in regions.sheets],
        "model": f"{model.contract.name}: {model.path}",
        "weights": f"SHA-256 {model.sha256}",
        "notes": notes or "none",
    }


def grid_text(image: GeoBox, window: Window) -> str:
    """Such as `1489 x 1482 pixels of 30 in EPSG:32612`."""
    return f"{window.width} x {window.height} pixels of {abs(image.resolution.x):g} in {image.crs or 'no CRS'}"


def lineage(grids: tuple[Scenes, ...], model: ModelInfo) -> str:
    """One sentence for the map's STAC item."""
    each = all_scenes(grids)
    names = ", ".join(scene.id for scene in each[:20]) + _and_more(len(each) - 20)
    return f"{model.contract.name} (weights {model.sha256[:12]}) over {names}; {MOSAICS[grids[0].mosaic]}"


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def estimate(contract: Contract, grids: tuple[Scenes, ...], regions: Regions, output: Output) -> dict[str, Any]:
    """What a map takes, from the headers of its imagery and the model's contract: regions, megapixels, bytes to read."""
    pixels = dict.fromkeys(regions.grids, 0)
    for grid, blocks in zip(regions.grids, regions.sheets, strict=True):
        pixels[grid] += blocks.pixels
    layers = {grid: len(s.bands) * (len(s.scenes) if s.mosaic == "median" else 1) for grid, s in enumerate(grids)}
    total = sum(pixels.values())
    sheets = [grid_text(blocks.image, blocks.output) for blocks in regions.sheets]
    return {
        "model": f"{contract.name}: {', '.join(contract.bands)}",
        "scenes": len(all_scenes(grids)),
        "grid": sheets[0] if len(sheets) == 1 else sheets,
        "regions": len(regions),
        "region": regions.sheets[0].size,
        "megapixels": round(total / 1e6, 3),
        **({"ground_km2": rounded(ground)} if (ground := regions_km2(regions, grids)) else {}),
        "read_bytes": sum(pixels[grid] * layers[grid] * common_dtype(grids[grid]).itemsize for grid in pixels),
        "map_bytes_at_most": total * (contract.channels or 1 if contract.output == "values" else 1),
        "output": output.to,
    }
