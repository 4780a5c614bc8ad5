"""The pages in a real browser: nothing is forbidden by their own policy, they fit a phone, and they work without scripts."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from swath.protocol.inquiries import InquiryAnswer
from swath.protocol.live import Live
from swath.protocol.messages import AgentRegistration, End, Line, RunFile, RunRequest
from swath.run_id import new_run_id
from swath.server.published_files import TIFF
from swath.server.services import Services
from swath.server.serving import ListenAddress, Server
from swath.spec.yaml.document import parse
from tests.server.forms.conftest import schemas
from tests.server.pages.conftest import HOSTILE, SPEC
from tests.server.test_live import NODE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WAIT_MS = 60_000
"""A browser on a busy machine is slow."""
WATER = (43, 123, 186)


class Site:
    """A server on this machine, with a project whose run has published a map."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.url = server.url
        self.services: Services = server.services
        self.folder = folder
        self.services.projects.put("lakes", {"folder": str(folder)}, who="test")
        self.services.users.add("ada", who="test", admin=True)
        token = self.services.accounts.create("agent", "box", "runner", who="test")
        about = AgentRegistration(name="desk", session="session 1", slots=9, version="0.2.0")
        self._agent = self.services.agents.register(about, self.services.accounts.identify(token))
        self.going = self.begin("going")
        self.services.live.put(self.going, 1, Live(nodes=(NODE,), workers=2))
        self.done = self.begin("done")
        self.services.queue.end(self.done, 1, End(status="done", exit_code=0, files=self._publish()))

    def begin(self, name: str) -> str:
        """A run that goes on, with hostile text in its log."""
        run = new_run_id(name)
        self.services.queue.submit(RunRequest(project="lakes", spec=SPEC), run, name, "predict", "ada")
        work = self.services.queue.claim(self._agent, f"claim of {run}")
        assert work is not None
        self.services.queue.beat(run, 1)
        self.log(run, 1, HOSTILE)
        return run

    def log(self, run: str, number: int, text: str) -> None:
        line = Line(id=number, time=5.0, level="error", node="infer", text=text)
        self.services.queue.add_lines(run, 1, [line])

    def _publish(self) -> tuple[RunFile, ...]:
        out = self.folder / "out"
        out.mkdir(parents=True)
        write_map(out / "map.tif")
        classes = '[{"value": 0, "name": "land", "color_hint": "E6DFC8"}, {"value": 1, "name": "water", "color_hint": "2B7BBA"}]'
        (out / "item.json").write_text(
            f'{{"assets": {{"map": {{"href": "./map.tif", "classification:classes": {classes}}}}}}}'
        )
        (out / "report.html").write_text(
            "<h1>Report</h1><script>top.document.title = 'taken'; document.title = 'taken'</script>"
        )
        Image.new("RGB", (40, 30), WATER).save(out / "preview.png")
        media = {
            "map.tif": TIFF,
            "item.json": "application/json",
            "report.html": "text/html",
            "preview.png": "image/png",
        }
        return tuple(RunFile(place=str(out / name), media=kind) for name, kind in media.items())

    @property
    def pages(self) -> list[str]:
        runs = [f"/runs/{run}{end}" for run in (self.going, self.done) for end in ("", "/log", "/spec", "/files")]
        return [
            "/runs",
            "/new",
            "/agents",
            "/people",
            *runs,
            f"/runs/{self.done}/map",
            f"/runs/{self.done}/report",
            "/nothing",
        ]


def write_map(file: Path) -> None:
    """A map in UTM: land with water in the middle, and a corner without data."""
    import rasterio
    from rasterio.transform import from_origin

    values = np.zeros((512, 512), np.uint8)
    values[128:384, 128:384] = 1
    values[:64, :64] = 255
    with rasterio.open(
        file, "w", driver="COG", width=512, height=512, count=1, dtype="uint8", nodata=255, crs="EPSG:32632",
        transform=from_origin(500000, 5200000, 10, 10), blocksize=256,
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    server = Server(ListenAddress(port=0), folder / "server", files_here=True)
    found = Site(server, folder / "lakes")
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(ready.set,), daemon=True)
    thread.start()
    assert ready.wait(60)
    return found  # the thread ends with the process: uvicorn's loop of another thread is not to be stopped from here


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed: .ci/run does it")
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # WebGL without a GPU
        browser = driver.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


