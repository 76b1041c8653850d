"""What the vectors of one chunk cost: bytes by the layout that a collection has, not by guess."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.domain.collections import CollectionSpec, Quantization

FLOAT: Final = 4
"""Bytes of a float32."""
WORD: Final = 8
"""Bytes of a word of a chunk in an index by words: which chunk, and what the word is worth in it."""
LINKS: Final = 16
"""Neighbours of a chunk in a layer of the graph (HNSW's m); in the lowest layer twice as many."""
BITS: Final[Mapping[Quantization, float]] = {
    Quantization.NONE: 0,
    Quantization.INT8: 8,
    Quantization.TURBO4: 4,
    Quantization.TURBO2: 2,
    Quantization.BINARY: 1,
}
"""Bits that a quantised component takes beside the original."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes per chunk: `originals` (full and short vectors), `quantized` copies, `graph` of an index.

    `searched` is what a search walks through, and so wants in memory.
    """

    originals: int
    quantized: int
    graph: int
    searched: int

    @property
    def total(self) -> int:
        return self.originals + self.quantized + self.graph


def footprint(spec: CollectionSpec, *, indexed: bool) -> Footprint:
    """Return the bytes of one chunk's vectors.

    Quantised copies and the graph exist only where the collection is `indexed`; they are those of
    the short vectors where there are any. A link takes 4 bytes.
    """
    looked_through = spec.coarse or spec.size
    originals = FLOAT * (spec.size + (spec.coarse or 0))
    bits = BITS[spec.tuning.quantization]
    quantized = round(looked_through * bits / 8) if indexed else 0
    graph = 2 * LINKS * 4 if indexed else 0
    return Footprint(originals, quantized, graph, (quantized or FLOAT * looked_through) + graph)
