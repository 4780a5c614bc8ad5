from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from swath.engine.store import INLINE_BYTES, ResultStore
from swath.engine.store_files import READ_BYTES, StoreFiles
from swath.errors import CredentialsError, StateError, SwathError


@pytest.mark.parametrize("kind", ["folder", "address"])
def test_files_are_listed_by_digest_read_and_removed(kind: str, tmp_path: Path) -> None:
    root = str(tmp_path / "results") if kind == "folder" else f"memory://store-files/{tmp_path.name}"
    stored = [ResultStore(root).put(text * (INLINE_BYTES + 1)) for text in "ab"]
    files = StoreFiles(root)
    assert set(files.files) == {each.digest for each in stored}
    assert files.total == sum(each.size for each in stored)
    assert b"a" * 100 in (files.read(stored[0].digest) or b"")
    files.remove(files.files[stored[0].digest].path)
    files.remove(files.files[stored[0].digest].path)
    assert files.read(stored[0].digest) is None
    assert set(StoreFiles(root).files) == {stored[1].digest}


def test_unfinished_files_are_apart_and_large_ones_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "cd.1234.tmp").write_bytes(b"half")
    with (tmp_path / "ab" / "ef").open("wb") as file:
        file.truncate(READ_BYTES + 1)
    files = StoreFiles(str(tmp_path))
    assert [Path(each.path).name for each in files.temporary] == ["cd.1234.tmp"]
    assert list(files.files) == ["abef"]
    assert files.read("abef") is None


def test_a_store_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert StoreFiles(str(tmp_path / "none")).files == {}


class Refusing(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that lists nothing."""

    protocol = "refusing"
    error: ClassVar[OSError] = OSError("503 Slow Down")

    def find(self, *path: Any, **options: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError("503 Slow Down"), StateError), (PermissionError("403 Forbidden"), CredentialsError)],
    ids=["unavailable", "forbidden"],
)
def test_a_root_that_cannot_be_listed_is_an_error(
    error: OSError, raised: type[SwathError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swath.storage.attempts.time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(Refusing, "error", error)
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    with pytest.raises(raised, match=f"refusing://bucket/results.*{error}"):
        StoreFiles("refusing://bucket/results")
