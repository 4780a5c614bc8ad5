"""Databases of the server for tests: a file, and a PostgreSQL server of its own that listens on a socket only."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.server.database.database import Database
from swath.server.database.open import open_database

_numbers = itertools.count()


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian puts them on no PATH
    on_path = shutil.which("initdb")
    folders += [Path(on_path).parent] if on_path else []
    needed = ("initdb", "pg_ctl", "createdb")
    return next((folder for folder in folders if all((folder / name).exists() for name in needed)), None)


class Postgres:
    """A PostgreSQL server in a folder. As root it runs as the user `postgres`, which PostgreSQL insists on."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self.folder = folder
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        folder.mkdir()
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self.control("initdb", "-D", f"{folder}/data", "-U", "swath", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def control(self, program: str, *words: str) -> None:
        user = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": ()}
        subprocess.run(
            [str(self._programs / program), *words], check=True, cwd="/", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, timeout=60, **user,
        )  # fmt: skip

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self.control("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self.control("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", mode, "stop")

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"test{next(_numbers)}"
        self.control("createdb", "-h", str(self.folder), "-U", "swath", name)
        return f"postgresql://swath@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = postgres_programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: .ci/run does it")
        pytest.skip("PostgreSQL is not installed (Debian's package postgresql)")
    # Not in pytest's folder: only this user may enter that one, and a socket's path may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="swath-pg-") as folder:
        Path(folder).chmod(0o711)
        server = Postgres(programs, Path(folder) / "server")
        yield server
        server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "server" / "server.sqlite")
    found: str = request.getfixturevalue("postgres").new_database()
    return found


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    opened = open_database(address)
    yield opened
    opened.close()
