"""Error classes of swath with their exit codes. Each message says what is wrong and where, its remedy what to do.

SwathError                      1
├── UsageError                  2   the command or the spec is wrong; nothing was started
│   ├── SpecError                   all mistakes of one spec, with file, line and column
│   ├── PipelineError               a pipeline is missing, duplicate or wrong
│   ├── AreaError                   an area is empty, unreadable or outside of the imagery
│   ├── ImageryError                imagery is missing, unreadable or does not fit the model
│   ├── ModelError                  a model or its contract is missing, unreadable or wrong
│   └── MissingExtra                an optional package is not installed
├── TaskFailed                  1   a task failed after all retries
│   ├── ReadFailed                  pixels could not be read (the message names file and window)
│   └── TaskTimeout                 a call took longer than its time limit
├── SetAside                    3   the run finished, but some items were set aside
├── CredentialsError            4   not allowed
├── InfrastructureError         5   quota, boot, lost scheduler
├── StateError                  6   state is locked, full or unreadable
│   ├── NoSuchRun               2   the command names a run that is not in the journal, or several
│   └── Locked                      another run uses the output
├── TeardownError               7   machines or pods may remain; `pipe sweep` removes them
└── Stopped                         a signal, a cancel or its time limit ended the run
    ├── Interrupted           130   SIGINT or `pipe cancel`
    ├── Terminated            143   SIGTERM, SIGHUP
    ├── TimedOut                1   the run took longer than `pipe run --timeout` allows
    └── OverBudget              1   the run's machines have cost its budget
"""

from __future__ import annotations

from dataclasses import dataclass


class SwathError(Exception):
    """Base class of all errors that swath raises.

    `remedy` is one sentence that says what to do; it is printed on a line below the message.
    `retryable` says whether the same call can succeed when it is executed again.
    """

    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Workers send errors to the client, which rebuilds them without calling a subclass's __init__.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(cls: type[SwathError], args: tuple[object, ...], state: dict[str, object]) -> SwathError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(SwathError):
    """The command or the spec is wrong; nothing was started."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """One mistake in a spec, with its position."""

    file: str
    """The spec's path as the user wrote it."""
    line: int
    """1-based."""
    column: int
    """1-based."""
    field: str
    """Dotted path of the field, such as `imagery.bands.0`; empty for the document itself."""
    message: str
    """What is wrong and, when it can be guessed, what was meant."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


class SpecError(UsageError):
    """All mistakes of one spec, a line each."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(str(m) for m in mistakes))
        self.mistakes = mistakes


class PipelineError(UsageError):
    """A pipeline is missing, duplicate or wrong."""


class AreaError(UsageError):
    """An area of interest is empty, unreadable or outside of the imagery."""


class ImageryError(UsageError):
    """Imagery is missing, unreadable or does not fit the model."""


class ModelError(UsageError):
    """A model or its contract is missing, unreadable or wrong."""


class MissingExtra(UsageError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, why: str) -> None:
        super().__init__(f"{why} needs the package {package}", remedy=f"pip install 'swath[{extra}]'")


class TaskFailed(SwathError):
    """A task failed after all retries."""


@dataclass(frozen=True)
class FailedRead:
    """A window of the image that could not be read from one file."""

    href: str
    """The address, without secrets."""
    rows: tuple[int, int]
    """First row on the image grid, and the one after the last."""
    columns: tuple[int, int]

    @property
    def pixels(self) -> int:
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


class ReadFailed(TaskFailed):
    """Pixels could not be read; the message names the file and the window."""

    retryable = True
    failed: FailedRead | None = None
    """The missing pixels; None when no window was read."""


class TaskTimeout(TaskFailed):
    """A call took longer than its time limit."""

    retryable = True


class SetAside(SwathError):
    """The run finished, but some items were set aside; the message lists them."""

    exit_code = 3


class CredentialsError(SwathError):
    """Not allowed: credentials are missing, wrong or expired."""

    exit_code = 4


class InfrastructureError(SwathError):
    """The infrastructure failed: quota, boot, lost scheduler."""

    exit_code = 5


class StateError(SwathError):
    """State is locked, full or unreadable."""

    exit_code = 6


class NoSuchRun(StateError):
    """The command names a run that is not in the journal, or several."""

    exit_code = UsageError.exit_code


class Locked(StateError):
    """Another run uses the output."""


class TeardownError(SwathError):
    """Teardown was not confirmed; the message lists what may remain."""

    exit_code = 7


class Stopped(SwathError):
    """A signal, a cancel, a time limit or the budget ended the run; it can be resumed."""

    status = "stopped"
    """Status of the run."""


class Interrupted(Stopped):
    """SIGINT, or `pipe cancel`."""

    exit_code = 130
    status = "interrupted"


class Terminated(Stopped):
    """SIGTERM."""

    exit_code = 143
    status = "terminated"


class TimedOut(Stopped):
    """The run took longer than `pipe run --timeout` allows."""

    exit_code = 1
    status = "timed out"


class OverBudget(Stopped):
    """The run's machines have cost its budget."""

    exit_code = 1
    status = "over budget"
