"""Objects of a map of classes as polygons: swath.maps.vectors against GDAL's polygonize (rasterio.features.shapes).

python bench/cases/outlines.py FOLDER [EDGE]. FOLDER keeps the map: five classes with patches of all sizes and single pixels. Each
method runs in a process of its own and ends with the WKB of all polygons. Printed are processor seconds, peak memory above that of
the imports, objects, polygons that are not valid, and whether neighbours have the same points along their borders (a valid
coverage, which a simplification that leaves no gaps needs; checked on a map of 256 pixels). `blocks` polygonizes blocks by
themselves, as tasks on workers would, and `merged` puts their pieces together again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pixels_data import GRID, texture
from rasterio.features import shapes
from rasterio.windows import Window

CLASSES, NODATA, BLOCK, STRIP = 5, 255, 1024, 512
Polygons = tuple[NDArray[np.object_], NDArray[np.int64]]
"""Shapely polygons, and the class of each."""


def make_map(folder: Path, edge: int) -> Path:
    """A tiled GeoTIFF of classes, made when it is not there yet."""
    path = folder / f"classes-{edge}.tif"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        level = texture(edge, 3)
        classes = np.digitize(level, np.quantile(level, [0.2, 0.4, 0.6, 0.8])).astype(np.uint8)
        with rasterio.open(
            path, "w", driver="GTiff", width=edge, height=edge, count=1, dtype="uint8", nodata=NODATA, tiled=True,
            blockxsize=512, blockysize=512, compress="deflate", **GRID,
        ) as file:  # fmt: skip
            file.write(classes, 1)
    return path


def tracer(path: Path) -> Iterator[bytes]:
    """By swath, strip by strip."""
    from swath.maps.vectors.polygon import split_objects, to_wkb
    from swath.maps.vectors.tracer import Strip, Tracer

    with rasterio.open(path) as file:
        trace = Tracer(file.width, lambda rows, columns, lengths: lengths.astype(np.float64))
        for row in range(0, file.height, STRIP):
            height = min(STRIP, file.height - row)
            pixels = file.read(1, window=Window(0, row, file.width, height)).astype(np.int16)
            found = trace.add(Strip(row, np.where(pixels == NODATA, -1, pixels)))
            for _, rings in split_objects(found):
                yield from to_wkb(found, rings, file.transform)
        found = trace.finish()
        for _, rings in split_objects(found):
            yield from to_wkb(found, rings, file.transform)


def gdal(path: Path) -> Iterator[bytes]:
    """By GDAL, the whole map at once."""
    with rasterio.open(path) as file:
        for shape, value in shapes(rasterio.band(file, 1), connectivity=4, transform=file.transform):
            if value != NODATA:
                yield shapely.to_wkb(shapely.geometry.shape(shape))


def _blocks(path: Path) -> Iterator[tuple[Any, int]]:
    with rasterio.open(path) as file:
        for row in range(0, file.height, BLOCK):
            for col in range(0, file.width, BLOCK):
                window = Window(col, row, min(BLOCK, file.width - col), min(BLOCK, file.height - row))
                for shape, value in shapes(
                    file.read(1, window=window), connectivity=4, transform=file.window_transform(window)
                ):
                    if value != NODATA:
                        yield shapely.geometry.shape(shape), int(value)


def blocks(path: Path) -> Iterator[bytes]:
    """By GDAL, block by block: objects are cut at the borders of blocks."""
    return (shapely.to_wkb(shape) for shape, _ in _blocks(path))


def merged(path: Path) -> Iterator[bytes]:
    """By GDAL, block by block; pieces of one class that share a side on a block's border are united."""
    pieces = list(_blocks(path))
    polygons = np.array([piece for piece, _ in pieces], dtype=object)
    classes = np.array([value for _, value in pieces])
    with rasterio.open(path) as file:
        at, size = file.transform, (file.width, file.height)
    lines = [shapely.LineString([at @ (n, 0), at @ (n, size[1])]) for n in range(BLOCK, size[0], BLOCK)]
    lines += [shapely.LineString([at @ (0, n), at @ (size[0], n)]) for n in range(BLOCK, size[1], BLOCK)]
    border = np.unique(shapely.STRtree(polygons).query(np.array(lines, dtype=object), predicate="intersects")[1])
    inner = np.setdiff1d(np.arange(len(polygons)), border)
    yield from shapely.to_wkb(polygons[inner]).tolist()
    for value in np.unique(classes[border]):
        united = shapely.union_all(shapely.make_valid(polygons[border[classes[border] == value]]))
        yield from shapely.to_wkb(shapely.get_parts(united)).tolist()


METHODS: dict[str, Callable[[Path], Iterator[bytes]]] = {
    "tracer": tracer, "gdal": gdal, "blocks": blocks, "merged": merged,
}  # fmt: skip


def measure(method: str, path: Path, out: Path) -> dict[str, float]:
    """In this process: all polygons to a file of WKB, as a writer would take them."""
    if method == "tracer":
        import swath.maps.vectors.polygon
        import swath.maps.vectors.tracer  # noqa: F401
    before = peak_kb()
    start = time.process_time()
    with out.open("wb") as file:
        for wkb in METHODS[method](path):
            file.write(len(wkb).to_bytes(8, "little"))
            file.write(wkb)
    seconds = time.process_time() - start
    return {"seconds": seconds, "megabytes": (peak_kb() - before) / 1024}


def peak_kb() -> int:
    """Peak resident memory of this process (Linux). Not from getrusage, which counts the parent's before exec."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


def polygons_of(out: Path) -> NDArray[np.object_]:
    """The polygons that a method wrote."""
    data, at, found = out.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        found.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return np.asarray(shapely.from_wkb(found))


def noded_by_tracer(path: Path) -> NDArray[np.object_]:
    """By swath, with points where a neighbour changes: what is simplified."""
    from swath.maps.vectors.polygon import to_polygons
    from swath.maps.vectors.tracer import Strip, Tracer

    with rasterio.open(path) as file:
        pixels = file.read(1).astype(np.int16)
    trace = Tracer(pixels.shape[1], lambda rows, columns, lengths: lengths.astype(np.float64), noded=True)
    found = [trace.add(Strip(0, np.where(pixels == NODATA, -1, pixels))), trace.finish()]
    return np.concatenate([shape for each in found for shape in to_polygons(each)])


def main(words: list[str]) -> int:
    """All methods, each in a process of its own."""
    if words[0] in METHODS:
        print(json.dumps(measure(words[0], Path(words[1]), Path(words[2]))))
        return 0
    folder, edge = Path(words[0]), int(words[1]) if len(words) > 1 else 2048
    path, small = make_map(folder, edge), make_map(folder, 256)
    print(f"{path.name}: {'seconds':>9} {'MB':>7} {'objects':>9} {'invalid':>9} {'coverage':>9}")
    for method in METHODS:
        out = folder / f"{method}.wkb"
        done = subprocess.run(
            [sys.executable, __file__, method, str(path), str(out)], capture_output=True, text=True, check=True
        )
        taken = json.loads(done.stdout)
        found = polygons_of(out)
        coverage = shapely.coverage_is_valid(
            noded_by_tracer(small) if method == "tracer" else shapely.from_wkb(list(METHODS[method](small)))
        )
        invalid = int((~shapely.is_valid(found)).sum())
        print(
            f"{method:17} {taken['seconds']:9.2f} {taken['megabytes']:7.0f} {len(found):9,} {invalid:9,} "
            f"{'yes' if coverage else 'no':>9}",
            flush=True,
        )
        out.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
