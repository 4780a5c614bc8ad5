"""What the environment gave to a spec or to swath.yaml is in no file, stream, event, report, trace or message of a run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.process import Done, Pipe
from tests.receivers import Web, web

CANARY = "c4n4ryT0kenOfTheSpec"
ODD = "c4n4ry/w1th 'odd\" signs&more"
HOOK = "c4n4ryOfTheHook0123"
MARK = b"c4n4ry"

PIPELINE = '''
import hashlib, logging, warnings
from pathlib import Path
import swath
from swath import Output, Spec, pipeline, task

class Leaky(Spec):
    token: str
    odd: str
    url: str
    output: Output
    build: bool = False

def inner(token, odd):
    local = {"token": token, "odd": odd}
    raise KeyError(local["token"], local["odd"])

@task
def speak(x, *, token, odd, url):
    print("printed", token, repr(odd), url)
    logging.getLogger("leaky").warning("logged %s %r", token, odd)
    warnings.warn(f"warned of {token} at {url}")
    swath.progress(1, 2)
    return x

@task
def small(x, *, token, odd, url):
    return {"token": token, "nested": [odd, url, token.encode()], "x": x}

@task
def large(x, *, token, odd, url):
    return [f"{token}-{odd}-{i}" for i in range(2000)] + [url, (token * 3000).encode(), x]

@task
def see(small, large, *, seen, token, odd):
    whole = small[0]["token"] == token and small[0]["nested"][0] == odd and large[0][0] == f"{token}-{odd}-0"
    Path(seen).write_text(hashlib.sha256((token + odd).encode()).hexdigest() + str(whole))
    return None

@task(retries=1)
def fail(x, *, token, odd, url):
    try:
        inner(token, odd)
    except KeyError as error:
        raise ValueError(f"no access with {token} ({odd!r}) to {url}") from error

@task(on_client=True, cache=False)
def publish(done, *, output, token):
    Path(output.to).mkdir(parents=True, exist_ok=True)
    (Path(output.to) / "result.txt").write_text("done")
    print("published with", token)
    return f"{output.to}/result.txt?token={token}"

@pipeline
def leaky(spec: Leaky):
    """Says secrets wherever it can."""
    if spec.build:
        raise RuntimeError(f"cannot build with {spec.token} and {spec.odd}")
    same = {"token": spec.token, "odd": spec.odd, "url": spec.url}
    spoken = speak.map([1, 2], **same)
    seen = str(Path(spec.output.to).parent.parent / "seen.txt")
    looked = see(small.map(spoken, **same), large.map(spoken, **same), seen=seen, token=spec.token, odd=spec.odd)
    fail.map([1, 2], **same)
    return publish(looked, output=spec.output, token=spec.token)
'''


@pytest.fixture
def hook() -> Iterator[Web]:
    with web() as server:
        yield server


@pytest.fixture
def collector() -> Iterator[Web]:
    with web() as server:
        yield server


@pytest.fixture
def leaky(pipe: Pipe, hook: Web, collector: Web) -> Pipe:
    """A project whose pipeline says its secrets wherever it can."""
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "leaky.py").write_text(PIPELINE)
    (pipe.folder / "swath.yaml").write_text(
        "notify: {on_success: ['${env:HOOK}'], on_failure: ['${env:HOOK}']}\n"
        "clusters: {away: {kind: address, url: 'tcp://${env:CANARY}:1'}}\n"
    )
    pipe.env |= {
        "CANARY": CANARY, "ODD": ODD, "HOOK": f"{hook.url}/services/{HOOK}?sig={HOOK}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "PIPE_TEST": "1",
    }  # fmt: skip
    return pipe


def spec(pipe: Pipe, **fields: Any) -> Path:
    path = pipe.folder / "leaky.yaml"
    known = {
        "pipeline": "leaky", "token": "${env:CANARY}", "odd": "${env:ODD}", "cluster": "inline", "output": "out/map",
        "url": "https://user:${env:CANARY}@bucket.example.org/key?sig=${env:CANARY}&x=1",
    }  # fmt: skip
    path.write_text(yaml.safe_dump(known | fields))
    return path


def traces(data: bytes) -> list[str]:
    """What of the canaries is in some bytes: as they are, or in a spelling that a program may choose."""
    spellings = {CANARY, ODD, HOOK}
    spellings |= {quote(ODD, safe=""), json.dumps(ODD)[1:-1], repr(ODD)[1:-1], ODD.encode("unicode_escape").decode()}
    spellings |= {"c4n4ry"}  # a cut one
    return sorted(each for each in spellings if each.encode() in data or each.encode("utf-16-le") in data)


def nothing_left(pipe: Pipe, *dones: Done) -> None:
    """No file below the project (state, output, everything) and no stream has any of the canaries."""
    files = [file for file in pipe.folder.rglob("*") if file.is_file()]
    assert any(file.name.startswith("journal.sqlite") for file in files)
    found = {str(file.relative_to(pipe.folder)): said for file in files if (said := traces(file.read_bytes()))}
    found |= {f"name of {file}": said for file in files if (said := traces(str(file).encode()))}
    for number, done in enumerate(dones):
        found |= {f"stdout {number}": said for said in [traces(done.out.encode())] if said}
        found |= {f"stderr {number}": said for said in [traces(done.err.encode())] if said}
    assert found == {}


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    assert traces(f"x{CANARY}x".encode()) == ["c4n4ry", CANARY]
    assert quote(ODD, safe="") in traces(quote(ODD, safe="").encode())
    assert traces(b"nothing") == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cluster", ["inline", pytest.param({"kind": "local", "workers": 2}, marks=pytest.mark.slow)])
def test_no_artefact_of_a_run_has_a_secret(leaky: Pipe, hook: Web, collector: Web, cluster: Any) -> None:
    first = leaky("run", spec(leaky, cluster=cluster), "--json", code=3)
    seen = (leaky.folder / "seen.txt").read_text()
    assert seen == hashlib.sha256((CANARY + ODD).encode()).hexdigest() + "True"  # the tasks had them, whole
    assert sum("warned of" in event.get("text", "") for event in first.events) == 2
    assert sum("logged" in event.get("text", "") for event in first.events) == 2
    again = leaky("run", spec(leaky, cluster=cluster), code=3)
    resumed = leaky("resume", "last", code=3)
    reads = [] if cluster != "inline" else [
        leaky("logs", "last"), leaky("runs", "show", "last"), leaky("runs", "show", "last", "--json"),
        leaky("runs"), leaky("show", leaky.folder / "leaky.yaml", code=None), leaky("check", leaky.folder / "leaky.yaml"),
        leaky("plan", leaky.folder / "leaky.yaml", code=None), leaky("run", leaky.folder / "leaky.yaml", "--explain", code=None),
    ]  # fmt: skip
    nothing_left(leaky, first, again, resumed, *reads)
    assert len(hook.bodies) == 3
    assert hook.paths == [f"/services/{HOOK}?sig={HOOK}"] * 3
    assert collector.bodies
    assert {each for body in (*hook.bodies, *collector.bodies) for each in traces(body)} == set()


@pytest.mark.slow
def test_results_are_kept_sealed_and_open_again(leaky: Pipe) -> None:
    leaky("run", spec(leaky), code=3)
    (leaky.folder / "seen.txt").unlink()
    done = leaky("run", spec(leaky), "--json", code=3)
    assert done.count("call_done", node="small", reused=True) == 2
    assert done.count("call_done", node="large", reused=True) == 2
    state = leaky.folder / ".swath"
    with sqlite3.connect(state / "journal.sqlite") as journal:
        inline = [data for (data,) in journal.execute("SELECT data FROM results WHERE data IS NOT NULL")]
    journal.close()
    assert sum(b"${env:CANARY}" in data for data in inline) >= 2  # of `small`
    assert any(b"${env:CANARY}" in file.read_bytes() for file in (state / "results").rglob("*") if file.is_file())


@pytest.mark.slow
def test_a_pipeline_that_cannot_be_built_tells_no_secret(leaky: Pipe) -> None:
    run = leaky("run", spec(leaky, build=True), code=None)
    check = leaky("check", leaky.folder / "leaky.yaml", code=None)
    show = leaky("show", leaky.folder / "leaky.yaml", code=None)
    assert run.code != 0
    assert "cannot build with" in run.err
    leaky("run", spec(leaky), code=3)
    nothing_left(leaky, run, check, show)


def test_a_spec_with_mistakes_tells_no_secret(leaky: Pipe) -> None:
    done = leaky("run", spec(leaky, cluster="${env:CANARY}", on_error="${env:ODD}", output=5), code=2)
    assert "leaky.yaml" in done.err
    leaky("run", spec(leaky), code=3)
    nothing_left(leaky, done)


@pytest.mark.slow
def test_a_cluster_that_cannot_be_reached_tells_no_secret(leaky: Pipe) -> None:
    done = leaky("run", spec(leaky, cluster="away"), code=None)
    assert done.code in (2, 5)
    nothing_left(leaky, done)


def test_the_words_of_a_stopped_run_tell_no_secret(leaky: Pipe) -> None:
    done = leaky("run", spec(leaky, on_error="stop"), code=1)
    assert "no access with ${env:CANARY}" in done.err
    nothing_left(leaky, done)
    report = next((leaky.folder / ".swath" / "runs").glob("*/report.html")).read_text()
    assert "Failures and retries" in report
    assert MARK.decode() not in report
