"""Zip archives with random changes of their directory: names, paths, sizes, methods, flags, order, entries twice."""

from __future__ import annotations

import random
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pyogrio
import shapely

from swath.models.load import check_file
from swath.models.unet import UNet
from swath.spec.fields import area_geometry
from tests.attack.kind import NoProcesses
from tests.attack.mutations import changed_bytes
from tests.models.safety.crafted import script
from tests.models.tiny_models import export

_NAMES = (
    "../x", "/etc/x", "..\\x", "C:\\x", "a/../../x", "./x", "model//x", "x" * 300, "x" * 66000, "", "/", "model/",
    "é.pkl", "\x00", "a\x1b[31m", "model/DATA.PKL", "model/data.pkl", "model/code/__torch__.py", "model/extra/x",
    "model/x.so", "area.shp", "AREA.SHP", "model/data.json", "model/version", "model/.data/serialization_id", "CON",
    "aux", "__MACOSX/._area.shp", "a/b/c/d/e/f/g/h.shp", "\u202egnp.exe",
)  # fmt: skip


class Archives(NoProcesses):
    """Model archives in both formats, and a zipped shapefile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        export(UNet(3, 2, width=4, depth=1), 3, folder / "good.pt2", 2)
        script(folder / "good.pt")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pyogrio.raw.write(
                folder / "area.shp", shapely.to_wkb([shapely.box(10, 50, 11, 51)]), field_data=[], fields=[], geometry_type="Polygon",
                crs="EPSG:4326", driver="ESRI Shapefile",
            )  # fmt: skip
        with zipfile.ZipFile(folder / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.glob("area.*")):
                archive.write(path, path.name)
                path.unlink()
        self._good = sorted(folder.glob("good.*"))

    def unchanged(self) -> Iterator[Path]:
        yield from self._good

    def write(self, chance: random.Random) -> tuple[Path, str]:
        good = chance.choice(self._good)
        to = self._folder / f"input{good.suffix}"
        with zipfile.ZipFile(good) as archive:
            entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
        done = []
        for _ in range(chance.choice((1, 1, 2, 3))):
            at, how = chance.randrange(len(entries)), chance.randrange(6)
            name, data = entries[at]
            if how == 0:
                entries[at] = (chance.choice(_NAMES), data)
            elif how == 1:
                entries.insert(at, (chance.choice(_NAMES), data))
            elif how == 2:
                entries.insert(at, (chance.choice((name, name.upper(), name + " ", "x/" + name)), b"other"))
            elif how == 3 and len(entries) > 1:
                del entries[at]
            elif how == 4:
                entries[at] = (name, bytes(chance.choice((0, 1, 1 << 16, 1 << 22))))
            else:
                chance.shuffle(entries)
            done.append(f"{('name', 'entry', 'twice', 'removed', 'zeros', 'order')[how]} at {name}")
        method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        with warnings.catch_warnings(), zipfile.ZipFile(to, "w", method) as archive:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, data in entries:
                info = zipfile.ZipInfo(name or "x")
                info.filename, info.compress_type = name[:65000], method
                info.external_attr = chance.choice((0, 0, 0o120777 << 16, 0o40755 << 16))
                archive.writestr(info, data)
        if chance.random() < 0.5:
            to.write_bytes(changed_directory(to.read_bytes(), chance))
            done.append("fields of the directory")
        return to, ", ".join(done)

    def use(self, path: Path) -> None:
        if path.suffix == ".zip":
            area_geometry.from_file(path.name, path.parent)
        else:
            check_file(str(path), "pt2" if path.suffix == ".pt2" else "torchscript")


def changed_directory(data: bytes, chance: random.Random) -> bytes:
    """An archive with fields of a local header, of the directory or of its end changed: flags, methods, sums, sizes, offsets."""
    changed = bytearray(data)
    starts = [at for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") for at in _found(data, mark)]
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.choice(starts) + 4 + 2 * chance.randrange(20)
        number = chance.choice((0, 1, 8, 12, 0xFFFF, 0x7FFF, zlib.crc32(data) & 0xFFFF))
        changed[at : at + 2] = number.to_bytes(2, "little")
    return bytes(changed[: len(data)]) if chance.random() < 0.9 else changed_bytes(data, chance)


def _found(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found
