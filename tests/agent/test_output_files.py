from __future__ import annotations

import hashlib
from pathlib import Path

from swath.agent.output_files import output_file
from swath.protocol.messages import RunFile


def test_a_file_is_described_and_an_address_or_a_value_as_far_as_it_is_known(tmp_path: Path) -> None:
    file = tmp_path / "map.tif"
    file.write_bytes(b"pixels")
    media = "image/tiff; application=geotiff"
    assert output_file(str(file)) == RunFile(
        place=str(file), media=media, bytes=6, sha256=hashlib.sha256(b"pixels").hexdigest()
    )
    assert output_file("s3://bucket/map.tif") == RunFile(place="s3://bucket/map.tif", media=media)
    assert output_file(str(tmp_path)) == RunFile(place=str(tmp_path))
    assert output_file("6") == RunFile(place="6")
    assert output_file(str(tmp_path / "gone.json")).media == "application/json"
