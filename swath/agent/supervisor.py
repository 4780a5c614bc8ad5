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
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from swath.agent.agent_file import RunSecrets, run_secrets
from swath.agent.attempt_end import end_of, end_of_failure, is_made_again
from swath.agent.attempt_folder import RUN_LOCK, SUPERVISOR_LOCK, AttemptFolder, LineNumbers
from swath.agent.carrying import Carrying
from swath.agent.line_report import LineReport
from swath.agent.live_report import LiveReport
from swath.agent.run_code import RunCode, run_code
from swath.agent.run_words import run_words
from swath.agent.supervisor_limits import SupervisorLimits
from swath.crashpoint import reached
from swath.engine.journal import Journal
from swath.engine.journal_rows import CancelRequest, RunRow
from swath.engine.process import Process
from swath.errors import CredentialsError, Interrupted, NoSuchRun, StateError, SwathError, UsageError
from swath.protocol import logins
from swath.protocol.client import Client, ClientLimits, ServerUnavailable, Superseded
from swath.protocol.messages import BeatAnswer, End
from swath.storage import fence

log = logging.getLogger(__name__)
AGENT_TOKEN = "SWATH_AGENT_TOKEN"
"""Environment variable with the agent's token."""
T = TypeVar("T")


class Supervisor:
    """Supervises the attempt of a folder."""

    def __init__(
        self, folder: AttemptFolder, limits: SupervisorLimits = SupervisorLimits(), *, carries: bool = False
    ) -> None:
        """carries: this machine forgets its disk."""
        self.folder = folder
        self._limits = limits
        self._carrying = Carrying(folder) if carries else None
        self._work = folder.work
        self._client = self._client_of(folder.server.url)
        self._failure: SwathError | None = None
        """Why the run could not begin."""
        self._code: RunCode | None = None
        try:
            self._code = run_code(folder)
        except UsageError as error:
            self._failure = error
        self._child: subprocess.Popen[bytes] | None = None
        self._process: Process | None = None
        self._secrets = RunSecrets()
        self._next_beat = 0.0
        self._next_try = 0.0
        self._pause = 1.0
        self._cancelled = ""
        self._machine_ends = False
        self._signals: list[signal.Signals] = []
        self._next_signal = 0.0
        self._lines = LineReport(folder, limits)
        self._live = LiveReport(folder)
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
        if self._code is not None:
            try:
                self._prepare(self._code)
                self._start(self._code)
            except SwathError as error:
                self._failure = error
            except OSError as error:
                self._failure = StateError(f"its code could not be stored: {error}")
        while True:
            running = self._running()
            self._report()
            if not running:
                break
            self._stop_when_asked()
            time.sleep(self._limits.poll_s)
        if (carrying := self._carrying) is not None:
            self._aside(lambda stop: carrying.finish())
        if not self.superseded:
            if not (self._machine_ends and is_made_again(self._work, self._end())):
                self._report_end()
            self._release()
        self.folder.end()

    @property
    def exit_code(self) -> int:
        """Of the run."""
        return self._end().exit_code

    def end_by(self, number: signal.Signals) -> None:
        """The machine ends: hand its signal on, or begin nothing more."""
        self._machine_ends = not self._cancelled
        if self._process is None:
            self._cancelled = self._cancelled or f"cancelled by the machine: {number.name}"
        elif not self._process.gone():
            if self._carrying is not None:
                self._carrying.hurry()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

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

    # --- the code

    def _prepare(self, code: RunCode) -> None:
        """Bring the code. Raises SwathError when that is not possible, or when the run is not wanted any more."""
        if self.folder.process("run") is not None:
            return
        carrying = self._carrying
        self._secrets = self._aside(lambda stop: run_secrets(self.folder, os.environ, key=carrying is not None))
        if not code.ready:
            commit = self._fixed(self._aside(code.resolve))
            self._aside(lambda stop: code.check_out(commit, stop))
        if carrying is not None:
            env, key = self._environment(code), self._secrets.results_key
            self._aside(lambda stop: carrying.begin(code, env, key, stop))

    def _aside(self, work: Callable[[threading.Event], T]) -> T:
        """Do something that takes time while the server hears of this attempt. The work gets an event that tells it to stop."""
        stop = threading.Event()
        with ThreadPoolExecutor(1, "code") as pool:
            future = pool.submit(work, stop)
            while not future.done():
                self._report()
                if self._cancelled or self.superseded:
                    stop.set()
                wait([future], self._limits.poll_s)
            return future.result()

    def _fixed(self, commit: str) -> str:
        """Tell the server which commit it is. Returns the one that was told first."""
        deadline = time.monotonic() + self._limits.report_s
        while time.monotonic() < deadline:
            try:
                return self._client.beat(self._work.run, self._work.number, commit=commit).commit or commit
            except (Superseded, CredentialsError) as error:
                self._give_way(error)
                break
            except ServerUnavailable as error:
                self._failed(error)
                time.sleep(self._pause_s())
        raise Interrupted("the run is not wanted any more")

    def _release(self) -> None:
        """Remove what only this run needed, unless it may be resumed."""
        if self._code is not None:
            with contextlib.suppress(SwathError, OSError):
                self._code.release(finished=self._end().status in ("done", "refused"))

    # --- the run

    def _start(self, code: RunCode) -> None:
        """Start the run, or take up the one that another supervisor has started."""
        self._process = self.folder.process("run")
        while self._process is None and not self.superseded:
            with self.folder.locked(RUN_LOCK) as lock:
                if lock is not None:
                    self._launch(lock, code)
                    return
            # It was started by a supervisor that ended before it wrote that down.
            if (row := self._row()) is not None:
                if not row.process.gone():
                    self._process = row.process
                    self.folder.write_process("run", self._process)
                return
            self._report()
            time.sleep(self._limits.poll_s)

    def _launch(self, lock: int, code: RunCode) -> None:
        """Start the run's process. It holds the lock for as long as it lives, so that no second one is started."""
        words = run_words(self._work.run, self._work.request, resumed=self._row() is not None)
        with self.folder.log.open("ab") as output, self.folder.spec.open("rb") as spec:
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-m", "swath.cli", *words],
                    cwd=code.root,
                    env=self._environment(code),
                    stdin=spec,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
            except OSError as error:
                output.write(f"{code.root} is not there on this machine, or cannot be entered: {error}\n".encode())
                return
        self._process = Process.of(self._child.pid)
        reached("spawned")
        self.folder.write_process("run", self._process)

    def _environment(self, code: RunCode) -> dict[str, str]:
        """Of the run: without tokens of server and agent, and with the fence: the server may have given the run up, and somebody may
        have asked for it again."""
        hidden = {logins.TOKEN, AGENT_TOKEN}
        env = {name: value for name, value in os.environ.items() if name not in hidden}
        own = {fence.VARIABLE: str(self.folder.fence)} | self._live.environment
        return code.environment(env) | self._secrets.variables | own

    def _write_fence(self, valid_until: float) -> None:
        with contextlib.suppress(OSError):  # the run waits, then
            fence.write_fence(self.folder.fence, valid_until)

    def _running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._process is not None and not self._process.gone()

    def _row(self) -> RunRow | None:
        """The run in the journal; None before it is there. Raises StateError when the journal cannot be read now."""
        if self._code is None or not (self._code.state / "journal.sqlite").is_file():
            return None
        with contextlib.suppress(NoSuchRun), Journal.open(self._code.state) as journal:
            row = journal.find(self._work.run)
            return row if row.id == self._work.run else None
        return None

    def _stop_when_asked(self) -> None:
        """Hand a cancel on: to the journal at once, then signals, each stronger than the one before."""
        now = time.monotonic()
        if not (self._cancelled or self.superseded) or now < self._next_signal:
            return
        if self._process is None or self._code is None:
            return
        number = signal.SIGINT if len(self._signals) < 2 else signal.SIGKILL
        if not self._signals:
            by, _, reason = self._cancelled.removeprefix("cancelled by ").partition(": ")
            request = CancelRequest(by or "the server", reason or "another attempt has taken its place", time.time())
            with contextlib.suppress(StateError), Journal.open(self._code.state) as journal:
                journal.request_cancel(self._work.run, request)
        with contextlib.suppress(ProcessLookupError):
            if not self._process.gone():
                os.kill(self._process.pid, number)
        self._signals.append(number)
        self._next_signal = now + self._limits.stop_s

    # --- reports

    def _report(self) -> None:
        """Send a beat and new log lines, as far as the server can be reached."""
        if self.superseded or (now := time.monotonic()) < self._next_try:
            return
        try:
            if now >= self._next_beat:
                self._next_beat = now + self._beat().beat_s
            self._send_lines()
            self._live.send(self._client)
            self._pause = 1.0
        except (Superseded, CredentialsError) as error:
            self._give_way(error)
        except (ServerUnavailable, StateError) as error:
            self._failed(error)
            self._next_try = now + self._pause_s()

    def _give_way(self, error: SwathError) -> None:
        """The server has given the run to another attempt."""
        self.superseded = True
        self._write_fence(0)
        log.warning("%s", error.message)

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
        if self.folder.numbers() is None or self._code is None or self._row() is None:
            return
        if self._lines.next is None:
            self._lines.next = self._beat().next_line
        if not self._lines.send(self._client, self._code.state):
            self._next_try = 0.0
        self._cancelled = self._cancelled or self._lines.cancelled

    def _end(self) -> End:
        """How the attempt ended."""
        if self._failure is not None:
            return end_of_failure(self._failure)
        return end_of(self._row(), self._child.returncode if self._child is not None else None, self.folder.log)

    def _report_end(self) -> None:
        """Report the end, for as long as the server may take to come back."""
        deadline = time.monotonic() + self._limits.report_s
        while True:
            try:
                self._send_lines_of_end()
                self._live.send(self._client)
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
            before = self._lines.next
            self._send_lines()
            if before == self._lines.next:
                return


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
