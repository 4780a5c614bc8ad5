"""Seams: a map is exact when windows that are computed again have its pixels, and every pixel that differs is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from swath.maps.cog.encoded_part import encode_part
from swath.maps.region import map_region
from swath.maps.region_result import RegionResult
from swath.maps.seams import SeamSampling, _count_differing, check_seams
from swath.models.info import inspect
from swath.spec.fields.model import ModelRef
from tests.maps.case import Case
from tests.models.tiny_models import export, tiny_contract


def results_of(case: Case) -> list[RegionResult]:
    return [map_region(region, case.scenes, case.model, None, case.layout(32)) for region in case.regions(64)]


def test_a_map_that_is_computed_again_in_other_tiles_is_exact(case: Case) -> None:
    found = check_seams(results_of(case), case.regions(64), (case.scenes,), case.model, None, case.layout(32))
    assert (found.windows, found.differing) == (4, 0)
    assert 0 < found.pixels <= 4 * 128 * 128
    certificate = found.certificate(case.model)
    assert certificate["exact"]
    assert certificate["reason"] == ""
    assert certificate["differing"] == 0


def test_pixels_that_differ_are_counted_in_the_windows_that_are_sampled(case: Case) -> None:
    results, regions = results_of(case), case.regions(64)
    part = results[0].map
    pixels = part.pixels().copy()
    pixels[0, 30:34, 30:35] = np.where(pixels[0, 30:34, 30:35] == 0, 1, 0)
    results[0] = replace(results[0], map=encode_part(0, part.window, pixels, part.encoding, len(part.sizes)))
    found = check_seams(
        results, regions, (case.scenes,), case.model, None, case.layout(32), SeamSampling(windows=1, edge=32)
    )
    assert (found.windows, found.pixels, found.differing) == (1, 32 * 32, 4 * 5)
    certificate = found.certificate(case.model)
    assert not certificate["exact"]
    assert "differ between tilings" in certificate["reason"]


def test_nan_is_equal_to_nan_and_to_no_number() -> None:
    nan = np.nan
    one = np.array([[[nan, nan, 1, 1, 2]], [[1, 1, 1, 1, 1]]], np.float32)
    other = np.array([[[nan, 1, nan, 1, 2]], [[1, 1, 1, 1, 3]]], np.float32)
    assert _count_differing(one, other) == 3
    assert _count_differing(np.array([[[1, 2]]]), np.array([[[1, 3]]])) == 1


def test_regions_without_a_result_are_not_compared(case: Case) -> None:
    results = results_of(case)[1:]
    found = check_seams(
        results, case.regions(64), (case.scenes,), case.model, None, case.layout(32), SeamSampling(windows=1, edge=32)
    )
    assert (found.pixels, found.differing) == (0, 0)


class Surroundings(nn.Module):
    """Whether the sum of the 7 x 7 pixels around a pixel is even: one pixel more or less turns half of all classes."""

    def forward(self, images: Tensor) -> Tensor:
        whole = nn.functional.conv2d(images, torch.ones(1, 3, 7, 7), padding=3)
        odd = whole % 2
        return torch.cat([1 - odd, odd], 1)


@pytest.mark.parametrize("short", [0, 1])
def test_a_halo_one_pixel_too_small_is_a_seam_that_is_found(case: Case, tmp_path: Path, short: int) -> None:
    (tmp_path / "sums.json").write_text(json.dumps(tiny_contract("sums", ("red", "green", "blue"), 2)))
    known = inspect(ModelRef(path=str(export(Surroundings(), 3, tmp_path / "sums.pt2"))))
    assert (known.exact, known.radius, known.halo) == (True, 3, 3)
    small = replace(case, model=replace(known, radius=known.radius - short))
    found = check_seams(
        results_of(small), small.regions(64), (small.scenes,), small.model, None, small.layout(32)
    )  # fmt: skip
    certificate = found.certificate(small.model)
    assert certificate["exact"] is (short == 0)
    assert certificate["differing"] == found.differing
    if short:
        assert found.differing > found.pixels / 100
        assert "pixels differ between tilings" in certificate["reason"]
