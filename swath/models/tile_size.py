"""Tile size for a network: large enough that the halo costs little, small enough for memory and CPU caches."""

from __future__ import annotations

from swath.models.contract import ModelInfo

MIN_EDGE, MAX_EDGE = 512, 1024
"""Without halo, in pixels. Below, the calls cost; above, a U-Net of a million parameters takes five gigabytes, and its
intermediate results fall out of the processor's caches, so that a pixel costs more again."""
BLENDED_EDGE = 2048
"""Edge of the window that is blended at once: tiles at its borders are computed twice, 3.6 instead of 2.6 pixels for one."""
MAX_OVERHEAD = 1.15
"""Pixels computed for a pixel of the map, above which larger tiles are worth their memory."""


def tile_edge(info: ModelInfo) -> int:
    """Edge of the tiles for this model, without halo, in pixels: a power of two, and a multiple of the model's stride where
    that is one. For a model whose tiles are blended: the edge of the window that is blended at once.

    CPU-ms per Mpx of map, from reading to encoding, halo included, on one core (torch 2.13; 512, 1024, 2048 pixels): 900
    parameters with a radius of 2: 193, 181, 173; 20,000 with 2: 634, 575, 835; a U-Net of a million with 51: 3710, 2728, 3980.
    """
    if info.lattice is not None:
        return BLENDED_EDGE
    edge = MIN_EDGE
    while edge < MAX_EDGE and ((edge + 2 * info.halo) / edge) ** 2 > MAX_OVERHEAD:
        edge *= 2
    return max(edge, 1 << (info.stride - 1).bit_length())
