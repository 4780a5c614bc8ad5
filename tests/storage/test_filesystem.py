"""File systems of URLs."""

from __future__ import annotations

import re

import fsspec
import pytest

from swath.errors import ImageryError, SwathError
from swath.storage.filesystem import CONNECTIONS, filesystem_and_path, open_filesystem


def test_a_url_is_a_file_system_and_the_path_in_it() -> None:
    files, path = filesystem_and_path("memory://bucket/a/b.tif")
    assert files is fsspec.filesystem("memory")
    assert path == "/bucket/a/b.tif"


def test_an_unknown_scheme_is_an_error_that_names_it() -> None:
    with pytest.raises(ImageryError, match=r"nosuch://host/a: nosuch:// is not a kind of address that can be opened"):
        open_filesystem("nosuch://host/a?secret")


@pytest.mark.parametrize(
    "address", ["ftp://", "ftp://host/a", "generic://a", "zip://a", "reference://a", "simplecache://a", "github://a", "git://a",
                "jupyter://[", "libarchive://a"],
)  # fmt: skip
def test_an_address_that_tells_no_file_system_is_an_error_that_names_it(address: str) -> None:
    with pytest.raises(SwathError, match=re.escape(address.partition("://")[0] + "://")):
        filesystem_and_path(address)


def test_s3_has_many_connections_and_takes_a_users_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    assert open_filesystem("s3://bucket").config_kwargs["max_pool_connections"] == CONNECTIONS
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"max_pool_connections": 7, "read_timeout": 9}})
    assert open_filesystem("s3://bucket").config_kwargs == {"max_pool_connections": 7, "read_timeout": 9}
