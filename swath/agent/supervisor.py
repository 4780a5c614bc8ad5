"""The supervisor of one attempt: starts `pipe run`, sends up what the run's journal says, hands on a cancel, reports the end.

It is a process of its own, in a session of its own. It goes on while the server is away and while the agent is restarted; when it
ends before its time, the agent starts another one, which takes up the run where it is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from swath.agent.attempt_folder import RUN_LOCK, SUPERVISOR_LOCK, AttemptFolder, LineNumbers
from swath.agent.output_files import output_file
from swath.agent.reported_text import few, first_batch, plain
from swath.crashpoint import reached
from swath.engine.journal import Journal
from swath.engine.journal_rows import CancelRequest, RunRow
from swath.engine.process import Process
from swath.errors import CredentialsError, NoSuchRun, StateError, SwathError, UsageError
from swath.project.project import Project
from swath.protocol import logins
from swath.protocol.client import Client, ClientLimits, ServerUnavailable, Superseded
from swath.protocol.messages import MAX_LINES, MAX_TEXT, BeatAnswer, End
from swath.storage import fence

log = logging.getLogger(__name__)
AGENT_TOKEN = "SWATH_AGENT_TOKEN"
"""Environment variable with the agent's token."""
TAIL = 4000
"""Characters of the output that tell why a run could not start."""


@dataclass(frozen=True)
class SupervisorLimits:
    """Times of a supervisor."""

    poll_s: float = 0.5
    """How often it looks at the run and its journal."""
    stop_s: float = 60.0
    """After a cancel: how long the run has to end before the next, stronger signal."""
    report_s: float = 7 * 24 * 3600.0
    """How long the end is reported to a server that does not answer."""
    most_pause_s: float = 30.0
    """The longest pause between two tries to reach the server."""
    fence_share: float = 0.8
    """Of the time after which the server gives a silent run to another agent: for so long after a beat the run may publish."""
    batch_bytes: int = 1_000_000
    """Of the log lines in one request, as JSON."""
    batches: int = 10
    """Of log lines, between two beats."""
    lock_s: float = 10.0
    """How long another supervisor of the attempt is waited for, which may be about to end."""


