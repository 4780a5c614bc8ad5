"""Sends up the log lines of a run that the server does not have, from the journal here."""

from __future__ import annotations

from pathlib import Path

from swath.agent.attempt_folder import AttemptFolder
from swath.agent.reported_text import first_batch
from swath.agent.supervisor_limits import SupervisorLimits
from swath.engine.journal import Journal
from swath.protocol.client import Client
from swath.protocol.messages import MAX_LINES


class LineReport:
    """What the server has of an attempt's lines."""

    def __init__(self, folder: AttemptFolder, limits: SupervisorLimits) -> None:
        self._folder = folder
        self._work = folder.work
        self._limits = limits
        self.next: int | None = None
        """Id of the first line that the server does not have; None before it has said so."""
        self._last_row: int | None = None
        """Id in the journal of the line before that one; None: it has to be counted."""
        self.cancelled = ""
        """What the server said of a cancel, with the lines."""

    def send(self, client: Client, state: Path) -> bool:
        """Send lines of the journal in `state`, once it is known which the server has. Returns whether that were all."""
        numbers = self._folder.numbers()
        if numbers is None or self.next is None:
            return True
        with Journal.open(state) as journal:
            for _ in range(self._limits.batches):  # then it is time for a beat
                first = numbers.local + self.next - numbers.server
                rows = journal.logs_from(self._work.run, first, MAX_LINES, after=self._last_row)
                if not rows:
                    return True
                lines = first_batch(rows, self.next, self._limits.batch_bytes)
                answer = client.send_lines(self._work.run, self._work.number, lines)
                self.cancelled = self.cancelled or answer.cancel
                sent = answer.next_line - self.next
                self._last_row = rows[sent - 1].id if 0 < sent <= len(lines) else None
                self.next = answer.next_line
        return False
