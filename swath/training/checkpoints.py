"""Where the checkpoints of a training lie until its model is published."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from swath.engine.fingerprint import fingerprint
from swath.spec.locations import is_remote
from swath.storage.filesystem import filesystem_and_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoints:
    """A folder of the machine that learns and, where the output has an address, copies there: that machine may be gone.

    The same for the same training, so whoever begins it again goes on with it.
    """

    folder: Path
    copies: str = ""
    """Address of a folder, or nothing."""
    _copied: dict[str, int] = field(default_factory=dict, repr=False)
    """Time of change of what was copied, by name."""

    @classmethod
    def of(cls, to: str, name: str, *depends: Any) -> Self:
        """Of a training into the folder `to`, by everything that it depends on: beside the output, or in the temp folder with
        copies in the output for an address."""
        key = fingerprint(depends)[:16]
        if is_remote(to):
            return cls(
                Path(tempfile.gettempdir()) / f"swath-training-{key}", f"{to.rstrip('/')}/.{name}.training-{key}"
            )
        return cls(Path(to).parent / f".{Path(to).name}.{name}.training-{key}")

    def fetch(self) -> None:
        """Get what another machine left, where there is nothing here. Raises what the store raises."""
        if not self.copies or self.folder.is_dir():
            return
        files, place = filesystem_and_path(self.copies)
        if not files.exists(place):
            return
        whole = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix="swath-"))
        try:
            for found in files.ls(place, detail=False):
                files.get_file(found, str(whole / Path(found).name))
            whole.rename(self.folder)
        finally:
            shutil.rmtree(whole, ignore_errors=True)
        log.info("checkpoints come from %s", self.copies)

    def copy(self, *names: str) -> None:
        """Copy those files that changed, in this order. That it cannot be done is a warning: the training is worth more."""
        if not self.copies:
            return
        try:
            files, place = filesystem_and_path(self.copies)
            for name in names:
                file = self.folder / name
                changed = file.stat().st_mtime_ns if file.is_file() else 0
                if changed != self._copied.get(name, 0):
                    files.makedirs(place, exist_ok=True)
                    files.put_file(str(file), f"{place}/{name}")
                    self._copied[name] = changed
        except Exception as error:  # noqa: BLE001 - stores raise what they like
            log.warning("no checkpoint was copied to %s, where it would outlive this machine: %s", self.copies, error)

    def remove(self) -> None:
        """Once the model is published."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.copies:
            files, place = filesystem_and_path(self.copies)
            if files.exists(place):
                files.rm(place, recursive=True)
