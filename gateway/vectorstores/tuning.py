"""The numbers of the index policy, each with its measurement (768 values, 10 hits, one thread)."""

from typing import Final

from gateway.domain.footprint import LINKS

INDEX_FROM: Final = 50_000
"""Below, no index at all: exact search takes 5 ms and loses nothing."""

HNSW_M: Final = LINKS
HNSW_EF_CONSTRUCT: Final = 100
HNSW_EF: Final = 128

FULL_SCAN_POINTS: Final = 26_000
"""Filters that leave fewer points are searched exactly. At the engine's 10,000 KB a filter on 10
of 100 tenants had recall@10 0.31; between 60,000 and 120,000 KB (of 768 values) it is 1.0 in
0.5-2.6 ms."""

QUANTILE: Final = 0.99
OVERSAMPLING: Final = 2.0
"""int8 alone has recall 0.927; rescoring twice as many candidates 0.999. Rescoring is off in the
engine unless asked for."""

ACORN_SELECTIVITY: Final = 0.6
"""Filters that keep more than this share of the points are searched by the plain graph."""


def index_threshold_kb(size: int, points: int = INDEX_FROM) -> int:
    """Size in KB of so many float32 vectors, the unit in which the engine counts."""
    return max(1, points * size * 4 // 1024)  # 0 would switch indexing off


def full_scan_kb(size: int) -> int:
    """Size in KB below which a filtered search is exact."""
    return FULL_SCAN_POINTS * size * 4 // 1024
