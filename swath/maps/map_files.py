"""The files of a map: written from what its regions made, looked at, and put in their place together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from swath.geo import Regions, Window
from swath.graph.call_context import current_run, progress
from swath.imagery.geometry.pixel_area import PixelArea
from swath.imagery.scene import all_scenes
from swath.maps.cog.cog import CogFacts, category_names_xml, write_cog
from swath.maps.layout import MapLayout
from swath.maps.legend import Legend
from swath.maps.preview import write_preview
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

MODEL_ITEM = "model.json"
STEPS = 4


@dataclass
class MapFiles:
    """A map on its way to its place: a context manager, after which nothing of what was not published is left."""

    made: Sequence[RegionResult]
    regions: Regions
    grids: tuple[Scenes, ...]
    form: MapLayout
    output: Output
    legend: Legend
    bands: tuple[str, ...]
    subtitle: str
    """Of the preview."""
    model: ModelFacts | None
    """What made it; None when it was no model."""
    lineage: str
    _staging: Staging = field(init=False)

    @property
    def name(self) -> str:
        """Of the map: its folder's."""
        return self.output.to.rstrip("/").rpartition("/")[2]

    def __enter__(self) -> Self:
        self._staging = Staging(self.output.to, current_run() or self.name).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._staging.__exit__(kind, error, trace)

    def write(self) -> CogFacts:
        """Write all files beside their place and tell what is in the map as a whole. Raises TaskFailed."""
        progress(0, STEPS)
        rasters = {grid: self._rasters(grid) for grid in dict.fromkeys(self.regions.grids)}
        progress(1, STEPS)
        for grid, sheets in rasters.items():
            self._vectors(grid, sheets)
        progress(2, STEPS)
        for grid, sheets in rasters.items():
            self._preview(grid, sheets)
        progress(3, STEPS)
        if self.model is not None:
            write_model_item(self._staging.folder / MODEL_ITEM, self.model)
        return self._items(rasters)

    def add(self, name: str, text: str) -> None:
        """Another file beside the map. Comes before `write`, so that the map's item names it."""
        path = self._staging.folder / name
        with writing(path):
            path.write_text(text, encoding="utf-8")

    def publish(self, about: dict[str, Any]) -> Published:
        """Put the files in their place, the manifest last."""
        published = self._staging.publish(about)
        progress(STEPS, STEPS)
        return published

    # --- the files of one grid

    def _stem(self, grid: int, what: str = "map") -> str:
        """`map`, or `map-29N` where the map has several grids."""
        from swath.imagery.geometry.utm_zones import utm_zone

        if len(set(self.regions.grids)) == 1:
            return what
        return f"{what}-{utm_zone(self.grids[grid].image.crs) or grid}"

    def _window(self, sheets: Sequence[Sheet]) -> Window:
        """What the sheets of one grid cover together."""
        windows = [sheet.window for sheet in sheets]
        top, left = min(w.row for w in windows), min(w.col for w in windows)
        bottom, right = max(w.stop_row for w in windows), max(w.stop_col for w in windows)
        return Window(top, left, bottom - top, right - left)

    def _geobox(self, grid: int, window: Window) -> GeoBox:
        return self.grids[grid].image[window.roi]

    def _rasters(self, grid: int) -> list[Sheet]:
        """The sheets of a grid, and of several an index that opens them as one."""
        numbers = [number for number, on in enumerate(self.regions.grids) if on == grid]
        windows = [self.regions.sheets[number].output for number in numbers]
        names = sheet_names(windows, self._stem(grid))
        others = sheet_names(windows, self._stem(grid, "probabilities"))
        sheets = [self._sheet(*each, alone=len(numbers) == 1) for each in zip(numbers, names, others, strict=True)]
        if len(sheets) > 1:
            whole = self._window(sheets)
            geobox = self._geobox(grid, whole)
            write_index(self._staging.folder, sheets, whole, geobox, classes=self.legend, stem=self._stem(grid))
            if self.form.layers is not None:
                likely = [
                    Sheet(name, sheet.window, sheet.probabilities)
                    for name, sheet in zip(others, sheets, strict=True)
                    if sheet.probabilities is not None
                ]
                write_index(
                    self._staging.folder, likely, whole, geobox, scale=self.form.layers.scale,
                    stem=self._stem(grid, "probabilities"),
                )  # fmt: skip
        return sheets

    def _sheet(self, number: int, name: str, other: str, *, alone: bool) -> Sheet:
        blocks, staging = self.regions.sheets[number], self._staging

        def place(name: str) -> Path | Upload:
            return (
                staging.destination(name) if alone else staging.folder / name
            )  # an index can be read only beside its sheets

        parts = FileParts.of(self.made, "map", self.regions, number)
        facts = write_cog(place(name), parts, blocks, self.form.encoding, classes=self.legend, band_names=self.bands)
        if self.legend and staging.remote and alone:
            (staging.folder / f"{name}.aux.xml").write_text(category_names_xml(self.legend), encoding="utf-8")
        likely = None
        if self.form.layers is not None:
            likely = write_cog(
                place(other), FileParts.of(self.made, "probabilities", self.regions, number), blocks,
                self.form.encodings[1], band_names=self.form.layers.names, scale=self.form.layers.scale,
            )  # fmt: skip
        return Sheet(name, blocks.output, facts, likely, self._own_grid(number))

    def _own_grid(self, number: int) -> GeoBox | None:
        """Of a sheet, where the map has several grids."""
        if len(set(self.regions.grids)) == 1:
            return None
        return self._geobox(self.regions.grids[number], self.regions.sheets[number].output)

    def _source(self, grid: int, sheets: Sequence[Sheet]) -> str:
        """What opens all of a grid's map."""
        return self._staging.source(sheets[0].name if len(sheets) == 1 else f"{self._stem(grid)}.vrt")

    def _vectors(self, grid: int, sheets: Sequence[Sheet]) -> None:
        if not self.output.vectors or not self.legend:
            return
        from swath.maps.vectors.pmtiles import write_tiles

        path = self._staging.folder / f"{self._stem(grid)}.parquet"
        write_vectors(path, self._source(grid, sheets), self.legend, self.output.vectors)
        if tiles := self.output.pmtiles:
            ground = PixelArea.of(self._geobox(grid, self._window(sheets)))
            write_tiles(
                path.with_suffix(".pmtiles"), path, ground.width_m if ground else 1.0, self.name,
                min_zoom=tiles.min_zoom, max_zoom=tiles.max_zoom,
            )  # fmt: skip

    def _preview(self, grid: int, sheets: Sequence[Sheet]) -> None:
        if not self.output.preview:
            return
        path = self._staging.folder / f"{self._stem(grid, 'preview')}.png"
        facts = merge_facts(sheets, self._window(sheets), self._geobox(grid, self._window(sheets)))
        write_preview(
            path, self._source(grid, sheets), self.legend, self.name, subtitle=self.subtitle, counts=facts.counts
        )

    # --- what tells of them

    def _items(self, rasters: dict[int, list[Sheet]]) -> CogFacts:
        folder, files = self._staging.folder, self._staging.files()
        layers = self.form.layers
        more: dict[str, Any] = {
            "classes": self.legend, "software": versions(), "lineage": self.lineage,
            "model": MODEL_ITEM if self.model is not None else "",
            "scale": layers.scale if layers is not None else 1.0,
        }  # fmt: skip
        ((grid, sheets), *rest) = rasters.items()
        whole = self._window(sheets)
        if len(sheets) == 1 and not rest:
            write_item(
                folder / MANIFEST, self.name, self._geobox(grid, whole), sheets[0].facts, files, all_scenes(self.grids),
                probabilities=sheets[0].probabilities, **more,
            )  # fmt: skip
            return sheets[0].facts
        by_name: dict[str, PublishedFile] = {file.name: file for file in files}
        every = [sheet for each in rasters.values() for sheet in each]
        image = self.grids[grid].image
        write_collection(folder, self.name, every, image, by_name, all_scenes(self.grids), **more)
        return merge_facts(every, whole, self._geobox(grid, whole))
