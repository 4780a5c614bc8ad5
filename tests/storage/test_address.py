"""Addresses: their scheme, and no secret in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.storage.address import is_remote, local_path, redacted, scheme


@pytest.mark.parametrize(
    ("href", "expected"),
    [("/a/b.tif", "file"), ("b.tif", "file"), ("file:///a.tif", "file"), ("S3://b/a", "s3"), ("https://h/a", "https")],
)
def test_the_scheme_of_a_path_is_file(href: str, expected: str) -> None:
    assert scheme(href) == expected
    assert is_remote(href) == (expected != "file")


def test_query_and_user_are_left_out_of_messages() -> None:
    assert redacted("https://me:secret@host:8080/a/b.tif?sig=secret#x") == "https://host:8080/a/b.tif"
    assert redacted("s3://bucket/a.tif") == "s3://bucket/a.tif"
    assert redacted("s3://me:secret@[x/a?secret") == "s3://..."
    assert redacted("/a/b?c.tif") == "/a/b?c.tif"


def test_a_file_url_is_a_path_with_its_signs_decoded() -> None:
    assert local_path("file:///a%20b/c.tif") == Path("/a b/c.tif")
    assert local_path("a%20b.tif") == Path("a%20b.tif")
