"""Addresses of repositories: which ones git may be given."""

from __future__ import annotations

import pytest

from swath.protocol.sources import FolderSource, GitSource, accepts, read_source


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/ada/lakes", "https://git.example.org:8443/a/b.git", "ssh://git@github.com/ada/lakes.git",
        "http://127.0.0.1:8080/lakes.git", "file:///srv/git/lakes.git",
    ],
)  # fmt: skip
def test_addresses_of_repositories(address: str) -> None:
    assert read_source({"git": address}) == GitSource(git=address, ref="HEAD", path=".")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://ada:token@github.com/ada/lakes", "credentials"), ("https://token@github.com/ada/lakes", "credentials"),
        ("ssh://git:word@github.com/ada/lakes", "credentials"), ("http://github.com/ada/lakes", "encryption"),
        ("git@github.com:ada/lakes", "https://HOST"), ("ext::sh -c touch% x", "https://HOST"), ("git://github.com/a", "https://HOST"),
        ("https://github.com/a?token=x", "path"), ("https://github.com/a b", "path"), ("https://github.com", "path"),
        ("ssh://-oProxyCommand=touch/x", "host"), ("ssh://-o@host/x", "odd user"), ("file://host/x", "names a host"),
        ("https://github.com/a/../b", "path"), ("--upload-pack=touch", "https://HOST"), ("https://github.com:0/a", "host"),
    ],
)  # fmt: skip
def test_addresses_that_git_is_not_given(address: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_source({"git": address})


@pytest.mark.parametrize(
    "source",
    [
        {"git": "https://example.org/a", "ref": "--upload-pack=x"}, {"git": "https://example.org/a", "ref": "-x"},
        {"git": "https://example.org/a", "path": "../x"}, {"git": "https://example.org/a", "path": "/x"},
        {"git": "https://example.org/a", "folder": "/x"}, {"folder": "/x", "ref": "main"}, {}, {"image": "x"},
    ],
)  # fmt: skip
def test_sources_that_are_none(source: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_source(source)


def test_a_folder_is_a_source() -> None:
    assert read_source({"folder": "/data/lakes"}) == FolderSource(folder="/data/lakes")


def test_an_agent_accepts_what_is_named_or_below_what_ends_with_a_slash() -> None:
    accepted = ("https://example.org/ada/", "https://example.org/lakes.git")
    yes = ("https://example.org/ada/x", "https://example.org/lakes.git")
    no = (
        "https://example.org/adam/x",
        "https://example.org/lakes.git/x",
        "https://example.org/lakes.gitx",
        "http://example.org/ada/x",
    )
    assert all(accepts(accepted, each) for each in yes)
    assert not any(accepts(accepted, each) for each in no)
