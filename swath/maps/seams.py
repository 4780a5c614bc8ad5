"""Seams: windows across the borders of regions are computed again in one piece and compared with the map, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.geo import Regions, Window, source_window
from swath.imagery.reading.mosaic import read_mosaic
from swath.maps.region import map_strips
from swath.maps.region_result import FileParts, RegionResult
from swath.models.blend import seam_excess
from swath.models.precision import Agreement, agreement

if TYPE_CHECKING:
    from swath.imagery.scene import Scenes
    from swath.maps.layout import MapLayout
    from swath.models.contract import ModelInfo
    from swath.spec.fields.area import Area


@dataclass(frozen=True)
class SeamSampling:
    """Which windows of a map are computed again."""

    windows: int = 4
    """How many, of all sheets together."""
    edge: int = 128
    """Edge of a window in pixels."""
    blended_edge: int = 1024
    """The same for a model whose tiles are blended: a window has to hold borders of tiles."""


SAMPLING = SeamSampling()


@dataclass(frozen=True)
class SeamCheck:
    """What the comparison of a map with its recomputed windows gave."""

    windows: int
    pixels: int
    """Pixels that were compared."""
    differing: int
    """Pixels that differ in some band."""
    agreement: Agreement
    """Of a model in reduced precision, or in another runtime than its format's: with float32 in that one."""
    excess: tuple[float, ...]
    """Of a model whose tiles are blended, one number for each window: see swath.models.blend.seam_excess."""

    def certificate(self, model: ModelInfo, runtime_reason: str = "") -> dict[str, Any]:
        """Plain values for the report: whether the map is exact, and if not, why; and what computed it, and why that did."""
        difference = "pixels differ between tilings in the last bits of the network's arithmetic"
        if model.format == "function":
            difference = (
                "pixels differ between tilings: the function looks farther than the spec's radius, or its arithmetic depends on where "
                "a block begins"
            )
        return {
            "exact": model.exact and not self.differing,
            "reason": model.reason or (difference if self.differing else ""),
            "radius": model.radius,
            "stride": model.stride,
            "halo": model.halo,
            **({"tile": model.size} if model.size else {}),
            "windows": self.windows,
            "pixels": self.pixels,
            "differing": self.differing,
            "device": model.device,
            "runtime": model.used_runtime,
            "precision": model.precision,
            **({"runtime_reason": runtime_reason} if runtime_reason else {}),
            **({"excess": _mean(self.excess)} if self.excess else {}),
            **({"agreement": self.agreement.share, "compared": self.agreement.pixels} if self.agreement.pixels else {}),
        }


def check_seams(
    results: Sequence[RegionResult],
    regions: Regions,
    grids: tuple[Scenes, ...],
    model: ModelInfo,
    area: Area | None,
    layout: MapLayout,
    sampling: SeamSampling = SAMPLING,
) -> SeamCheck:
    """Compute windows that lie across the borders of regions again, each in one piece, and compare them with the map.

    `results` are sorted by place, `grids` are the scenes of each grid of the map. Raises what reading and inference raise.
    """
    differing = pixels = windows = 0
    excess: list[float] = []
    agreed = Agreement(0, 0, 0.0)
    sheets = range(0, len(regions.sheets), -(-len(regions.sheets) // sampling.windows))
    edge = sampling.edge if model.lattice is None else sampling.blended_edge
    for sheet in sheets:
        scenes, blocks = grids[regions.grids[sheet]], regions.sheets[sheet]
        parts = FileParts.of(results, "map", regions, sheet)
        for window in blocks.samples(sampling.windows // len(sheets), edge):
            ((again, *_),) = map_strips(window, scenes, model, area, replace(layout, edge=max(window.shape)))
            for part in parts.touching(blocks, window):
                shared = part.window.intersection(window)
                if shared is None:
                    continue
                differing += _count_differing(part.read(shared), again[:, *shared.within(window)])
                pixels += shared.height * shared.width
            windows += 1
            if not model.is_plain:
                agreed += _agreement_in(window, scenes, model)
            if model.lattice is not None:
                rows, columns = (model.lattice.borders(length) for length in blocks.image.shape)
                excess.append(seam_excess(again, [r - window.row for r in rows], [c - window.col for c in columns]))
    return SeamCheck(windows, pixels, differing, agreed, tuple(excess))


def _count_differing(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Pixels of two arrays (bands, height, width) that differ in some band; NaN equals NaN."""
    same = one == other
    if one.dtype.kind == "f":
        same |= np.isnan(one) & np.isnan(other)
    return int((~same.all(axis=0)).sum())


def _agreement_in(window: Window, scenes: Scenes, model: ModelInfo) -> Agreement:
    """How many pixels of a window have the same class as with float32 on the CPU."""
    source = source_window(scenes.image, window, model.halo, model.stride)
    pixels, valid = read_mosaic(scenes, source, reflectance=model.contract.units == "reflectance")
    return agreement(model, pixels, valid, source, window)


def _mean(numbers: Sequence[float]) -> float | None:
    """The mean of the finite numbers, to three decimals; None when there is none."""
    finite = [number for number in numbers if math.isfinite(number)]
    return round(sum(finite) / len(finite), 3) if finite else None
