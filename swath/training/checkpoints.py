"""Checkpoints of a training: a local folder and, for outputs in an object store, copies there, until the model is published."""

from __future__ import annotations

import functools
import logging
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from swath.engine.fingerprint import fingerprint
from swath.spec.locations import is_remote
from swath.storage.attempts import Attempts, UnexpectedAnswer
from swath.storage.filesystem import filesystem_and_path
from swath.storage.objects import remove_objects

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoints:
    """A folder on the machine that trains and, where the output is a URL, copies there that outlive the machine.

    The same training has the same folder, so a later process resumes it.
    """

    folder: Path
    remote_folder: str = ""
    """URL of the copies; empty where there are none."""
    _uploaded: dict[str, int] = field(default_factory=dict, repr=False)
    """Modification time of the uploaded files, by name."""

    @classmethod
    def of(cls, to: str, name: str, *depends: Any, temp: Path | None = None) -> Self:
        """Of a training into the folder `to`, by everything that it depends on: beside the output; for a URL in the folder `temp`
        (the system's when not given), with copies in the output."""
        key = fingerprint(depends)[:16]
        if is_remote(to):
            temp = temp or Path(tempfile.gettempdir())
            return cls(temp / f"swath-training-{key}", f"{to.rstrip('/')}/.{name}.training-{key}")
        return cls(Path(to).parent / f".{Path(to).name}.{name}.training-{key}")

    def download(self) -> None:
        """Get the copies of another machine, where the local folder does not exist. Raises what the store raises."""
        if not self.remote_folder or self.folder.is_dir():
            return
        files, remote = filesystem_and_path(self.remote_folder)
        if not files.exists(remote):
            return
        partial = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix="swath-"))
        try:
            for found in Attempts().answer(lambda: files.ls(remote, detail=True), self.remote_folder):
                name = Path(found["name"]).name
                if found["type"] != "file" or not name.endswith(".ckpt"):  # somebody else's
                    continue
                request = functools.partial(_get_file, files, found, partial / name)
                Attempts().answer(request, self.remote_folder)
            partial.rename(self.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        log.info("checkpoints come from %s", self.remote_folder)

    def upload(self, *names: str) -> None:
        """Copy the files that changed, in this order. A failure is a warning, so that the training goes on."""
        if not self.remote_folder:
            return
        try:
            files, remote = filesystem_and_path(self.remote_folder)
            for name in names:
                file = self.folder / name
                changed = file.stat().st_mtime_ns if file.is_file() else 0
                if changed != self._uploaded.get(name, 0):
                    files.makedirs(remote, exist_ok=True)
                    request = functools.partial(files.put_file, str(file), f"{remote}/{name}")
                    Attempts().answer(request, self.remote_folder)
                    self._uploaded[name] = changed
        except Exception as error:  # noqa: BLE001 - stores raise errors of many kinds
            log.warning(
                "the checkpoint was not copied to %s; it is on this machine only: %s", self.remote_folder, error
            )

    def remove(self) -> None:
        """Remove folder and copies, once the model is published."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.remote_folder:
            remove_objects(self.remote_folder)


def _get_file(files: Any, found: dict[str, Any], to: Path) -> None:
    files.get_file(found["name"], str(to))
    if to.stat().st_size != found["size"]:
        raise UnexpectedAnswer(f"{found['name']}: {to.stat().st_size} bytes came instead of {found['size']}")
