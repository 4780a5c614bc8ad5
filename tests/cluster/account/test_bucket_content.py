"""A bucket with content says so; its objects are removed one by one; what a store's client raises becomes an error of swath."""

from __future__ import annotations

from typing import Any

import fsspec
import pytest

from swath.cluster.account.bucket_content import kept_content, remove_content
from swath.errors import InfrastructureError, MissingExtra


class Store:
    """Objects of one bucket."""

    def __init__(self, *names: str) -> None:
        self.names = [f"acme/{each}" for each in names]
        self.error: Exception | None = None
        self.options: dict[str, Any] = {}

    def open(self, scheme: str, **options: Any) -> Store:
        assert scheme == "s3"
        self.options = options
        return self

    def ls(self, bucket: str, detail: bool) -> list[str]:
        assert (bucket, detail) == ("acme", False)
        if self.error is not None:
            raise self.error
        return self.names

    def rm(self, name: str, recursive: bool) -> None:
        assert recursive
        if name == "acme/locked":
            raise PermissionError(name)
        self.names = [each for each in self.names if each != name]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr(fsspec, "filesystem", made.open)
    return made


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, ""), (1, "has content (acme/0): "), (3, "acme/2): "), (4, "acme/2, ...): ")],
)
def test_the_first_objects_are_named(store: Store, count: int, shown: str) -> None:
    store.names = [f"acme/{number}" for number in reversed(range(count))]
    kept = kept_content("s3", "acme")
    assert shown in kept
    assert bool(kept) is bool(shown)
    assert store.options == {"skip_instance_cache": True, "use_listings_cache": False}, "as the bucket is now"


def test_a_bucket_that_is_not_there_has_no_content(store: Store) -> None:
    store.error = FileNotFoundError()
    assert kept_content("s3", "acme") == ""
    remove_content("s3", "acme")


def test_all_objects_are_removed(store: Store) -> None:
    store.names = ["acme/a", "acme/b"]
    remove_content("s3", "acme")
    assert store.names == []


def test_errors_of_a_store_name_the_bucket(store: Store) -> None:
    store.names = ["acme/locked"]
    with pytest.raises(InfrastructureError, match="s3://acme cannot be emptied: PermissionError: acme/locked"):
        remove_content("s3", "acme")
    store.error = RuntimeError("no answer")
    with pytest.raises(InfrastructureError, match="RuntimeError: no answer"):
        kept_content("s3", "acme")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(scheme: str, **options: Any) -> None:
        raise ImportError(scheme)

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(MissingExtra, match="gcsfs"):
        kept_content("gs", "acme")
