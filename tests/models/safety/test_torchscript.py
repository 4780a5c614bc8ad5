"""TorchScript from an unknown author: nothing runs when it is loaded, and only listed operators when it is used."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.safety.torchscript import check_script, check_script_archive, checked_script
from swath.models.torch_files import load_torchscript
from swath.models.unet import UNet
from tests.models.safety.crafted import Attack, entries_of, script, script_with, write_entries

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")


@pytest.mark.parametrize(
    ("body", "operator"),
    [
        ('y = torch.from_file("{victim}", True, 4)\nreturn torch.add_(y, x)', "aten::from_file"),
        ('y = ops.aten.from_file("{victim}", True, 4)\nreturn torch.add(x, y)', "aten::from_file"),
        ('torch.save(x, "{victim}")\nreturn x', "aten::save"),
        ("if torch.gt(torch.sum(x), 0):\n  y = torch.resize_(x, [9])\nelse:\n  y = x\nreturn y", "aten::resize_"),
        ("return x.resize_([1000])", "aten::resize_"),
        ("return torch.set_(x, x)", "aten::set_"),
        ("return torch.set_data(x, x)\n", "aten::set_data|not load"),
        ("return torch.as_strided_(x, [9], [1], 0)", "aten::as_strided_"),
        ("return torch._reshape_alias(x, [9], [1])", "aten::_reshape_alias"),
        ("return ops.quantized.add(x, x, 1., 1)", "quantized::add"),
        ('return ops._c10d_functional.all_reduce(x, "sum", "0")', "_c10d_functional::all_reduce"),
        ('return ops.mkldnn._convolution_pointwise(x, x, None, [1], [1], [1], 1, "none", [], "")', "mkldnn::"),
        ("print(x)\nreturn x", "prim::Print"),
        ("y = fork(self.other, x)\nreturn ops.aten.wait(y)", "prim::fork"),
    ],
)
def test_an_operator_that_is_not_listed_is_refused_by_name(tmp_path: Path, body: str, operator: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    good = script(tmp_path / "good.pt")
    other = "  def other(self: __torch__.tests.models.safety.crafted.Plain,\n    x: Tensor) -> Tensor:\n    return x\n"
    bad = script_with(good, tmp_path / "bad.pt", body.replace("{victim}", str(victim)), other)
    with pytest.raises(ModelError, match=rf"bad\.pt: .*{operator}"):
        load_torchscript(str(bad))
    assert victim.read_text() == "precious"


def test_a_method_that_forward_does_not_call_is_looked_at_too(tmp_path: Path) -> None:
    other = (
        "  def __len__(self: __torch__.tests.models.safety.crafted.Plain) -> int:\n"
        '    y = torch.from_file("/nowhere", True, 4)\n    return torch.len(y)\n'
    )
    bad = script_with(script(tmp_path / "good.pt"), tmp_path / "bad.pt", "return x", other)
    with pytest.raises(ModelError, match="calls the operator aten::from_file"):
        load_torchscript(str(bad))


@pytest.mark.parametrize("call", ["torch.add(x, 1, alpha=1, out=x)", "torch.sigmoid(x, out=x)"])
def test_operators_write_to_no_other_tensor(tmp_path: Path, call: str) -> None:
    bad = script_with(script(tmp_path / "good.pt"), tmp_path / "bad.pt", f"return {call}")
    with pytest.raises(ModelError, match=r"calls aten::\w+ with out=, which is not allowed"):
        load_torchscript(str(bad))


def test_code_that_runs_at_loading_is_refused(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    good = script(tmp_path / "good.pt")
    state = (
        "  def __setstate__(self: __torch__.tests.models.safety.crafted.Plain, state: Tensor) -> NoneType:\n"
        f'    torch.save(state, "{proof}")\n    return None\n'
    )
    for methods in (state, state.replace("__setstate__", "__set\\\nstate__")):
        bad = script_with(good, tmp_path / "bad.pt", "return x", methods)
        with pytest.raises(ModelError, match="__setstate__"):
            load_torchscript(str(bad))
        with pytest.raises(ModelError, match="__setstate__"):
            check_script_archive(str(bad))
    body = f'y = __torch__.torch.classes.dist_c10d.FileStore("{proof}", 1)\nreturn x'
    bad = script_with(good, tmp_path / "bad.pt", body)
    with pytest.raises(ModelError, match=r"torch\.classes"):
        load_torchscript(str(bad))
    assert not proof.exists()


def test_a_pickle_of_python_is_refused(tmp_path: Path) -> None:
    import pickle

    proof = tmp_path / "opened"
    for name in ("data.pkl", "constants.pkl"):
        entries = entries_of(script(tmp_path / "good.pt"))
        entries[name] = pickle.dumps(Attack(proof), protocol=2)
        bad = write_entries(tmp_path / "bad.pt", entries)
        with pytest.raises(ModelError, match=f"holds pickled objects or compiled code.*{name}"):
            load_torchscript(str(bad))
    assert not proof.exists()


def test_entries_that_are_not_needed_do_not_reach_torch(tmp_path: Path) -> None:
    entries = entries_of(script(tmp_path / "good.pt"))
    entries["extra/info.txt"] = b"hello"
    entries["traced_inputs.pkl"] = b"not a pickle"
    path = write_entries(tmp_path / "more.pt", entries)
    with io.BytesIO(checked_script(str(path))) as archive:
        assert not {"extra/info.txt", "traced_inputs.pkl"} & set(entries_of(archive.getvalue()))
    load_torchscript(str(path))
    entries["code/evil.so"] = b"\x7fELF"
    with pytest.raises(ModelError, match=r"code/evil\.so is no part of a TorchScript archive"):
        load_torchscript(str(write_entries(tmp_path / "bad.pt", entries)))


def test_an_unknown_code_is_an_error_of_the_model(tmp_path: Path) -> None:
    for body in ("return x +", "import os", "return __import__('os')", "return undefined(x)"):
        bad = script_with(script(tmp_path / "good.pt"), tmp_path / "bad.pt", body)
        with pytest.raises(ModelError, match=r"bad\.pt: TorchScript that this torch does not load"):
            load_torchscript(str(bad))


def test_weights_that_are_no_plain_tensors_are_refused() -> None:
    module = nn.Linear(2, 2)
    scripted = torch.jit.script(module)
    scripted.weight = nn.Parameter(torch.eye(2).to_sparse())
    with pytest.raises(ModelError, match="weight is a sparse or quantized tensor"):
        check_script(scripted, "a.pt")


class Varied(nn.Module):
    """What scripted networks have: branches, loops, lists, texts, optional values, tuples, exceptions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)])

    def forward(self, images: Tensor, scale: float | None = None) -> Tensor:
        if images.dim() != 4:
            raise ValueError(f"images have {images.dim()} axes")
        found: list[Tensor] = []
        for layer in self.layers:
            found.append(torch.relu(layer(images)))
        total = found[0]
        for index in range(1, len(found)):
            total = total + found[index]
        if scale is not None:
            total = total * scale
        sizes = {"height": images.shape[2], "width": images.shape[3]}
        resized = nn.functional.interpolate(
            total, size=[sizes["height"], sizes["width"]], mode="bilinear", align_corners=False
        )
        first, second = torch.max(resized, 1)
        return torch.where(second[:, None] > 0, resized, first[:, None].expand_as(resized))


@pytest.mark.parametrize("how", ["script", "trace", "freeze"])
def test_networks_load_and_give_the_same(tmp_path: Path, how: str) -> None:
    images = torch.randn(1, 3, 16, 16)
    traced = UNet(3, 2, width=4, depth=2).eval(), Varied().eval()
    for network in traced if how == "trace" else traced[1:]:
        exported = torch.jit.trace(network, images) if how == "trace" else torch.jit.script(network)  # type: ignore[no-untyped-call]
        if how == "freeze":
            exported = torch.jit.freeze(exported)
        torch.jit.save(exported, str(tmp_path / "net.pt"))  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            torch.testing.assert_close(load_torchscript(str(tmp_path / "net.pt"))(images), network(images))
