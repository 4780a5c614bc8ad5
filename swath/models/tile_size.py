"""How large the tiles are that a network gets: large enough that the halo costs little, small enough for memory and caches."""

from __future__ import annotations

from swath.models.contract import ModelInfo

SMALLEST, LARGEST = 512, 1024
"""Edges without halo, in pixels. Below, the calls cost; above, a U-Net of a million parameters takes five gigabytes, and its
intermediate results fall out of the processor's caches, so that a pixel costs more again."""
BLENDED = 2048
"""Edge of what is blended at once: tiles at its borders are computed for both neighbours, 3.6 instead of 2.6 pixels for one."""
SHARE = 1.15
"""Pixels computed for a pixel of the map, from which larger tiles are worth their memory."""


def tile_edge(info: ModelInfo) -> int:
    """Edge of the tiles for this model, without halo, in pixels: a power of two, and a multiple of the model's stride where
    that is one. Of a model whose tiles are blended: of the piece that `blended` is asked for.

    CPU-ms per Mpx of map, from reading to encoding, halo included, on one core (torch 2.13; 512, 1024, 2048 pixels): 900
    parameters with a radius of 2: 193, 181, 173; 20,000 with 2: 634, 575, 835; a U-Net of a million with 51: 3710, 2728, 3980.
    """
    if info.lattice is not None:
        return BLENDED
    edge = SMALLEST
    while edge < LARGEST and ((edge + 2 * info.halo) / edge) ** 2 > SHARE:
        edge *= 2
    return max(edge, 1 << (info.stride - 1).bit_length())
