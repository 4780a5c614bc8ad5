"""Malicious models, through the real `pipe` process: exit code 2, the file and the thing named, and nothing done."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from swath.models.unet import UNet
from tests.models.safety.crafted import Attack, changed_document, entries_of, saved, script, script_with, write_entries
from tests.models.tiny_models import tiny_contract, write_identity_model
from tests.process import Done, Pipe

VICTIM = "precious contents of a user's file"
Make = Callable[[Path, Path, Path], Path]
"""Makes a model of a good one, which writes to the victim (second) or makes the canary (third)."""


def argument(name: str, kind: int = 1, **value: Any) -> dict[str, Any]:
    return {"name": name, "arg": value, "kind": kind}


def with_nodes(*nodes: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Puts calls before those of a network."""

    def change(document: dict[str, Any]) -> None:
        graph = document["graph_module"]["graph"]
        graph["nodes"] = [*nodes, *graph["nodes"]]

    return change


def call(target: str, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {"target": target, "inputs": list(inputs), "outputs": [{"as_tensor": {"name": "evil"}}], "metadata": {}}


def from_file(good: Path, victim: Path, canary: Path) -> Path:
    node = call(
        "torch.ops.aten.from_file.default", argument("filename", as_string=str(victim)), argument("shared", as_bool=True),
        argument("size", as_int=8), argument("dtype", 2, as_scalar_type=1),
    )  # fmt: skip
    return changed_document(good, good.with_name("evil.pt2"), with_nodes(node))


def system(good: Path, victim: Path, canary: Path) -> Path:
    node = call("torch.os.mkdir", argument("", as_string=str(canary)))
    return changed_document(good, good.with_name("evil.pt2"), with_nodes(node))


def sympy(good: Path, victim: Path, canary: Path) -> Path:
    def change(document: dict[str, Any]) -> None:
        (image,) = (
            spec["user_input"]["arg"]["as_tensor"]["name"]
            for spec in document["graph_module"]["signature"]["input_specs"]
            if "user_input" in spec
        )
        sizes = document["graph_module"]["graph"]["tensor_values"][image]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": f"__import__('os').mkdir({str(canary)!r})", "hint": None}}

    return changed_document(good, good.with_name("evil.pt2"), change)


def guard(good: Path, victim: Path, canary: Path) -> Path:
    return changed_document(
        good,
        good.with_name("evil.pt2"),
        lambda document: document.update(guards_code=[f"__import__('os').mkdir({str(canary)!r})"]),
    )


def capital_pickle(good: Path, victim: Path, canary: Path) -> Path:
    entries = entries_of(good)
    entries.pop("data/sample_inputs/model.pt", None)
    entries = {name: data for name, data in entries.items() if "sample_inputs" not in name}
    entries["data/sample_inputs/model.PT"] = pickle.dumps(Attack(canary), protocol=2)
    return write_entries(good.with_name("evil.pt2"), entries)


def pickled_weight(good: Path, victim: Path, canary: Path) -> Path:
    entries = entries_of(good)
    model = next(name for name in entries if name.startswith("models/")).split("/")[1].removesuffix(".json")
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    entries[f"data/constants/{model}_constants_config.json"] = json.dumps({"config": {"x": entry}}).encode()
    entries["data/constants/opaque_obj_0"] = pickle.dumps(Attack(canary))
    return write_entries(good.with_name("evil.pt2"), entries)


def compiled(good: Path, victim: Path, canary: Path) -> Path:
    return write_entries(good.with_name("evil.pt2"), entries_of(good) | {"data/aotinductor/model/x.so": b"\x7fELF"})


def bomb(good: Path, victim: Path, canary: Path) -> Path:
    path = good.with_name("evil.pt2")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in entries_of(good).items():
            target.writestr(f"model/{name}", data)
        for index in range(1000, 1006):
            target.writestr(f"model/data/weights/weight_{index}", bytes(60 << 20))
    return path


def truncated(good: Path, victim: Path, canary: Path) -> Path:
    path = good.with_name("evil.pt2")
    data = good.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def script_file(good: Path, victim: Path, canary: Path) -> Path:
    body = f'y = torch.from_file("{victim}", True, 4)\nz = torch.zero_(y)\nreturn torch.add(x, torch.sum(z))'
    return script_with(script(good.with_name("good.pt")), good.with_name("evil.pt"), body)


def script_state(good: Path, victim: Path, canary: Path) -> Path:
    state = (
        "  def __setstate__(self: __torch__.tests.models.safety.crafted.Plain, state: Tensor) -> NoneType:\n"
        f'    torch.save(state, "{canary}")\n    return None\n'
    )
    return script_with(script(good.with_name("good.pt")), good.with_name("evil.pt"), "return x", state)


def onnx_weights(good: Path, victim: Path, canary: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weight = onnx.numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=f"../{victim.name}")
    sides = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 3, "h", "w"]) for name in ("x", "y")
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "w"], ["y"])], "g", sides[:1], sides[1:], [weight]
    )
    path = good.with_name("evil.onnx")
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]).SerializeToString()
    )
    return path


