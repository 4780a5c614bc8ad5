"""The files of a map: rasters, vectors, preview and STAC items, written from the results of its regions and published together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from swath.errors import TaskFailed
from swath.geo import Regions, Window
from swath.graph.call_context import current_run, progress
from swath.imagery.geometry.pixel_area import PixelArea
from swath.imagery.scene import all_scenes
from swath.maps.cog.cog import CogFacts, category_names_xml, write_cog
from swath.maps.layout import MapLayout
from swath.maps.legend import Legend
from swath.maps.preview import write_preview
from swath.maps.qgis_style import style_text
from swath.maps.region_result import FileParts, RegionResult
from swath.maps.sheets import Sheet, merge_facts, sheet_names, write_collection, write_index
from swath.maps.stac_item import ModelFacts, write_item, write_model_item
from swath.maps.vectors.geoparquet import write_vectors
from swath.storage.durable_write import writing
from swath.storage.publication import MANIFEST, Published, PublishedFile, Staging
from swath.storage.upload import Upload
from swath.version import versions

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.imagery.scene import Scenes
    from swath.spec.fields.output import Output

log = logging.getLogger(__name__)
MODEL_ITEM = "model.json"
STEPS = 4
"""Of the progress: rasters, vectors, previews, items."""


@dataclass
class MapFiles:
    """Writes and publishes the files of a map. A context manager: files that were not published are removed afterwards."""

    results: Sequence[RegionResult]
    """Sorted by place; regions whose call failed are missing."""
    regions: Regions
    grids: tuple[Scenes, ...]
    """The scenes of each grid of the map."""
    layout: MapLayout
    output: Output
    legend: Legend
    bands: tuple[str, ...]
    """Names of the bands of the map's raster."""
    subtitle: str
    """Second line of the preview."""
    model: ModelFacts | None
    """The model that made the map; None when it was made without one."""
    lineage: str
    """One sentence for the STAC item."""
    _staging: Staging = field(init=False)

    @property
    def name(self) -> str:
        """Name of the map: that of its folder."""
        return self.output.to.rstrip("/").rpartition("/")[2]

    def __enter__(self) -> Self:
        self._staging = Staging(self.output.to, current_run() or self.name).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staging.__exit__(kind, error, trace)

    def write(self) -> CogFacts:
        """Write all files into the staging folder; returns the facts on the map as a whole. Raises TaskFailed, also for a map without
        a valid pixel."""
        progress(0, STEPS)
        rasters = {grid: self._rasters(grid) for grid in dict.fromkeys(self.regions.grids)}
        self._check_not_empty([sheet for sheets in rasters.values() for sheet in sheets])
        progress(1, STEPS)
        for grid, sheets in rasters.items():
            self._vectors(grid, sheets)
        progress(2, STEPS)
        for grid, sheets in rasters.items():
            self._preview(grid, sheets)
            self._style(grid, sheets)
        progress(3, STEPS)
        if self.model is not None:
            write_model_item(self._staging.folder / MODEL_ITEM, self.model)
        return self._items(rasters)

    def _check_not_empty(self, sheets: Sequence[Sheet]) -> None:
        pixels = sum(sheet.window.height * sheet.window.width for sheet in sheets)
        valid, missing = sum(sheet.facts.valid for sheet in sheets), sum(len(sheet.facts.missing) for sheet in sheets)
        if valid:
            log.info(
                "%s of %s pixels of the map are valid (%.3g %%)", f"{valid:,}", f"{pixels:,}", 100 * valid / pixels
            )
            return
        failed = f"; {missing} of {len(self.regions)} regions failed" if missing else ""
        raise TaskFailed(
            f"no pixel of the map is valid: none of {pixels:,} pixels has data in any of {len(all_scenes(self.grids))} scenes{failed}",
            remedy="Check the area, nodata and imagery.mask, and that the model does not give NaN everywhere. Nothing was published.",
        )

    def add(self, name: str, text: str) -> None:
        """Write another file beside the map. Call it before `write`, so that the map's item names the file."""
        path = self._staging.folder / name
        with writing(path):
            path.write_text(text, encoding="utf-8")

    def publish(self, about: dict[str, Any]) -> Published:
        """Publish the files, the manifest last. `about` are plain values for the report."""
        published = self._staging.publish(about)
        progress(STEPS, STEPS)
        return published

    # --- the files of one grid

    def _stem(self, grid: int, what: str = "map") -> str:
        """Stem of a file name: `map`, or `map-29N` where the map has several grids."""
        from swath.imagery.geometry.utm_zones import utm_zone

        if len(set(self.regions.grids)) == 1:
            return what
        return f"{what}-{utm_zone(self.grids[grid].image.crs) or grid}"

    def _window(self, sheets: Sequence[Sheet]) -> Window:
        """The window that the sheets of one grid cover together."""
        windows = [sheet.window for sheet in sheets]
        top, left = min(w.row for w in windows), min(w.col for w in windows)
        bottom, right = max(w.stop_row for w in windows), max(w.stop_col for w in windows)
        return Window(top, left, bottom - top, right - left)

    def _geobox(self, grid: int, window: Window) -> GeoBox:
        return self.grids[grid].image[window.roi]

    def _rasters(self, grid: int) -> list[Sheet]:
        """Write the sheets of a grid, and an index that opens several as one raster."""
        numbers = [number for number, on in enumerate(self.regions.grids) if on == grid]
        windows = [self.regions.sheets[number].output for number in numbers]
        names = sheet_names(windows, self._stem(grid))
        probability_names = sheet_names(windows, self._stem(grid, "probabilities"))
        sheets = [
            self._sheet(*each, alone=len(numbers) == 1) for each in zip(numbers, names, probability_names, strict=True)
        ]
        if len(sheets) > 1:
            whole = self._window(sheets)
            geobox = self._geobox(grid, whole)
            write_index(self._staging.folder, sheets, whole, geobox, classes=self.legend, stem=self._stem(grid))
            if self.layout.layers is not None:
                probabilities = [
                    Sheet(name, sheet.window, sheet.probabilities)
                    for name, sheet in zip(probability_names, sheets, strict=True)
                    if sheet.probabilities is not None
                ]
                write_index(
                    self._staging.folder, probabilities, whole, geobox, scale=self.layout.layers.scale,
                    stem=self._stem(grid, "probabilities"),
                )  # fmt: skip
        return sheets

    def _sheet(self, number: int, name: str, probability_name: str, *, alone: bool) -> Sheet:
        blocks, staging = self.regions.sheets[number], self._staging

        def destination(name: str) -> Path | Upload:
            return (
                staging.destination(name) if alone else staging.folder / name
            )  # an index can be read beside its sheets only

        parts = FileParts.of(self.results, "map", self.regions, number)
        facts = write_cog(
            destination(name), parts, blocks, self.layout.encoding, classes=self.legend, band_names=self.bands
        )
        if self.legend and staging.remote and alone:
            (staging.folder / f"{name}.aux.xml").write_text(category_names_xml(self.legend), encoding="utf-8")
        probabilities = None
        if self.layout.layers is not None:
            probabilities = write_cog(
                destination(probability_name), FileParts.of(self.results, "probabilities", self.regions, number), blocks,
                self.layout.encodings[1], band_names=self.layout.layers.names, scale=self.layout.layers.scale,
            )  # fmt: skip
        return Sheet(name, blocks.output, facts, probabilities, self._own_grid(number))

    def _own_grid(self, number: int) -> GeoBox | None:
        """Grid of a sheet where the map has several; else None."""
        if len(set(self.regions.grids)) == 1:
            return None
        return self._geobox(self.regions.grids[number], self.regions.sheets[number].output)

    def _source(self, grid: int, sheets: Sequence[Sheet]) -> str:
        """Path or URL that opens all sheets of a grid."""
        return self._staging.source(sheets[0].name if len(sheets) == 1 else f"{self._stem(grid)}.vrt")

    def _vectors(self, grid: int, sheets: Sequence[Sheet]) -> None:
        if not self.output.vectors or not self.legend:
            return
        from swath.maps.vectors.pmtiles import write_tiles
        from swath.maps.vectors.vector_copies import copy_vectors

        path = self._staging.folder / f"{self._stem(grid)}.parquet"
        write_vectors(path, self._source(grid, sheets), self.legend, self.output.vectors)
        for kind in dict.fromkeys(self.output.vectors.also):
            copy_vectors(path, kind)
        if tiles := self.output.pmtiles:
            pixel_area = PixelArea.of(self._geobox(grid, self._window(sheets)))
            zooms = write_tiles(
                path.with_suffix(".pmtiles"), path, pixel_area.width_m if pixel_area else 1.0, self.name,
                min_zoom=tiles.min_zoom, max_zoom=tiles.max_zoom,
            )  # fmt: skip
            if zooms is None:
                log.warning("the map has no polygon, so there are no vector tiles (%s.pmtiles)", self._stem(grid))

    def _preview(self, grid: int, sheets: Sequence[Sheet]) -> None:
        if not self.output.preview:
            return
        path = self._staging.folder / f"{self._stem(grid, 'preview')}.png"
        facts = merge_facts(sheets, self._window(sheets), self._geobox(grid, self._window(sheets)))
        write_preview(
            path, self._source(grid, sheets), self.legend, self.name, subtitle=self.subtitle, counts=facts.counts
        )

    def _style(self, grid: int, sheets: Sequence[Sheet]) -> None:
        if not self.output.style:
            return
        facts = merge_facts(sheets, self._window(sheets), self._geobox(grid, self._window(sheets)))
        self.add(f"{self._stem(grid)}.qml", style_text(self.legend, facts.statistics[0]))

    # --- STAC items

    def _items(self, rasters: dict[int, list[Sheet]]) -> CogFacts:
        folder, files = self._staging.folder, self._staging.files()
        layers = self.layout.layers
        common: dict[str, Any] = {
            "classes": self.legend, "software": versions(), "lineage": self.lineage,
            "model": MODEL_ITEM if self.model is not None else "",
            "scale": layers.scale if layers is not None else 1.0,
        }  # fmt: skip
        ((grid, sheets), *rest) = rasters.items()
        whole = self._window(sheets)
        if len(sheets) == 1 and not rest:
            write_item(
                folder / MANIFEST, self.name, self._geobox(grid, whole), sheets[0].facts, files, all_scenes(self.grids),
                probabilities=sheets[0].probabilities, **common,
            )  # fmt: skip
            return sheets[0].facts
        by_name: dict[str, PublishedFile] = {file.name: file for file in files}
        every = [sheet for each in rasters.values() for sheet in each]
        image = self.grids[grid].image
        write_collection(folder, self.name, every, image, by_name, all_scenes(self.grids), **common)
        return merge_facts(every, whole, self._geobox(grid, whole))
