"""Where the code of a project is: a folder on the agents' machines, or a path in a git repository."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from swath.protocol.messages import COMMIT, GitRef, Message

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|::1")
_PATH = re.compile(r"/[A-Za-z0-9._~/+-]+")


class FolderSource(Message):
    """A folder on the agents' machines."""

    folder: str = Field(min_length=1, max_length=4096)


class GitSource(Message):
    """A folder of a git repository, at the commit that a run names or that `ref` is when it begins."""

    git: Annotated[str, Field(max_length=1000)]
    """Address of the repository: https or ssh; http on loopback, and file, for tests and single machines."""
    ref: GitRef = "HEAD"
    """Branch, tag or whole hash of a commit, for runs that name none; HEAD is the repository's default branch."""
    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,500}$")] = "."
    """Of the project in the repository."""

    @field_validator("git")
    @classmethod
    def _address(cls, value: str) -> str:
        return repository_address(value)

    @field_validator("path")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/"):
            raise ValueError("is a path in the repository, without `..`")
        return value


Source = FolderSource | GitSource


def read_source(value: dict[str, Any]) -> Source:
    """A project's source. Raises ValueError with what is wrong."""
    model: type[FolderSource] | type[GitSource] | None = (
        GitSource if "git" in value else FolderSource if "folder" in value else None
    )
    if model is None:
        raise ValueError('a project\'s source has folder or git, such as {"folder": "/data/lakes"}')
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def repository_address(value: str) -> str:
    """An address of a repository that git may be given. Raises ValueError: for credentials in it, other protocols, odd characters."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is no address") from None
    if parts.scheme not in ("https", "ssh", "http", "file"):
        raise ValueError("is no address of a repository: https://HOST/PATH or ssh://git@HOST/PATH")
    if parts.query or parts.fragment or not _PATH.fullmatch(parts.path) or "/../" in f"{parts.path}/":
        raise ValueError("has a path that is none of a repository")
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise ValueError("has credentials in it, which git gets from the agent's environment (see docs/server.md)")
    if parts.username is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", parts.username):
        raise ValueError("has an odd user in it")
    if parts.scheme == "file":
        if parts.netloc:
            raise ValueError("names a host: file:///PATH is a path of the agent's machine")
    elif not _HOST.fullmatch(host) or (port is not None and port < 1):
        raise ValueError("has no host")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("is without encryption: use https://")
    return value


def accepts(accepted: Iterable[str], address: str) -> bool:
    """Whether a repository is among those that an agent accepts: the same address, or below one that ends with `/`."""
    return any(address == each or (each.endswith("/") and address.startswith(each)) for each in accepted)


def is_commit(ref: str) -> bool:
    """Whether a ref is the whole hash of a commit, which never moves."""
    return re.fullmatch(COMMIT, ref) is not None
