"""Consoles of machines, written to files before the machines are terminated: what their processes said outlives them."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.machine import Machine
from swath.errors import SwathError
from swath.storage.private_folder import make_private, make_private_file

LINES = 2000
"""Of each console, its last ones; clouds keep 16 to 64 KB."""
MOST = 200
"""Machines whose consoles are read when a whole cluster ends."""
log = logging.getLogger(__name__)


class ConsoleFiles:
    """Files NAME.log in a folder that only this user can read. Without a folder nothing is kept."""

    def __init__(self, folder: Path | None, secrets: Collection[str] = ()) -> None:
        self.folder = folder
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)

    def save(self, fleet: Fleet, machine: Machine) -> None:
        """Write what the cloud has of a machine's console. No error when it has none, or does not answer."""
        if self.folder is None:
            return
        try:
            text = fleet.console(machine, LINES)
            for secret in self._secrets:
                text = text.replace(secret, "***")
            if text:
                make_private(self.folder)
                file = self.folder / f"{Path(machine.name).name}.log"
                make_private_file(file)
                file.write_text(text + "\n", encoding="utf-8")
        except (SwathError, OSError) as error:
            log.info("the console of %s is not kept: %s", machine.name, error)
