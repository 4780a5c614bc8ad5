"""Trust in project folders: only the code of folders that the user has trusted is imported.

A folder is trusted with `pipe trust`, or by the environment variable SWATH_TRUST. The folder is trusted, not its content: code that
comes later, as with `git pull`, is trusted too. See docs/security.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from swath.errors import UsageError
from swath.owned_file import owned_text, replace_text
from swath.storage.birth_time import birth_time
from swath.storage.state_owner import config_folder

VARIABLE = "SWATH_TRUST"
"""Environment variable: `1` trusts every folder; else folders, absolute, separated by colons."""
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class TrustedFolder:
    """A trusted folder as it was when the user trusted it. Another folder at the same path is not trusted."""

    folder: str
    """Absolute, without symbolic links."""
    uid: int
    """Its owner."""
    device: int
    """Number of its file system."""
    inode: int
    born: int = 0
    """When it was created, in nanoseconds: ext4 gives the inode of a removed folder to the next one. 0 where it is not known."""

    @classmethod
    def of(cls, folder: Path) -> TrustedFolder:
        """The folder as it is. Raises OSError when there is none."""
        real = os.path.realpath(folder)
        status = os.stat(real)  # noqa: PTH116 - of a text
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(real)
        born = 0 if os.major(status.st_dev) == 0 else birth_time(real)
        return cls(real, status.st_uid, status.st_dev, status.st_ino, born)

    def is_same(self, other: TrustedFolder) -> bool:
        """Whether both are one folder. Device numbers of file systems without a disk (NFS, btrfs, overlay) change with each mount."""
        devices = self.device == other.device or (os.major(self.device) == os.major(other.device) == 0)
        born = self.born == other.born or 0 in (self.born, other.born)
        return devices and born and (self.folder, self.uid, self.inode) == (other.folder, other.uid, other.inode)


class TrustedFolders:
    """The folders that a user has trusted: a file in the user's configuration folder, and SWATH_TRUST."""

    def __init__(self, file: Path | None, variable: str = "") -> None:
        """file: None for a user without a home folder. variable: the value of SWATH_TRUST."""
        self.file = file
        self._variable = variable

    @classmethod
    def of_user(cls, env: Mapping[str, str] | None = None) -> TrustedFolders:
        """Those of this user: $XDG_CONFIG_HOME/swath/trusted, or ~/.config/swath/trusted."""
        values = os.environ if env is None else env
        folder = config_folder(values)
        return cls(None if folder is None else folder / "trusted", values.get(VARIABLE, ""))

    def has(self, folder: Path) -> bool:
        """Whether a folder is trusted. Trust in a folder is none in the folders below it that are projects of their own."""
        try:
            found = TrustedFolder.of(folder)
        except OSError:
            return False
        if self._variable.strip().lower() in ("1", "true"):
            return True
        listed = [each for each in self._variable.split(":") if each.startswith("/")]
        if any(os.path.realpath(each) == found.folder for each in listed):
            return True
        return any(each.is_same(found) for each in self.all())

    def all(self) -> tuple[TrustedFolder, ...]:
        """The folders in the file. A file that others could have written counts as empty."""
        if self.file is None:
            return ()
        try:
            lines = owned_text(self.file, _MAX_BYTES).splitlines()
        except (OSError, ValueError):
            return ()
        found = []
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                found.append(TrustedFolder(**json.loads(line)))
        return tuple(found)

    def add(self, folder: Path) -> TrustedFolder:
        """Trust a folder. Raises UsageError when there is none, or when the file cannot be written."""
        try:
            new = TrustedFolder.of(folder)
        except OSError:
            raise UsageError(f"there is no folder {folder}", remedy="give the folder of a project") from None
        with self._locked():
            self._write([each for each in self.all() if each.folder != new.folder] + [new])
        return new

    def remove(self, folder: Path) -> bool:
        """Trust a folder no more. Returns whether it was in the file. Raises UsageError when the file cannot be written."""
        real = os.path.realpath(folder)
        with self._locked():
            before = self.all()
            after = [each for each in before if each.folder != real]
            if len(after) != len(before):
                self._write(after)
        return len(after) != len(before)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Inside, no other process changes the file. Raises UsageError when it cannot be written."""
        if self.file is None:
            raise UsageError("this user has no home folder", remedy=f"set {VARIABLE} to the folder")
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)
        except OSError as error:
            raise UsageError(
                f"{self.file} cannot be written: {error.strerror}",
                remedy=f"set XDG_CONFIG_HOME to a folder that you can write, or {VARIABLE} to the project's folder",
            ) from error

    def _write(self, folders: list[TrustedFolder]) -> None:
        if self.file is not None:
            replace_text(self.file, "".join(f"{json.dumps(asdict(each))}\n" for each in folders))


def not_loaded(folder: Path) -> str:
    """The line that says that a folder's pipelines are not loaded."""
    return f"pipelines of {folder} are not loaded: the folder is not trusted (pipe trust {folder})"
