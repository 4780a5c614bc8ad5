from __future__ import annotations

import gzip
import hashlib
import re
from importlib.resources import files

from swath.server.pages.assets import asset_address, assets
from tests.server.pages.conftest import Pages

VENDOR = files("swath.server") / "static" / "vendor"


def test_scripts_of_others_are_those_that_were_looked_at_and_have_their_licence() -> None:
    sums = dict(line.split()[::-1] for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    served = {file.name for file in VENDOR.iterdir() if file.name.endswith((".js", ".css", ".json"))}
    assert {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in served} == sums
    names = re.findall(r"`([\w.]+LICENSE[\w.]*)`", (VENDOR / "README.md").read_text())
    assert {"ol.LICENSE.md", "geotiff.LICENSE"} == set(names)
    assert all((VENDOR / name).read_text() for name in names)


def test_a_file_is_served_under_its_digest_for_ever_and_under_no_other(pages: Pages) -> None:
    address = asset_address("swath.js")
    answer = pages.client.get(address, headers={"Accept-Encoding": "identity"})
    assert answer.content == assets()["swath.js"].content
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert gzip.decompress(assets()["swath.js"].packed) == answer.content
    for wrong in (
        "/static/000000000000/swath.js",
        address.replace("swath.js", "..%2fapp.py"),
        "/static/x/vendor/SHA256SUMS",
    ):
        assert pages.client.get(wrong).status_code == 404


def test_no_template_has_a_script_a_style_or_a_handler_of_its_own() -> None:
    templates = files("swath.server.pages") / "templates"
    for file in templates.iterdir():
        text = file.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|\|\s*safe", text), file.name
        assert all(tag.startswith("<script src=") for tag in re.findall(r"<script[^>]*", text)), file.name