ATTACKS: dict[str, tuple[Make, str]] = {
    "from_file": (from_file, "calls the operator torch.ops.aten.from_file.default, which is not allowed"),
    "system": (system, "calls the operator torch.os.mkdir, which is not allowed"),
    "sympy": (sympy, "the length of an axis is"),
    "guard": (guard, "the condition"),
    "capital": (capital_pickle, "holds pickled objects"),
    "pickled weight": (pickled_weight, "holds pickled objects"),
    "compiled": (compiled, "holds pickled objects or compiled code"),
    "bomb": (bomb, "more than a model does"),
    "truncated": (truncated, "not a zip archive, or a damaged one"),
    "script file": (script_file, "calls the operator aten::from_file, which is not allowed"),
    "script state": (script_state, "__setstate__"),
    "onnx weights": (onnx_weights, "its weights are in '../victim', which is not a file beside the model"),
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.tif"
    size = {"height": 32, "width": 32, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        path, "w", driver="GTiff", crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **size
    ) as file:
        file.write(np.full((3, 32, 32), 7, np.uint8))
    return path


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port of this machine, and the connections that came to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[str] = []

        def listen() -> None:
            while True:
                try:
                    heard.append(str(server.accept()[1]))
                except OSError:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard


def run(pipe: Pipe, command: str, image: Path, model: Any, code: int | None = 2) -> Done:
    imagery = {"source": "files", "paths": [str(image)], "names": ["red", "green", "blue"]}
    return pipe(command, pipe.spec(imagery=imagery, model=model, output={"to": "out", "vectors": False}), code=code)


@pytest.mark.parametrize(
    "attack",
    [
        name
        if name in ("from_file", "capital", "onnx weights", "script file")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in ATTACKS
    ],
)
def test_a_model_that_is_malicious_is_refused(pipe: Pipe, image: Path, attack: str) -> None:
    make, message = ATTACKS[attack]
    folder = pipe.folder / "models"
    folder.mkdir()
    victim, canary = pipe.folder / "victim", pipe.folder / "canary"
    victim.write_text(VICTIM)
    model = make(write_identity_model(folder), victim, canary)
    shutil.copy(folder / "identity.json", model.with_suffix(".json"))
    for command in ("plan", "run"):
        if command == "plan" and attack.startswith("script file"):
            continue  # a graph is looked at when it is loaded
        done = run(pipe, command, image, str(model), code=None)
        assert done.code in ((2,) if attack != "script file" else (1, 2)), done.err
        assert model.name in done.err
        assert message in done.err
        assert "Traceback" not in done.err
    assert victim.read_text() == VICTIM
    assert not canary.exists()
    assert not (pipe.folder / "out").exists()


def test_no_model_connects_to_anything(pipe: Pipe, image: Path, listener: tuple[int, list[str]]) -> None:
    port, heard = listener
    good = write_identity_model(pipe.folder)
    url = f"http://127.0.0.1:{port}/model"
    fetch = call("torch.hub.load_state_dict_from_url", argument("", as_string=url))
    store = f's = __torch__.torch.classes.dist_c10d.TCPStore("127.0.0.1", {port}, 1, False, 1)\nreturn x'
    models = [
        changed_document(good, pipe.folder / "evil.pt2", with_nodes(fetch)),
        script_with(script(pipe.folder / "good.pt"), pipe.folder / "evil.pt", store),
    ]
    for model in models:
        shutil.copy(pipe.folder / "identity.json", pipe.folder / "evil.json")
        assert model.name in run(pipe, "run", image, str(model)).err
    assert heard == []


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".pt"])
@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_a_pickled_checkpoint_is_refused_where_it_stands_in_the_spec(
    pipe: Pipe, image: Path, suffix: str, command: str
) -> None:
    canary, model = pipe.folder / "canary", pipe.folder / f"evil{suffix}"
    model.write_bytes(saved({"state_dict": Attack(canary)}))
    done = run(pipe, command, image, str(model))
    assert f"evil{suffix} is a pickled checkpoint" in done.err
    assert "trust: true" in done.err
    assert not canary.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_trusted_checkpoint_runs_and_still_no_code_of_it(pipe: Pipe, image: Path, legacy: bool) -> None:
    network = UNet(3, 2, width=4, depth=1)
    (pipe.folder / "nets.py").write_text(
        "from swath.models.unet import UNet\n\ndef make():\n    return UNet(3, 2, width=4, depth=1)\n"
    )
    pipe.env["PYTHONPATH"] += f":{pipe.folder}"
    (pipe.folder / "net.json").write_text(json.dumps(tiny_contract("net", ["red", "green", "blue"], 2)))
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    path, model = pipe.folder / "net.ckpt", {"path": "net.ckpt", "factory": "nets:make", "trust": True}
    path.write_bytes(saved({"state_dict": state, "epoch": 3}, legacy))
    run(pipe, "run", image, model, code=0)
    canary = pipe.folder / "canary"
    path.write_bytes(saved({"state_dict": state, "x": Attack(canary)}, legacy))
    done = run(pipe, "run", image, model, code=None)
    assert done.code in (1, 2)
    assert "net.ckpt: holds pickled objects beside weights" in done.err
    assert not canary.exists()


def test_a_good_model_of_each_kind_still_maps(pipe: Pipe, image: Path) -> None:
    model = write_identity_model(pipe.folder)
    run(pipe, "run", image, str(model), code=0)
    with rasterio.open(pipe.folder / "out/map.tif") as file:
        assert file.read().tolist() == np.full((3, 32, 32), 7).tolist()
