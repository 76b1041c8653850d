"""Proof that a candidate makes the vectors of the reference: `gateway parity`, and for tests this.

    from gateway.parity import assert_parity

A run asks a `Candidate` for the texts of one corpus in several ways (`observing`), holds what it
answered against a `Truth` in layers (`layers`), each with bars by dtype (`bars`), and makes a `Report`.
"""

from gateway.parity.asserting import assert_parity, assert_parity_sync
from gateway.parity.opening import run_parity
from gateway.parity.report import Report

__all__ = ["Report", "assert_parity", "assert_parity_sync", "run_parity"]