Open = Callable[..., Any]


def with_schemas(site: Site) -> None:
    """An agent has sent the schemas of the project's pipelines."""
    inquiries = site.services.inquiries
    inquiries.ask("schemas", RunRequest(project="lakes", spec="-"), "test")
    taken = inquiries.take(site._agent)
    if taken is not None:  # else it has answered a moment ago
        inquiries.answer(site._agent, taken.id, InquiryAnswer(document=schemas()))


def wait_for(condition: Callable[[], object]) -> None:
    """Our policy forbids what Playwright's own wait evaluates in the page."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


@pytest.fixture
def signed_in(site: Site, chromium: Any) -> Iterator[Open]:
    """Opens a page in which ada has signed in, and collects what the browser complains of."""
    contexts = []

    def opened(**options: Any) -> Any:
        context = chromium.new_context(base_url=site.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(f"/sign-in?link={site.services.sign_in.new_link('ada', who='test')}")
        page.click("button.main")
        page.wait_for_url("**/runs")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1400, "light")])
def test_every_page_fits_and_its_policy_forbids_nothing_that_it_does(
    site: Site, signed_in: Open, width: int, scheme: str
) -> None:
    page = signed_in(viewport={"width": width, "height": 844}, color_scheme=scheme)
    for path in site.pages:
        page.goto(path, wait_until="load")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("document.title") != "taken"
        assert page.locator("h1").count() == 1, path
    expected = "the server responded with a status of 404"  # of /nothing
    assert [text for text in page.complaints if expected not in text and "sandboxed" not in text] == []


def test_the_map_is_drawn_in_the_colours_of_its_classes(site: Site, signed_in: Open) -> None:
    page = signed_in(viewport={"width": 1200, "height": 900})
    page.goto(f"/runs/{site.done}/map")
    page.wait_for_selector("#map[data-shown]")
    picture = np.asarray(Image.open(io.BytesIO(page.locator("#map canvas").last.screenshot())).convert("RGB"))
    share = (np.abs(picture.astype(int) - WATER).max(axis=2) < 6).mean()
    assert 0.03 < share < 0.3  # a quarter of the map
    page.locator("[data-class='1']").uncheck()
    page.wait_for_timeout(1000)
    picture = np.asarray(Image.open(io.BytesIO(page.locator("#map canvas").last.screenshot())).convert("RGB"))
    assert (np.abs(picture.astype(int) - WATER).max(axis=2) < 6).mean() < 0.001
    assert page.complaints == []


def test_a_run_is_shown_live(site: Site, signed_in: Open) -> None:
    run = site.begin("live")
    page = signed_in()
    page.goto(f"/runs/{run}/log")
    page.wait_for_selector("#L1")
    site.log(run, 2, "a line that came later")
    page.wait_for_selector("#L2")
    assert page.evaluate("window.taken") is None
    page.goto(f"/runs/{run}")
    site.services.queue.end(run, 1, End(status="failed", exit_code=1, error="no space on the disk"))
    page.get_by_text("no space on the disk").first.wait_for()
    assert page.complaints == []


def test_runs_are_started_read_and_stopped_without_scripts(site: Site, signed_in: Open) -> None:
    page = signed_in(java_script_enabled=False)
    page.goto("/new")
    page.fill("#spec", "pipeline: [\n")
    page.click("[value=start]")
    page.get_by_text("line 2:").first.wait_for()
    page.fill("#spec", SPEC)
    page.click("[value=start]")
    page.wait_for_url("**/runs/*-lake-*")
    page.click("summary:has-text('Stop')")
    page.fill("#reason", "wrong area")
    page.click("text=Stop this run")
    page.get_by_text("cancelled by ada: wrong area").first.wait_for()
    page.goto(f"/runs/{site.done}/map")
    assert page.locator("#map img").is_visible()


def test_a_report_cannot_act_as_the_user(site: Site, signed_in: Open) -> None:
    page = signed_in()
    for path in (f"/runs/{site.done}/report", f"/runs/{site.done}/raw/2/report.html"):
        page.goto(path)
        page.wait_for_timeout(500)
        assert page.title() != "taken"
    page.goto(f"/runs/{site.done}/raw/2/report.html")
    assert page.locator("h1").inner_text() == "Report"


def test_a_field_and_the_text_follow_each_other(site: Site, signed_in: Open) -> None:
    with_schemas(site)
    page = signed_in()
    page.goto("/new")
    page.fill("[name='f/output']", "out/other")
    page.press("[name='f/output']", "Tab")
    wait_for(lambda: "output: out/other\n" in page.input_value("#spec"))
    page.fill("#spec", page.input_value("#spec").replace("name: my-map", "name: lake  # mine"))
    wait_for(lambda: page.input_value("[name='f/name']") == "lake")
    page.select_option("[name='k/output']", label="output")
    page.wait_for_selector("[name='f/output/to']")
    assert page.input_value("#spec").endswith("output:\n  to: out/other\n")
    assert "name: lake  # mine\n" in page.input_value("#spec")
    page.fill("#spec", "pipeline: [")
    page.get_by_text("line 1:").first.wait_for()
    assert page.locator("[name='f/output/to']").count() == 1  # the form stays while the text is broken
    assert page.complaints == []


def test_an_area_that_is_drawn_or_dropped_is_in_the_text(site: Site, signed_in: Open, tmp_path: Path) -> None:
    with_schemas(site)
    page = signed_in(viewport={"width": 1300, "height": 900})
    page.goto("/new")
    page.click("#spec-form > details > summary")
    page.wait_for_selector(".area-map[data-extent]")
    page.click("text=Rectangle")
    place = page.locator(".area-map")
    place.scroll_into_view_if_needed()
    box, (west, south, east, north) = place.bounding_box(), map(float, place.get_attribute("data-extent").split(","))
    corners = [(0.3, 0.4), (0.6, 0.6)]
    for x, y in corners:
        at = (box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.move(*at)
        page.mouse.click(*at)
        page.wait_for_timeout(500)  # two clicks that follow at once are a double click
    wait_for(lambda: "area: [" in page.input_value("#spec"))
    area = parse(page.input_value("#spec"), "spec").data["area"]
    xs, ys = ([part(each) for each in corners] for part in (lambda at: at[0], lambda at: at[1]))
    expected = [
        west + xs[0] * (east - west),
        north - ys[1] * (north - south),
        west + xs[1] * (east - west),
        north - ys[0] * (north - south),
    ]
    assert area == pytest.approx(expected, abs=1.5)  # a pixel is most of a degree
    ring = [[9.0, 46.0], [9.1234567, 46.0], [9.1, 46.1], [9.0, 46.0]]
    feature = {"type": "Feature", "properties": {"name": "<b>"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "lake.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    page.set_input_files(".area-tools input", str(tmp_path / "lake.geojson"))
    wait_for(lambda: "coordinates: [[[9" in page.input_value("#spec"))
    area = parse(page.input_value("#spec"), "spec").data["area"]
    assert area == {"type": "Polygon", "coordinates": [[[9, 46], [9.12346, 46], [9.1, 46.1], [9, 46]]]}
    assert page.complaints == []


def test_the_editor_is_left_with_the_keyboard_alone(signed_in: Open) -> None:
    page = signed_in()
    page.goto("/new")
    page.focus("#spec")
    page.keyboard.press("Control+End")
    page.keyboard.press("Tab")
    assert page.input_value("#spec").endswith("  ")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "project"
    assert urlsplit(page.url).path == "/new"
