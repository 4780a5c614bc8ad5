"""Sends up how a run stands, as its process writes it down."""

from __future__ import annotations

import logging

from swath.agent.attempt_folder import AttemptFolder
from swath.errors import UsageError
from swath.protocol.client import Client
from swath.protocol.live import Live
from swath.reporting import live_file

log = logging.getLogger(__name__)


class LiveReport:
    """What the server has of an attempt's live document."""

    def __init__(self, folder: AttemptFolder) -> None:
        self._folder = folder
        self._sent: Live | None = None
        self._refused = False

    @property
    def environment(self) -> dict[str, str]:
        """What the run's process has to know, so that it writes the document."""
        return {live_file.VARIABLE: str(self._folder.live)}

    def send(self, client: Client) -> None:
        """Send the document where it has changed. A server that takes none, as it is older, is asked no more.

        Raises ServerUnavailable, and Superseded for an attempt that was given up.
        """
        live = None if self._refused else self._folder.read_live()
        if live is None or live == self._sent:
            return
        work = self._folder.work
        try:
            client.send_live(work.run, work.number, live)
            self._sent = live
        except UsageError as error:
            log.warning("the server does not take live documents: %s", error.message)
            self._refused = True
