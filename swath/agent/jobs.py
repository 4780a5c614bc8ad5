"""Attempts whose run has a container or a machine of its own: started once, watched while they boot, ended with proof.

Until its supervisor is heard of, the agent speaks for an attempt: it beats, hands on a cancel, tries the launcher's next place where
one has no room, and tells why it never began. Then the supervisor in the job does; the agent looks whether the job is still there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping

from swath.agent.attempt_folder import AttemptFolder, JobRecord
from swath.agent.reported_text import plain
from swath.crashpoint import reached
from swath.errors import CredentialsError, InfrastructureError, StateError, SwathError, UsageError
from swath.launchers.contract import JobLauncher, JobRequest, JobState, NoRoom
from swath.protocol.client import Client, ClientLimits, ServerUnavailable, Superseded
from swath.protocol.messages import MAX_TEXT, End

log = logging.getLogger(__name__)
COMMAND = ("python", "-P", "-m", "swath.agent.container")
"""What a job executes."""
LAUNCH, TOKEN = "SWATH_LAUNCH", "SWATH_ATTEMPT_TOKEN"
"""Environment variables of a job: what it is to supervise, and the token that is exchanged when it begins."""
BEAT_S = 10.0
_CANCELLED = "cancelled"


class Jobs:
    """Jobs of one agent."""

    def __init__(
        self,
        launchers: Mapping[str, JobLauncher],
        agent: str,
        say: Callable[[str], None],
        gone: Callable[[AttemptFolder, str], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """gone: tells the server that an attempt is gone; whether it knows."""
        self._launchers = launchers
        self._agent = _letters(agent)[:60]
        self._say = say
        self._tell_gone = gone
        self._clock = clock
        self._next: dict[str, float] = {}
        self._next_beat: dict[str, float] = {}

    def look(self, folder: AttemptFolder) -> bool:
        """Do what is to be done for an attempt now. Returns whether it goes on."""
        name = folder.path.name
        if self._clock() < self._next.get(name, 0.0):
            return True
        launcher = self._launchers.get(folder.work.request.runs_on or "")
        if launcher is None:
            error = f"the agent {self._agent} has no launcher {folder.work.request.runs_on!r}"
            return not self._end(folder, End(status="refused", exit_code=2, error=error))
        self._next[name] = self._clock() + launcher.poll_s
        try:
            return self._look(folder, launcher)
        except (InfrastructureError, StateError) as error:  # looked at again in the next round
            log.warning("%s: %s", name, error.message)
            return True
        except SwathError as error:
            log.warning("%s: %s", name, error.message)
            record = folder.job()
            if record is not None and record.job:
                return True  # there may be a job: it is not forgotten because nobody may look at it now
            return not self._end(folder, _failure(error))

    def _look(self, folder: AttemptFolder, launcher: JobLauncher) -> bool:
        record = folder.job() or self._begun(folder)
        if not record.heard:
            record = self._speak_for(folder, record)
        if not record.job:
            if not record.heard and not record.stopping:
                return self._start(folder, record, launcher)
            job = launcher.find(job_name(folder.work.run, folder.work.number))
            if job is None:
                return self._ended(folder, record, JobState("gone"), launcher)
            record = folder.write_job(record.to(job=job))  # an agent started it and ended before it wrote that down
        try:
            state = launcher.state(record.job)
        except NoRoom as error:
            return self._next_place(folder, record, str(error))
        if state.phase == "gone":
            return self._ended(folder, record, state, launcher)
        late = not record.heard and self._clock() > record.began + launcher.boot_s
        if late and not record.stopping:
            record = folder.write_job(record.to(stopping=f"it did not begin within {launcher.boot_s:.0f} s"))
        if record.stopping:
            launcher.stop(record.job)
        return True

    # --- start

    def _begun(self, folder: AttemptFolder) -> JobRecord:
        return folder.write_job(JobRecord(began=self._clock()))

    def _start(self, folder: AttemptFolder, record: JobRecord, launcher: JobLauncher) -> bool:
        work = folder.work
        launch = {
            "server": folder.server.url,
            "run": work.run,
            "number": work.number,
            "accepts": folder.settings().accepts,
            "secrets": folder.settings().secrets,
        }
        env = {LAUNCH: json.dumps(launch), TOKEN: work.token}
        if self._clock() > record.began + launcher.boot_s:
            late = f"it could not be started within {launcher.boot_s:.0f} s: {record.said}"
            return not self._end(folder, End(status="failed", exit_code=5, error=late))
        try:
            job = launcher.start(JobRequest(job_name(work.run, work.number), self._agent, COMMAND, env), record.place)
        except NoRoom as error:
            return self._next_place(folder, record, str(error))
        except InfrastructureError as error:
            folder.write_job(record.to(said=plain(str(error))[:1000]))
            raise
        if job is None:
            full = f"{work.request.runs_on} has no room: {record.said}"
            return not self._end(folder, End(status="failed", exit_code=5, error=full[:MAX_TEXT]))
        reached("sent")
        folder.write_job(record.to(job=job))
        self._say(f"{work.run}: {work.request.runs_on} has started {job}")
        return True

    def _next_place(self, folder: AttemptFolder, record: JobRecord, said: str) -> bool:
        """A place has no room: the next one is tried at once."""
        self._say(f"{folder.work.run}: {said}; the next place is tried")
        folder.write_job(record.to(job="", place=record.place + 1, said=plain(said)[:1000]))
        self._next.pop(folder.path.name, None)
        return True

    # --- until the supervisor is heard of

    def _speak_for(self, folder: AttemptFolder, record: JobRecord) -> JobRecord:
        """Say that an attempt is about to begin. The server refuses the token once the job's supervisor has taken over."""
        if self._clock() < self._next_beat.get(folder.path.name, 0.0):
            return record
        work = folder.work
        try:
            answer = _client(folder).beat(work.run, work.number, started=False)
        except CredentialsError:
            return folder.write_job(record.to(heard=True))
        except Superseded as error:
            return folder.write_job(record.to(heard=True, stopping=error.message))
        except ServerUnavailable as error:
            log.warning("%s", error.message)
            return record
        self._next_beat[folder.path.name] = self._clock() + min(BEAT_S, answer.beat_s)
        if answer.cancel and not record.stopping:
            return folder.write_job(record.to(stopping=f"{_CANCELLED}: {answer.cancel}"))
        return record

    # --- the end

    def _ended(self, folder: AttemptFolder, record: JobRecord, state: JobState, launcher: JobLauncher) -> bool:
        """A job has ended: by its supervisor's word, or without one."""
        code = "" if state.exit_code is None else f" with exit code {state.exit_code}"
        tail = ""
        with contextlib.suppress(SwathError):
            tail = plain(launcher.tail(record.job)) if record.job else ""
        text = "\n".join(filter(None, [f"its job has ended{code}", state.reason, record.said, tail]))[-MAX_TEXT:]
        if record.heard:
            if not self._tell_gone(folder, text):
                return True
            folder.end()
        elif record.stopping.startswith(_CANCELLED):
            error = record.stopping.partition(": ")[2]
            if not self._end(folder, End(status="interrupted", exit_code=130, error=error)):
                return True
        else:
            why = f"{record.stopping}\n{text}" if record.stopping else f"it ended before its run began: {text}"
            if not self._end(folder, End(status="failed", exit_code=5, error=why[:MAX_TEXT])):
                return True
        if record.job:
            with contextlib.suppress(SwathError):
                launcher.remove(record.job)
        return False

    def _end(self, folder: AttemptFolder, end: End) -> bool:
        """Tell the server how an attempt ended whose supervisor was never heard of. Returns whether it knows."""
        try:
            _client(folder).end(folder.work.run, folder.work.number, end)
        except ServerUnavailable as error:
            log.warning("%s", error.message)
            return False
        except (Superseded, CredentialsError, UsageError) as error:
            log.warning("the end is not wanted any more: %s", error.message)
        folder.end()
        return True


def job_name(run: str, number: int) -> str:
    """The name of an attempt's job: in letters that every platform takes, and of this attempt only."""
    return f"swath-{_letters(run)[:36].strip('-')}-{hashlib.sha256(run.encode()).hexdigest()[:8]}-a{number}"


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9-]", "-", text.lower()).strip("-") or "x"


def _client(folder: AttemptFolder) -> Client:
    return Client(folder.server.url, folder.work.token, ClientLimits(read_s=20))


def _failure(error: SwathError) -> End:
    status = "refused" if error.exit_code == UsageError.exit_code else "failed"
    return End(status=status, exit_code=error.exit_code, error=plain(str(error))[:MAX_TEXT])
