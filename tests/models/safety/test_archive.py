"""Archives from an unknown author: names, sizes and compression are checked before an entry is read."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from swath.errors import ModelError
from swath.models.safety.archive import TORCH_EXPORT, TORCHSCRIPT, ArchiveLimits, Layout, ModelArchive, write_archive
from tests.models.safety.crafted import write_entries


def test_entries_are_read_by_their_names_below_the_folder(tmp_path: Path) -> None:
    path = write_entries(tmp_path / "a.pt2", {"version": b"3", "models/model.json": b'{"a": [1]}'}, folder="water")
    with ModelArchive(str(path), "a.pt2") as archive:
        assert (archive.folder, archive.names) == ("water", ("version", "models/model.json"))
        assert (archive.read("version"), archive.size("version")) == (b"3", 1)
        assert archive.json("models/model.json") == {"a": [1]}
        with pytest.raises(ModelError, match=r"a\.pt2: not a whole archive: data is missing"):
            archive.read("data")


@pytest.mark.parametrize(
    "name",
    [
        "data/sample_inputs/model.PT",
        "data/sample_inputs/model.pkl",
        "data/sample_inputs/../model.pt",
        "data/sample_inputs//model.pt",
        "data/weights/opaque_obj_0",
        "data/constants/custom_obj_0",
        "data/weights/WEIGHT_0",
        "data/aotinductor/model/x.so",
        "data/executorch/model.pte",
        "models/model.pkl",
        "models/a/model.json",
        "code/__torch__.py",
        "data.pkl",
        "README",
    ],
)
def test_an_entry_that_is_not_known_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = write_entries(tmp_path / "a.pt2", {"version": b"3", name: b""})
    with pytest.raises(ModelError, match=r"a\.pt2: holds pickled objects or compiled code") as caught:
        ModelArchive(str(path), "a.pt2").check(TORCH_EXPORT)
    assert name in caught.value.message


@pytest.mark.parametrize("layout", [TORCH_EXPORT, TORCHSCRIPT])
def test_no_kind_of_archive_has_names_that_lead_out(layout: Layout) -> None:
    for name in ("../x", "/etc/passwd", "data/../../x", "a\\b", "code/..", "code/../x.py"):
        if not layout.knows(name):
            continue
        with pytest.raises(ModelError):
            ModelArchive(write_archive("model", [(name, b"")]), "a.pt2")


@pytest.mark.parametrize(
    "names",
    [
        ("model/data.pkl", "model/DATA.pkl"),
        ("model/data.pkl", "Model/data.pkl"),
        ("model/data.pkl", "model/data.pkl"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_one_name_to_torch_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as target:
        for name in names:
            target.writestr(name, b"")
    with pytest.raises(ModelError, match="are one name to torch's reader"):
        ModelArchive(str(tmp_path / "a.pt"), "a.pt")


@pytest.mark.parametrize(
    "name", ["/absolute", "../out", "model/../x", "model//x", "model/./x", "model\\x", "mod\x1b[31mel/x"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as target:
        target.writestr(name, b"")
    with pytest.raises(ModelError, match="an entry is called") as caught:
        ModelArchive(str(tmp_path / "a.pt"), "a.pt")
    assert "\x1b" not in caught.value.message


def test_a_bomb_is_refused_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt2", "w", zipfile.ZIP_DEFLATED) as target:
        for index in range(5):
            target.writestr(f"model/data/weights/weight_{index}", bytes(60 << 20))
    assert (tmp_path / "a.pt2").stat().st_size < 1 << 20
    with pytest.raises(ModelError, match=r"bytes unpack to 314572800, more than a model does"):
        ModelArchive(str(tmp_path / "a.pt2"), "a.pt2")


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """One block of bytes for many entries: each is small, all together are not."""
    data = bytearray(write_archive("model", [("a", bytes(10_000)), ("b", b""), ("c", b"")]))
    first = data.index(b"PK\x01\x02")
    for name in (b"model/b", b"model/c"):
        at = data.index(name, first) - 46
        data[at + 20 : at + 28] = struct.pack("<II", 10_000, 10_000)
    with pytest.raises(ModelError, match="unpack to 30000, more than a model does"):
        ModelArchive(bytes(data), "a.pt2")


def test_an_entry_that_is_not_as_long_as_it_says_is_refused() -> None:
    data = bytearray(write_archive("model", [("version", b"12345678")]))
    at = data.index(b"model/version", data.index(b"PK\x01\x02")) - 46
    data[at + 24 : at + 28] = struct.pack("<I", 5)
    with ModelArchive(bytes(data), "a.pt2") as archive, pytest.raises(ModelError, match="version is damaged"):
        archive.read("version")


def test_bytes_that_changed_are_refused() -> None:
    data = write_archive("model", [("version", b"12345678")]).replace(b"12345678", b"12345679")
    with ModelArchive(data, "a.pt2") as archive, pytest.raises(ModelError, match="version is damaged"):
        archive.read("version")


@pytest.mark.parametrize("keep", [0, 1, 30, 100, 0.5, 0.9])
def test_a_truncated_archive_is_refused(tmp_path: Path, keep: float) -> None:
    whole = write_archive("model", [("version", b"1"), ("data/weights/weight_0", bytes(1000))])
    path = tmp_path / "a.pt2"
    path.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    with pytest.raises(ModelError, match=r"a\.pt2: not a zip archive, or a damaged one"):
        ModelArchive(str(path), "a.pt2")


def test_compression_and_encryption_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_LZMA) as target:
        target.writestr("model/version", b"1")
    with pytest.raises(ModelError, match="model/version is encrypted or compressed in an unknown way"):
        ModelArchive(str(tmp_path / "a.pt"), "a.pt")
    data = bytearray(write_archive("model", [("version", b"1")]))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ModelError, match="encrypted"):
        ModelArchive(bytes(data), "a.pt")


def test_documents_that_are_deep_large_or_no_json_are_refused() -> None:
    entries = [("deep", b"[" * 100_000), ("text", b"{'a': 1}"), ("bytes", b"\xff\xfe"), ("large", b" " * 2000)]
    with ModelArchive(write_archive("model", entries), "a.pt2", ArchiveLimits(text_bytes=100_000)) as archive:
        for name, message in (
            ("deep", "deep is nested more deeply than a model is"),
            ("text", "text is no JSON"),
            ("bytes", "bytes is damaged"),
        ):
            with pytest.raises(ModelError, match=message):
                archive.json(name)
    small = ModelArchive(write_archive("model", entries), "a.pt2", ArchiveLimits(text_bytes=1000))
    with small, pytest.raises(ModelError, match="large has 2000 bytes of text, more than swath reads"):
        small.json("large")


def test_many_entries_are_refused() -> None:
    data = write_archive("model", ((f"data/{index}", b"") for index in range(20)))
    with pytest.raises(ModelError, match="20 entries are more than swath reads"):
        ModelArchive(data, "a.pt2", ArchiveLimits(entries=19))