class Supervisor:
    """Supervises the attempt of a folder."""

    def __init__(self, folder: AttemptFolder, limits: SupervisorLimits = SupervisorLimits()) -> None:
        self.folder = folder
        self._limits = limits
        self._work = folder.work
        self._client = self._client_of(folder.server.url)
        source = self._work.source.get("folder")
        if not isinstance(source, str):
            raise UsageError(
                f"project {self._work.project}: a source of this kind is not known here: {list(self._work.source)}"
            )
        self._root = Path(source)
        self._state = Project.find(self._root).state if self._root.is_dir() else self._root
        self._child: subprocess.Popen[bytes] | None = None
        self._process: Process | None = None
        self._next_beat = 0.0
        self._next_try = 0.0
        self._pause = 1.0
        self._cancelled = ""
        self._signals: list[signal.Signals] = []
        self._next_signal = 0.0
        self._next_line: int | None = None
        """Id of the first line that the server does not have; None before it has said so."""
        self._last_row: int | None = None
        """Id in the journal of the line before that one; None: it has to be counted."""
        self.superseded = False
        """Whether the server has given the run to another attempt."""

    def _client_of(self, url: str) -> Client:
        return Client(url, self._work.token, ClientLimits(read_s=20))

    def run(self) -> None:
        """Supervise the attempt to its end. An attempt has one supervisor: another one ends here."""
        with self.folder.locked(SUPERVISOR_LOCK, self._limits.lock_s) as lock:
            if lock is None:
                log.warning("the attempt has a supervisor already")
            elif not self.folder.ended:
                self._supervise()

    def _supervise(self) -> None:
        self.folder.write_process("supervisor", Process.this())
        if self.folder.process("run") is None and not self._wanted():
            self.folder.end()
            return
        self._start()
        while True:
            running = self._running()
            self._report()
            if not running:
                break
            self._stop_when_asked()
            time.sleep(self._limits.poll_s)
        if not self.superseded:
            self._report_end()
        self.folder.end()

    def _wanted(self) -> bool:
        """Whether the attempt still is this machine's: asked before the run begins, as its claim may be old. Waits for the server."""
        deadline = time.monotonic() + self._limits.report_s
        while True:
            self._next_try = 0.0
            self._report()
            if self.superseded or self.folder.numbers() is not None:
                return not self.superseded
            if time.monotonic() > deadline:
                return False
            time.sleep(self._pause)

    # --- the run

    def _start(self) -> None:
        """Start the run, or take up the one that another supervisor has started."""
        self._process = self.folder.process("run")
        while self._process is None and not self.superseded:
            with self.folder.locked(RUN_LOCK) as lock:
                if lock is not None:
                    self._launch(lock)
                    return
            # It was started by a supervisor that ended before it wrote that down.
            if (row := self._row()) is not None:
                if not row.process.gone():
                    self._process = row.process
                    self.folder.write_process("run", self._process)
                return
            self._report()
            time.sleep(self._limits.poll_s)

    def _launch(self, lock: int) -> None:
        """Start the run's process. It holds the lock for as long as it lives, so that no second one is started."""
        request = self._work.request
        timeout = [] if request.timeout_s is None else ["--timeout", f"{max(1, round(request.timeout_s))}s"]
        if self._row() is not None:
            words = ["resume", self._work.run, *timeout]
        else:
            sets = [word for value in request.set for word in ("--set", value)]
            named = ["--set", f"name={request.name}"] if request.name and not _has_name(request.spec) else []
            words = [
                "run",
                "-",
                "--id",
                self._work.run,
                *named,
                *sets,
                *timeout,
                *(["--fresh"] if request.fresh else []),
            ]
        with self.folder.log.open("ab") as output, self.folder.spec.open("rb") as spec:
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "swath.cli", *words],
                    cwd=self._root,
                    env=self._environment(),
                    stdin=spec,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
            except OSError as error:
                output.write(f"{self._root} is not there on this machine, or cannot be entered: {error}\n".encode())
                return
        self._process = Process.of(self._child.pid)
        reached("spawned")
        self.folder.write_process("run", self._process)

    def _environment(self) -> dict[str, str]:
        """Of the run: without tokens of server and agent, and with the fence: the server may have given the run up, and somebody may
        have asked for it again."""
        hidden = {logins.TOKEN, AGENT_TOKEN}
        env = {name: value for name, value in os.environ.items() if name not in hidden}
        return env | {fence.VARIABLE: str(self.folder.fence)}

    def _write_fence(self, valid_until: float) -> None:
        with contextlib.suppress(OSError):  # the run waits, then
            fence.write_fence(self.folder.fence, valid_until)

    def _running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._process is not None and not self._process.gone()

    def _row(self) -> RunRow | None:
        """The run in the journal; None before it is there. Raises StateError when the journal cannot be read now."""
        if not (self._state / "journal.sqlite").is_file():
            return None
        with contextlib.suppress(NoSuchRun), Journal.open(self._state) as journal:
            row = journal.find(self._work.run)
            return row if row.id == self._work.run else None
        return None

    def _stop_when_asked(self) -> None:
        """Hand a cancel on: to the journal at once, then signals, each stronger than the one before."""
        now = time.monotonic()
        if not (self._cancelled or self.superseded) or now < self._next_signal or self._process is None:
            return
        ladder = (signal.SIGINT, signal.SIGINT, signal.SIGKILL)
        number = ladder[min(len(self._signals), len(ladder) - 1)]
        if not self._signals:
            by, _, reason = self._cancelled.removeprefix("cancelled by ").partition(": ")
            request = CancelRequest(by or "the server", reason or "another attempt has taken its place", time.time())
            with contextlib.suppress(StateError), Journal.open(self._state) as journal:
                journal.request_cancel(self._work.run, request)
        with contextlib.suppress(ProcessLookupError):
            if not self._process.gone():
                os.kill(self._process.pid, number)
        self._signals.append(number)
        self._next_signal = now + self._limits.stop_s

    # --- reports

    def _report(self) -> None:
        """Send a beat and new log lines, as far as the server can be reached."""
        now = time.monotonic()
        if self.superseded or now < self._next_try:
            return
        try:
            if now >= self._next_beat:
                self._next_beat = now + self._beat().beat_s
            self._send_lines()
            self._pause = 1.0
        except (Superseded, CredentialsError) as error:
            self.superseded = True
            self._write_fence(0)
            log.warning("%s", error.message)
        except (ServerUnavailable, StateError) as error:
            self._failed(error)
            self._next_try = now + self._pause_s()

    def _failed(self, error: SwathError) -> None:
        """The server could not be reached: it may be at another address, which the agent has written down."""
        log.warning("%s; again in %.0f s", error.message, self._pause)
        with contextlib.suppress(StateError, UsageError):
            if (url := self.folder.server.url) != self._client.url:
                self._client = self._client_of(url)

    def _pause_s(self) -> float:
        """How long to wait before the next try; longer with each."""
        pause, self._pause = self._pause, min(2 * self._pause, self._limits.most_pause_s)
        return pause

    def _beat(self) -> BeatAnswer:
        """One beat: it keeps the fence valid, and hands on what the server wants. The first one settles the numbers of lines."""
        new = self.folder.numbers() is None
        earlier = self.folder.earlier() if new else None
        sent = fence.now()
        answer = self._client.beat(
            self._work.run, self._work.number, earlier=None if earlier is None else earlier.number
        )
        self._write_fence(sent + self._limits.fence_share * answer.lost_s)
        self._cancelled = self._cancelled or answer.cancel
        if new:
            numbers = None if earlier is None else earlier.numbers()
            sent_lines = 0  # of the journal here, by earlier attempts
            if numbers is not None and answer.earlier_next is not None:
                sent_lines = numbers.local + answer.earlier_next - numbers.server
            elif (
                self._work.number > 1 and self._row() is not None
            ):  # the folder is shared with an earlier attempt's machine
                sent_lines = answer.next_line - 1
            self.folder.write_numbers(LineNumbers(sent_lines, answer.next_line))
        return answer

    def _send_lines(self) -> None:
        """Send the lines that the server does not have."""
        numbers = self.folder.numbers()
        if numbers is None or self._row() is None:
            return
        if self._next_line is None:
            self._next_line = self._beat().next_line
        with Journal.open(self._state) as journal:
            for _ in range(self._limits.batches):  # then it is time for a beat
                rows = journal.logs_from(
                    self._work.run, numbers.local + self._next_line - numbers.server, MAX_LINES, after=self._last_row
                )
                if not rows:
                    return
                lines = first_batch(rows, self._next_line, self._limits.batch_bytes)
                answer = self._client.send_lines(self._work.run, self._work.number, lines)
                self._cancelled = self._cancelled or answer.cancel
                sent = answer.next_line - self._next_line
                self._last_row = rows[sent - 1].id if 0 < sent <= len(lines) else None
                self._next_line = answer.next_line
            self._next_try = 0.0

    def _end(self) -> End:
        """How the attempt ended: as the journal says, or the exit code and the last words where it has nothing."""
        row = self._row()
        code = self._child.returncode if self._child is not None else None
        if row is None:
            text = self.folder.log.read_text("utf-8", "replace")[-TAIL:].strip() if self.folder.log.exists() else ""
            exit_code = 1 if code is None else 128 - code if code < 0 else code or 1
            statuses = {UsageError.exit_code: "refused", 130: "interrupted", 143: "terminated"}
            return End(
                status=statuses.get(exit_code, "failed"), exit_code=exit_code, error=text or "it could not be started"
            )
        if row.status in ("running", "crashed"):
            how = f"by signal {-code}" if code is not None and code < 0 else "without a word"
            exit_code = 128 - code if code is not None and code < 0 else 1
            return End(
                status="crashed",
                exit_code=exit_code,
                error=f"its process ended {how}",
                name=row.name,
                pipeline=row.pipeline,
            )
        return End(
            status=row.status, exit_code=row.exit_code or 0, error=plain(row.error)[:MAX_TEXT],
            outputs=few(row.outputs), files=tuple(output_file(output) for output in few(row.outputs)), name=row.name,
            pipeline=row.pipeline, summary={"seconds": (row.finished or row.started) - row.started},
        )  # fmt: skip

    def _report_end(self) -> None:
        """Report the end, for as long as the server may take to come back."""
        deadline = time.monotonic() + self._limits.report_s
        while True:
            try:
                self._send_lines_of_end()
                self._client.end(self._work.run, self._work.number, self._end())
            except (Superseded, CredentialsError) as error:
                log.warning("the end is not wanted any more: %s", error.message)
            except (ServerUnavailable, StateError) as error:
                if time.monotonic() > deadline:
                    raise
                self._failed(error)
                time.sleep(self._pause_s())
                continue
            return

    def _send_lines_of_end(self) -> None:
        if self.folder.numbers() is None:
            self._beat()
        while True:
            before = self._next_line
            self._send_lines()
            if before == self._next_line:
                return


def _has_name(spec: str) -> bool:
    return any(line.startswith("name:") for line in spec.splitlines())


def main() -> int:
    """`python -m swath.agent.supervisor FOLDER`."""
    folder = AttemptFolder(Path(sys.argv[1]))
    logging.basicConfig(filename=folder.path / "supervisor.log", format="%(asctime)s %(levelname)s %(message)s")
    try:
        Supervisor(folder).run()
    except SwathError as error:
        log.error("%s", error)
        return error.exit_code
    except Exception:
        log.exception("the supervisor failed")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
