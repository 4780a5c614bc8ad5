"""Real runs notify real servers on loopback, and no file and no stream has an address in it."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from swath.errors import SpecError
from swath.reporting.notifications import NotificationLimits, RunEnding, recipients_for, send
from swath.spec.notify import MASKED_SCHEME, NotifySettings, Recipient
from swath.spec.project_file import ProjectFolder
from tests.process import Pipe
from tests.receivers import mail, web
from tests.waiting import until

PIPELINE = """
import time
from pathlib import Path
from swath import Output, Spec, pipeline, task

class Job(Spec):
    bad: tuple[int, ...] = ()
    n: int = 3
    seconds: float = 0.0

@task
def work(x, *, bad, seconds):
    (Path.cwd() / "started").touch()
    time.sleep(seconds)
    if x in bad:
        raise ValueError(f"item {x} is bad")
    return x

@task
def total(values):
    return sum(values)

@pipeline
def job(spec: Job):
    return total(work.map(range(spec.n), bad=spec.bad, seconds=spec.seconds))
"""
CANARY = "c4n4ryT0ken0fTheHook"


@pytest.fixture
def job(pipe: Pipe) -> Pipe:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "job.py").write_text(PIPELINE)
    return pipe


def spec(pipe: Pipe, **fields: Any) -> Path:
    path = pipe.folder / "job.yaml"
    path.write_text(yaml.safe_dump({"pipeline": "job", "cluster": "inline", **fields}))
    return path


def ending(**fields: Any) -> RunEnding:
    known: dict[str, Any] = {
        "run": "20260101-job-1", "pipeline": "job", "name": "nightly", "status": "failed", "exit_code": 1, "seconds": 65.0,
        "error": "ValueError: no", "outputs": (), "set_aside": 0, "report": "/r/report.html", "host": "here",
    }  # fmt: skip
    return RunEnding(**known | fields)


def addresses(*urls: str) -> tuple[Recipient, ...]:
    return NotifySettings.model_validate_json(json.dumps({"on_failure": urls})).on_failure


def found(pipe: Pipe, text: str) -> list[Path]:
    """Files below the project with the text in them, but for those that the user wrote it into."""
    return [
        file
        for file in pipe.folder.rglob("*")
        if file.is_file() and file.name not in ("job.yaml", "swath.yaml") and text.encode() in file.read_bytes()
    ]


def test_a_run_that_is_done_tells_those_of_the_spec_and_those_of_the_project_each_once(job: Pipe) -> None:
    with web() as server:
        (job.folder / "swath.yaml").write_text(
            f"notify: {{on_success: ['{server.url}/both', '{server.url}/project'], on_failure: ['{server.url}/no']}}\n"
        )
        done = job(
            "run",
            spec(job, name="nightly", notify={"on_success": [f"{server.url}/both", {"url": f"{server.url}/spec"}]}),
        )
    assert sorted(server.paths) == ["/both", "/project", "/spec"]
    message = server.messages[0]
    assert message["text"].startswith("nightly: done after ")
    assert (message["status"], message["exit_code"], message["name"], message["pipeline"]) == (
        "done",
        0,
        "nightly",
        "job",
    )
    assert message["set_aside"] == 0
    assert message["outputs"] == ["3"]
    assert message["run"] in message["report"]
    assert Path(message["report"]).is_file()
    assert "notification" not in done.err


@pytest.mark.parametrize(
    ("fields", "code", "status", "said"),
    [
        ({"bad": [1]}, 3, "partial", "1 set aside"),
        ({"bad": [0, 1, 2]}, 1, "failed", "is bad"),
        ({"bad": [1], "on_error": "stop"}, 1, "failed", "item 1 is bad"),
    ],
)
def test_a_run_that_is_not_done_whole_tells_those_who_want_to_know_of_failures(
    job: Pipe, fields: dict[str, Any], code: int, status: str, said: str
) -> None:
    with web() as server:
        notify = {"on_success": [f"{server.url}/fine"], "on_failure": [f"{server.url}/bad"]}
        job("run", spec(job, notify=notify, **fields), code=code)
    assert server.paths == ["/bad"]
    (message,) = server.messages
    assert (message["status"], message["exit_code"]) == (status, code)
    assert said in message["text"]


@pytest.mark.parametrize(("number", "code", "told"), [(signal.SIGINT, 130, []), (signal.SIGTERM, 143, ["terminated"])])
def test_nobody_is_told_of_what_somebody_interrupted_but_of_what_was_terminated(
    job: Pipe, number: int, code: int, told: list[str]
) -> None:
    with web() as server:
        process = job.start("run", spec(job, notify={"on_failure": [server.url]}, seconds=30))
        until((job.folder / "started").exists)
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert [message["status"] for message in server.messages] == told


def test_a_run_out_of_time_is_told(job: Pipe) -> None:
    with web() as server:
        job("run", spec(job, notify={"on_failure": [server.url]}, seconds=30), "--timeout", "1s", code=None)
    (message,) = server.messages
    assert "time limit" in message["error"]
    assert message["exit_code"] != 0


def test_a_server_that_is_down_is_a_warning_and_changes_nothing_else(job: Pipe) -> None:
    with web() as gone:
        url = f"{gone.url}/services/{CANARY}"
    done = job("run", spec(job, notify={"on_success": ["${env:HOOK}"]}), env={"HOOK": url})
    assert "warning: the notification to http://127.0.0.1 failed: Connection refused" in done.err
    logs = job("logs", "last")
    assert "the notification to http://127.0.0.1 failed" in logs.out
    for text in (done.out, done.err, logs.out):
        assert CANARY not in text
    assert found(job, CANARY) == []


def test_all_are_told_at_once_and_together_they_have_a_time_limit() -> None:
    with web(delay_s=8) as slow, web() as quick:
        began = time.monotonic()
        said = send(
            addresses(f"{slow.url}/a", f"{slow.url}/b", quick.url), ending(), limits=NotificationLimits(total_s=1)
        )
        assert time.monotonic() - began < 6
    assert said == ["the notification to http://127.0.0.1 was not sent within 1 s"] * 2
    assert len(quick.bodies) == 1


def test_nothing_that_a_library_logs_names_an_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with web(lambda count: [503, 200][count - 1]) as server:
        assert send(addresses(f"{server.url}/{CANARY}"), ending(), limits=NotificationLimits(pause_s=0.01)) == []
    assert len(server.bodies) == 2
    assert CANARY not in caplog.text
    # A notification of another test may still be on its way to a server that does not answer.
    until(lambda: logging.getLogger("urllib3").propagate)


def test_a_logger_that_is_not_below_the_librarys_is_muted_too(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    stray = logging.Logger("urllib3.connectionpool", logging.DEBUG)
    stray.parent = logging.getLogger()
    monkeypatch.setattr("urllib3.connectionpool.log", stray)
    with web() as server:
        assert send(addresses(f"{server.url}/{CANARY}"), ending()) == []
    assert CANARY not in caplog.text
    stray.debug("shown again")
    until(lambda: "shown again" in caplog.text or stray.debug("shown again"))


def test_mail_goes_through_apprise(job: Pipe) -> None:
    with mail("p4ssw0rdCanary") as server:
        url = f"mailto://me:p4ssw0rdCanary@127.0.0.1:{server.port}?from=swath@example.org&to=you@example.org&mode=insecure"
        done = job("run", spec(job, bad=[1], notify={"on_failure": ["${env:MAIL}"]}), code=3, env={"MAIL": url})
    assert "warning: the notification" not in done.err
    assert server.logins == [True]
    (letter,) = (email.message_from_string(each, policy=email.policy.default) for each in server.letters)
    assert letter["Subject"].startswith("job: partial, 1 set aside after ")
    assert found(job, "p4ssw0rdCanary") == []


def test_a_wrong_password_of_the_mail_server_is_a_warning_without_it(job: Pipe) -> None:
    with mail("right") as server:
        url = f"mailto://me:wr0ngCanary@127.0.0.1:{server.port}?from=swath@example.org&to=you@example.org&mode=insecure"
        done = job("run", spec(job, notify={"on_success": [url]}))
    assert False in server.logins
    assert "the notification to mailto://127.0.0.1 was not accepted" in done.err
    assert "wr0ngCanary" not in done.err
    assert "you@example.org" not in done.err
    assert found(job, "wr0ngCanary") == []


def test_an_address_written_plainly_is_kept_nowhere_and_a_resumed_run_says_so(job: Pipe) -> None:
    with web() as server:
        plain = f"{server.url}/services/{CANARY}"
        path = spec(job, bad=[1], notify={"on_failure": [plain]})
        done = job("run", path, code=3)
        assert len(server.bodies) == 1
        again = job("resume", "last", code=3)
        assert len(server.bodies) == 1
    assert "its address was written in the spec itself" in again.err
    shown = job("runs", "show", "last", "--json").out
    assert f"{MASKED_SCHEME}://127.0.0.1" in shown
    for text in (done.out, done.err, again.out, again.err, shown):
        assert CANARY not in text
    assert found(job, CANARY) == []


def test_an_address_from_the_environment_is_there_for_a_resumed_run(job: Pipe) -> None:
    with web() as server:
        env = {"HOOK": f"{server.url}/services/{CANARY}"}
        job("run", spec(job, bad=[1], notify={"on_failure": ["${env:HOOK}"]}), code=3, env=env)
        job("resume", "last", code=3, env=env)
        job("run", spec(job, bad=[1]), "--set", "notify.on_failure=['${env:HOOK}']", code=3, env=env)
    assert len(server.bodies) == 3
    assert found(job, CANARY) == []


def test_an_address_given_by_set_is_kept_nowhere(job: Pipe) -> None:
    with web() as server:
        done = job("run", spec(job), "--set", f"notify.on_success=['{server.url}/{CANARY}']")
    assert len(server.bodies) == 1
    assert CANARY not in done.out + done.err
    assert found(job, CANARY) == []


def test_an_address_that_cannot_be_found_in_the_text_is_a_mistake(job: Pipe) -> None:
    (job.folder / "job.yaml").write_text(
        f'pipeline: job\ncluster: inline\nnotify: {{on_success: ["http:\\/\\/127.0.0.1\\/{CANARY}"]}}\n'
    )
    done = job("run", job.folder / "job.yaml", code=2)
    assert "job.yaml:3:" in done.err
    assert "write the address http://127.0.0.1 as ${env:NAME}" in done.err
    assert CANARY not in done.err


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"hooks.example.org/{CANARY}", "expected an address such as https://"),
        (f"https:///{CANARY}", "no host"),
        (f"https://h:port/{CANARY}", "expected an address"),
        (f"https://h/{CANARY} x", "expected an address"),
    ],
)
def test_a_wrong_address_is_a_mistake_of_its_line_without_the_address(tmp_path: Path, address: str, said: str) -> None:
    (tmp_path / "swath.yaml").write_text(f"notify:\n  on_failure:\n    - '{address}'\n")
    with pytest.raises(SpecError, match=r"swath\.yaml:3:7: notify\.on_failure\.0.*: ") as caught:
        ProjectFolder.find(tmp_path)
    assert said in str(caught.value)
    assert CANARY not in str(caught.value)


def test_what_apprise_does_not_know_is_told_before_the_run_starts(job: Pipe) -> None:
    done = job("run", spec(job, notify={"on_success": [f"nosuch://{CANARY}/x"]}), code=2)
    assert "apprise does not know the form of the address nosuch://..." in done.err
    assert CANARY not in done.err + done.out


def test_without_apprise_an_address_that_needs_it_is_a_mistake_that_names_the_extra(job: Pipe, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'apprise' else find(name, package)\n"
    )
    env = {"PYTHONPATH": f"{hidden}{os.pathsep}{job.env['PYTHONPATH']}"}
    path = spec(job, notify={"on_success": ["mailto://me:pass@example.org"]})
    done = job("run", path, code=2, env=env, cold=True)
    assert "job.yaml" in done.err
    assert "mailto:// needs the package apprise: pip install 'swath[notify]'" in done.err
    assert "nothing was started" in done.err
    assert "me:pass" not in done.err
    job("run", spec(job, notify={"on_success": []}), env=env, cold=True)


def test_an_empty_address_tells_nobody() -> None:
    notify = NotifySettings(
        on_success=addresses(""), on_failure=addresses("", "https://example.org/a", "https://example.org/a")
    )
    assert recipients_for([notify], "done") == ()
    assert len(recipients_for([notify, notify], "failed")) == 1
    assert recipients_for([notify], "interrupted") == ()


def test_an_address_is_not_shown_by_what_prints_objects() -> None:
    (one,) = addresses(f"https://u:{CANARY}@hooks.example.org/{CANARY}")
    assert CANARY not in repr(one) + str(one) + one.model_dump_json() + one.masked
    assert one.masked == "https://hooks.example.org"
    assert addresses(f"slack://{CANARY}/b/c")[0].masked == "slack://..."


def test_the_text_has_what_a_person_wants_to_know_and_stays_short() -> None:
    text = ending(error="x" * 10_000, outputs=tuple(f"out/{i}.tif" for i in range(300))).text
    assert text.startswith("nightly: failed after 1m 05s\nxxx")
    assert "and 295 more" in text
    assert text.endswith("run 20260101-job-1 (job) on here, report /r/report.html")
    assert len(text) < 3000
    body = json.loads(ending(outputs=tuple(map(str, range(300)))).to_json())
    assert len(body["outputs"]) == 100
