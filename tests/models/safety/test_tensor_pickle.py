"""Pickles are looked through, never run: names that they ask for, and tensors that reach over their data."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from swath.errors import ModelError
from swath.models.safety.archive import ModelArchive
from swath.models.safety.tensor_pickle import SPARE_ITEMS, check_extent, check_saved_tensors, check_script_pickle
from tests.models.safety.crafted import Attack, entries_of, saved, script, write_entries


def check_saved(data: bytes) -> None:
    with ModelArchive(data, "a.pt") as archive:
        check_saved_tensors(archive)


def test_tensors_pass() -> None:
    weights = torch.arange(24.0).reshape(4, 6)
    check_saved(saved({"a": weights, "b": [weights.T, weights[1:3, ::2]], "c": torch.tensor(1), "d": torch.empty(0)}))
    check_saved(saved(((torch.zeros(2, 3, dtype=torch.bfloat16), torch.nn.Parameter(weights)), {"x": None, "y": 1.5})))
    check_saved(saved(OrderedDict(torch.nn.BatchNorm2d(3).state_dict())))


@pytest.mark.parametrize(
    "value", [torch.nn.Linear(1, 1), Path("x"), torch.load, pickle.loads, torch.ones(2).to_sparse(), {1, 2}, b"bytes"]
)
def test_other_objects_are_refused_by_name(value: object) -> None:
    with pytest.raises(ModelError, match=r"a\.pt: holds pickled objects or compiled code.*data\.pkl asks for"):
        check_saved(saved([value]))


def test_what_would_run_does_not(tmp_path: Path) -> None:
    proof = tmp_path / "opened"
    with pytest.raises(ModelError, match=r"asks for (posix|nt)\.mkdir"):
        check_saved(saved({"a": Attack(proof)}))
    assert not proof.exists()


@pytest.mark.parametrize("protocol", [0, 3, 4, 5])
def test_instructions_that_torch_does_not_write_are_refused(protocol: int) -> None:
    entries = entries_of(saved({"a": 1}))
    entries["data.pkl"] = pickle.dumps({"a": "text", "b": b"bytes", "c": {1}, "d": 1 << 70}, protocol=protocol)
    with pytest.raises(ModelError, match="asks for the instruction"), ModelArchive(_zip(entries), "a.pt") as archive:
        check_saved_tensors(archive)


def _zip(entries: dict[str, bytes]) -> bytes:
    from swath.models.safety.archive import write_archive

    return write_archive("model", entries.items())


def test_every_truncated_or_flipped_pickle_is_refused_or_harmless() -> None:
    good = saved({"a": torch.ones(4), "b": torch.zeros(2, 2)})
    entries = entries_of(good)
    data = entries["data.pkl"]
    for index in range(len(data)):
        for changed in (data[:index], data[:index] + bytes([data[index] ^ 0x5A]) + data[index + 1 :]):
            with ModelArchive(_zip(entries | {"data.pkl": changed}), "a.pt") as archive:
                try:
                    check_saved_tensors(archive)
                except ModelError:
                    continue


def larger(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) >= 1, pickletools.dis(data)
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"K\x04", b"M\x00\x10", "4096 items of a FloatStorage that has 16 bytes"),
        (b"K\x04t", b"M\x00\x10t", r"4096 items|sizes \[4096\]"),
        (b"K\x00(K\x04", b"K\x09(K\x04", r"offset|needs 13 items of 4"),
        (b"(K\x01t", b"(M\x00\x10t", r"strides \[4096\] needs"),
        (b"FloatStorage", b"DoubleStorage", "4 items of a DoubleStorage that has 16 bytes"),
        (b"FloatStorage", b"NoSuchStorage", "asks for torch.NoSuchStorage"),
        (b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x009", "data/9 is missing"),
    ],
)
def test_tensors_that_reach_over_their_data_are_refused(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    """torch.jit.load believes these numbers: what lies after the data is memory of the process."""
    entries = entries_of(script(tmp_path / "good.pt"))
    entries["data.pkl"] = larger(entries["data.pkl"], old, new)
    path = write_entries(tmp_path / "bad.pt", entries)
    with ModelArchive(str(path), "bad.pt") as archive, pytest.raises(ModelError, match=message):
        check_script_pickle(archive, "data.pkl")


@pytest.mark.parametrize(
    "asked",
    [
        "os\nsystem",
        "torch\nload",
        "__torch__.torch.classes.dist_c10d\nFileStore",
        "builtins\neval",
        "torch._utils\n_rebuild_qtensor",
    ],
)
def test_names_in_torchscript_are_its_own(tmp_path: Path, asked: str) -> None:
    entries = entries_of(script(tmp_path / "good.pt"))
    entries["data.pkl"] = b"\x80\x02c" + asked.encode() + b"\n)R."
    path = write_entries(tmp_path / "bad.pt", entries)
    with ModelArchive(str(path), "bad.pt") as archive, pytest.raises(ModelError, match="holds pickled objects"):
        check_script_pickle(archive, "data.pkl")


def test_extents() -> None:
    check_extent((2, 3), (3, 1), 0, 6)
    check_extent((2, 3), (0, 1), 3, 6)
    check_extent((), (), 5, 6)
    check_extent((0, 1 << 60), (1, 1), 0, 0)
    for sizes, strides, offset, items in (
        ((2, 3), (3, 1), 1, 6), ((-1,), (1,), 0, 6), ((2,), (-1,), 1, 6), ((1,), (1,), -1, 6), ((2,), (1, 1), 0, 6), ((), (), 6, 6),
        ((SPARE_ITEMS + 1,), (0,), 0, 1), ((1 << 40, 1 << 40), (0, 0), 0, 6),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="a tensor of sizes"):
            check_extent(sizes, strides, offset, items)
