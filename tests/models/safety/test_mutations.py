"""Model files with random changes, the same in each run: refused with a ModelError, or loaded; no other error and no crash."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from swath.errors import ModelError
from swath.models.contract import Format
from swath.models.load import check_file, rehearse
from swath.models.torch_files import load_torch_export
from swath.models.unet import UNet
from tests.models.safety.crafted import entries_of, script, write_entries
from tests.models.tiny_models import export

MUTATIONS = 60
STRANGE: tuple[Any, ...] = (
    None, -1, 1 << 70, 1e308, float("inf"), "x" * 100, [], {}, True, "torch.os.system", [[1]], {"as_int": -5}, 0,
)  # fmt: skip


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        at, kind = chance.randrange(len(changed) or 1), chance.randrange(5)
        if not changed:
            break
        if kind < 2:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del changed[at : at + chance.randrange(1, 50)]
        elif kind == 3:
            changed[at:at] = chance.randbytes(chance.randrange(1, 20))
        else:
            other = chance.randrange(len(changed))
            changed[at : at + 30] = changed[other : other + 30]
    return bytes(changed)


def changed_json(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.02:
        return chance.choice(STRANGE)
    if isinstance(value, dict):
        return {key: changed_json(each, chance) for key, each in value.items() if chance.random() > 0.003}
    return [changed_json(each, chance) for each in value] if isinstance(value, list) else value


def mutated(good: Path, to: Path, chance: random.Random) -> Path:
    """A copy with some bytes of the file, or of an entry of the archive, changed."""
    if good.suffix == ".onnx" or chance.random() < 0.4:
        to.write_bytes(changed_bytes(good.read_bytes(), chance))
        return to
    entries = entries_of(good)
    name = chance.choice(
        [each for each in entries if each.endswith((".json", ".pkl", ".py")) or chance.random() < 0.05]
    )
    if name.endswith(".json") and chance.random() < 0.7:
        entries[name] = json.dumps(changed_json(json.loads(entries[name]), chance)).encode()
    elif entries[name]:
        entries[name] = changed_bytes(entries[name], chance)
    return write_entries(to, entries)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> dict[Format, Path]:
    folder = tmp_path_factory.mktemp("good")
    return {
        "pt2": export(UNet(3, 2, width=4, depth=1), 3, folder / "good.pt2", 2),
        "torchscript": script(folder / "good.pt"),
        "onnx": shared / "data/models/clouds_rgbi.onnx",
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["pt2", "torchscript", "onnx"])
def test_a_changed_file_is_refused_or_loaded(tmp_path: Path, good: dict[Format, Path], form: Format) -> None:
    chance = random.Random(f"swath {form}")
    refused: list[str] = []
    for _ in range(MUTATIONS):
        path = mutated(good[form], tmp_path / good[form].name, chance)
        with contextlib.suppress(ModelError):
            check_file(str(path), form)
        try:
            rehearse(str(path), form)
            if form == "pt2":
                load_torch_export(str(path))
        except ModelError as error:
            refused.append(error.message)
    assert len(refused) > MUTATIONS // 4
    assert all(f"{good[form].name}: " in message for message in refused)
