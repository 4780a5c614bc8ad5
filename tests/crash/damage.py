"""Damage to the stored results of a run, between its end and its resumption."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.process import Pipe


def damage_results(pipe: Pipe, chance: random.Random) -> set[str]:
    """Damage up to three stored results, files or rows. Returns the calls that have one of them, as the notes name them."""
    file = pipe.folder / ".swath/journal.sqlite"
    if not file.exists():
        return set()
    calls: set[str] = set()
    with closing(sqlite3.connect(file)) as connection:
        results = StoredBytes(connection, pipe.folder / ".swath/results")
        try:
            keys = results.keys()
        except sqlite3.OperationalError:  # no tables yet
            return set()
        for key in chance.sample(keys, min(len(keys), chance.randint(0, 3))):
            data, other = results.read(key), chance.choice(keys)
            changed = _damaged(data, chance)
            calls |= results.calls(key)
            if changed is None:  # the two are swapped
                calls |= results.calls(other)
                changed = results.read(other)
                results.write(other, data)
            results.write(key, changed)
        connection.commit()
    return calls


class StoredBytes:
    """The stored results of a journal as bytes, wherever they are: in a row, or in a file of the result store."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    def keys(self) -> list[str]:
        return [key for (key,) in self.connection.execute("SELECT key FROM results ORDER BY key")]

    def calls(self, key: str) -> set[str]:
        """The calls whose result is, byte for byte, that of this key, as the notes name them."""
        rows = self.connection.execute(
            "SELECT node, item FROM calls JOIN results USING (key)"
            " WHERE digest = (SELECT digest FROM results WHERE key = ?)",
            (key,),
        )
        return {node if item < 0 else f"{node} {item}" for node, item in rows}

    def read(self, key: str) -> bytes:
        """b"" when its file is gone."""
        data, path = self._find(key)
        if path is None:
            return data
        return path.read_bytes() if path.exists() else b""

    def write(self, key: str, data: bytes) -> None:
        _, path = self._find(key)
        if path is None:
            self.connection.execute("UPDATE results SET data = ? WHERE key = ?", (data, key))
        elif path.exists():
            path.write_bytes(data)

    def _find(self, key: str) -> tuple[bytes, Path | None]:
        digest, data = self.connection.execute("SELECT digest, data FROM results WHERE key = ?", (key,)).fetchone()
        return (b"", self.folder / digest[:2] / digest[2:]) if data is None else (data, None)


def _damaged(data: bytes, chance: random.Random) -> bytes | None:
    """The bytes with one bit changed, cut, as zeros or none; None when they are to be swapped with another result's."""
    place = chance.randrange(len(data)) if data else 0
    flipped = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :] if data else b""
    return chance.choice((flipped, flipped, data[:place], bytes(len(data)), b"", None, None))
