"""Model contracts with random changes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from swath.models.contract_file import read_contract
from tests.attack.kind import NoProcesses
from tests.attack.mutations import changed_bytes, changed_document, cut_bytes
from tests.models.tiny_models import tiny_contract


class Contracts(NoProcesses):
    """Changes of members and of bytes of contracts with many fields."""

    def __init__(self, folder: Path) -> None:
        scaling = [{"type": "min-max", "minimum": 0, "maximum": 255}, {"type": "z-score", "mean": 1.0, "stddev": 2.0}]
        classes = tiny_contract("classes", ("red", "nir"), 2, units="reflectance", nodata=255, dtype="uint8")
        classes["mlm:input"][0]["value_scaling"] = scaling
        values = tiny_contract("values", ("red",), 1, output="values", dtype="float32", nodata="nan", resolution_m=10)
        one = tiny_contract("one", ("red",), 2, threshold=0.5)
        one["mlm:output"][0]["result"]["shape"][1] = 1
        old = tiny_contract("old", ("red", "nir"), 2)
        old["mlm:input"][0] |= {
            "norm_type": "min-max",
            "norm_by_channel": True,
            "statistics": [{"minimum": 0, "maximum": 9}] * 2,
        }
        item = {"type": "Feature", "stac_version": "1.0.0", "id": "one", "properties": classes, "assets": {}}
        self._good = (classes, values, one, old, item)
        self._file = folder / "model.json"

    def unchanged(self) -> Iterator[Path]:
        for good in self._good:
            self._file.write_text(json.dumps(good), encoding="utf-8")
            yield self._file

    def write(self, chance: random.Random) -> tuple[Path, str]:
        good = chance.choice(self._good)
        if chance.random() < 0.8:
            document, done = changed_document(good, chance)
            self._file.write_text(json.dumps(document), encoding="utf-8")
            return self._file, done
        change = chance.choice((changed_bytes, cut_bytes))
        self._file.write_bytes(change(json.dumps(good).encode(), chance))
        return self._file, change.__name__

    def use(self, path: Path) -> None:
        read_contract(path)
