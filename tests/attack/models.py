"""Model files with random changes: bytes of the file or of an entry, and members of its documents, in every format."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from swath.models.contract import Format, Weights
from swath.models.contract_file import parse_contract
from swath.models.load import check_file, load_model, weights_sha256
from swath.models.unet import UNet
from tests.attack.kind import NoProcesses
from tests.attack.mutations import changed_bytes, cut_bytes, scattered_changes
from tests.models.safety.crafted import entries_of, script, write_entries
from tests.models.tiny_models import export, tiny_contract

FACTORY = "tests.attack.models:network"
_FORMATS: dict[str, Format] = {
    ".pt2": "pt2",
    ".pt": "torchscript",
    ".onnx": "onnx",
    ".safetensors": "safetensors",
    ".ckpt": "checkpoint",
}


_CONTRACT = parse_contract(tiny_contract("model", ("red", "green", "blue"), 2))


def network() -> torch.nn.Module:
    """A small network, for files that have only weights."""
    return UNet(3, 2, width=4, depth=1)


class Models(NoProcesses):
    """Each is checked, loaded for the first time in the process without rights, loaded, and run on a small image."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        module = UNet(3, 2, width=4, depth=1).eval()
        export(module, 3, folder / "good.pt2", 2)
        script(folder / "good.pt")
        save_file(module.state_dict(), folder / "good.safetensors")
        torch.save({"state_dict": module.state_dict()}, folder / "good.ckpt")
        weight = numpy_helper.from_array(np.ones((2, 3, 3, 3), np.float32), "w")
        sides = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", bands, "h", "w"])
            for name, bands in (("x", 3), ("y", 2))
        ]
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Sigmoid", ["r"], ["y"]),
        ]
        graph = helper.make_graph(nodes, "g", sides[:1], sides[1:], [weight])
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(proto, folder / "good.onnx")
        self._good = {suffix: folder / f"good{suffix}" for suffix in _FORMATS}
        self._folder = folder

    def unchanged(self) -> Iterator[Path]:
        yield from self._good.values()

    def write(self, chance: random.Random) -> tuple[Path, str]:
        suffix = chance.choice((".pt2", ".pt2", ".pt", ".pt", ".onnx", ".onnx", ".safetensors", ".ckpt"))
        good, to = self._good[suffix], self._folder / f"model{suffix}"
        return to, changed_model(good, to, chance)

    def use(self, path: Path) -> None:
        form = _FORMATS[path.suffix]
        check_file(str(path), form, _CONTRACT)
        factory = FACTORY if form in ("safetensors", "checkpoint") else None
        predictor = load_model(Weights(str(path), form, weights_sha256(str(path)), factory, 3))
        predictor(np.zeros((1, 3, 8, 8), np.float32))

    def may_start(self, event: str, arguments: Any) -> bool:
        """The process without rights is a fork, or, when that one crashes, a new interpreter."""
        return event == "os.fork" or (event == "subprocess.Popen" and arguments[1][:2] == [sys.executable, "-I"])


def changed_model(good: Path, to: Path, chance: random.Random) -> str:
    """Write a copy with some bytes of the file, or of an entry of the archive, changed. Returns what was done."""
    if chance.random() < 0.05:
        to.write_bytes(cut_bytes(good.read_bytes(), chance))
        return f"{to.name} cut"
    if good.suffix in (".onnx", ".safetensors") or chance.random() < 0.35:
        first = 400 if good.suffix == ".safetensors" and chance.random() < 0.7 else None
        to.write_bytes(changed_bytes(good.read_bytes(), chance, first))
        return f"bytes of {to.name}"
    entries = entries_of(good)
    documents = [each for each in entries if each.endswith((".json", ".pkl", ".py"))]
    name = chance.choice(documents if chance.random() < 0.9 else list(entries))
    if name.endswith(".json") and chance.random() < 0.7:
        document = scattered_changes(json.loads(entries[name]), chance, chance.choice((0.02, 0.002, 0.0005)))
        entries[name] = json.dumps(document).encode()
    elif entries[name]:
        entries[name] = changed_bytes(entries[name], chance)
    write_entries(to, entries)
    return f"{name} in {to.name}"
