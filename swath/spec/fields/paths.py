"""Types of fields that hold paths: InputPath, InputPattern, OutputPath. Loading a spec makes them absolute and checks them."""

# os.path takes any text; pathlib raises for names that are too long and for users that do not exist.
# ruff: noqa: PTH111, PTH117, PTH207
from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationInfo

from swath.file_identity import local_identity
from swath.spec.locations import absolute, bad_address, is_missing, is_remote, special_file
from swath.spec.spec_model import mistake

_WRITTEN = re.compile(r"(s3|gs|gcs|az|abfss?)://[^/?#]+(/.*)?|(file|local):///.+", re.IGNORECASE | re.DOTALL)
"""URLs of outputs: stores with the name of a bucket."""


@dataclass(frozen=True)
class ValidationContext:
    """Context of pydantic's validators while a spec is loaded. Without it (in plain Python) paths are not changed."""

    root: Path
    """Absolute folder to which relative paths are relative."""
    clusters: Mapping[str, Any] = field(default_factory=dict)
    """Clusters of swath.yaml by name."""


BAND = "{band}"
"""In a pattern: the name of a band, in the names of files that hold one band each."""


def plain_pattern(path: str) -> str:
    """A pattern that matches the files of all bands."""
    return path.replace(BAND, "*")


class InputFile(str):
    """The path of an input. A call that gets it, as an argument or in one, is made again when the file changed.

    It is a file or folder of this machine, a pattern of files, or a URL. The values of fields of the types InputPath and InputPattern
    are such paths; a task that finds files returns `swath.InputFile(path)` so that the tasks after it depend on the files' content.
    """

    __slots__ = ("remote_identity",)
    remote_identity: str
    """Content identity of a file elsewhere, which a run asks for before its first call; see swath.runner.input_identities."""

    @property
    def identity(self) -> str:
        """The content identity of the file as it is now, of one elsewhere as it was when a run asked; see swath.file_identity."""
        if is_remote(self):
            return getattr(self, "remote_identity", "")
        return _local_identity(str(self))

    def __dask_tokenize__(self) -> tuple[str, str]:
        return str(self), self.identity

    def __reduce__(self) -> tuple[Any, ...]:
        return _input_file, (str(self), getattr(self, "remote_identity", ""))


def _input_file(path: str, remote_identity: str) -> InputFile:
    found = InputFile(path)
    if remote_identity:
        found.remote_identity = remote_identity
    return found


def _local_identity(path: str) -> str:
    try:
        return local_identity(Path(path))
    except (OSError, ValueError):
        pass
    from glob import has_magic, iglob

    path = plain_pattern(path)
    matches = sorted(iglob(path, recursive=True)) if has_magic(path) else []
    return "+".join(f"{match}:{_local_identity(match)}" for match in matches) or "missing"


class OutputFile(str):
    """The path of an output, the value of a field of the type OutputPath. It enters keys as a text."""

    __slots__ = ()


def validation_context(info: Any) -> ValidationContext | None:
    """The context of a validation, if there is one."""
    context = getattr(info, "context", None)
    return context if isinstance(context, ValidationContext) else None


def _input_path(path: str, info: ValidationInfo) -> str:
    if (context := validation_context(info)) is None:
        return path if isinstance(path, InputFile) else InputFile(path)
    found = absolute(_not_empty(path), context.root)
    if is_missing(found):
        raise mistake("there is no such file: {path}", path=found)
    return _regular(found)


def _input_pattern(path: str, info: ValidationInfo) -> str:
    from glob import iglob

    if (context := validation_context(info)) is None:
        return path if isinstance(path, InputFile) else InputFile(path)
    found = absolute(_not_empty(path), context.root)
    if is_missing(found) and next(iglob(plain_pattern(found), recursive=True), None) is None:
        what = "no file matches" if any(c in plain_pattern(path) for c in "*?[") else "there is no such file:"
        raise mistake(what + " {path}", path=found)
    return _regular(found)


def _output_path(path: str, info: ValidationInfo) -> str:
    if (context := validation_context(info)) is None:
        return OutputFile(path)
    found = OutputFile(absolute(_not_empty(path), context.root))
    if is_remote(found) and not _WRITTEN.fullmatch(found):
        raise mistake(
            "{path} is no address that outputs are written to: give a folder, s3://bucket/... or gs://bucket/...",
            path=found,
        )
    if is_remote(found) or os.path.isabs(os.path.expanduser(path)):
        return found
    root, real = os.path.realpath(context.root), os.path.realpath(found)
    if found == os.path.normpath(context.root):
        raise mistake("this is the project's own folder; name a folder in it")
    if not Path(found).is_relative_to(os.path.normpath(context.root)) or not Path(real).is_relative_to(root):
        raise mistake("leaves the project's folder {root}; write an absolute path if that is meant", root=root)
    return found


def _regular(path: str) -> str:
    if what := bad_address(path):
        raise mistake(what)
    if what := special_file(path):
        raise mistake("{path} is {what}, not a file or folder; give the path of a file", path=path, what=what)
    return InputFile(path)


def _not_empty(path: str) -> str:
    if not path:
        raise mistake("expected a path, got empty text")
    return path


InputPath = Annotated[str, AfterValidator(_input_path)]
"""A file or folder that must exist, or a URL. Absolute once loaded."""
InputPattern = Annotated[str, AfterValidator(_input_pattern)]
"""A file or a glob pattern that must match something, or a URL. Absolute once loaded."""
OutputPath = Annotated[str, AfterValidator(_output_path)]
"""A file or folder that is written, or a URL. A relative path may not leave the project's folder. Absolute once loaded."""
