"""Parity as an assertion of a test suite."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path

from gateway.domain.recording import Recording
from gateway.embedding.catalog import find_profile
from gateway.embedding.profile import ModelProfile
from gateway.errors import ConfigurationError
from gateway.parity.candidates.base import Candidate
from gateway.parity.candidates.encoder import EncoderCandidate
from gateway.parity.candidates.kept import KeptOpen
from gateway.parity.opening import Opening, load_truth, run_parity, tei_candidate
from gateway.parity.report import Report
from gateway.parity.reports.text import plain_text
from gateway.parity.truth import Truth, recorded_truth
from gateway.ports import Encoder


async def assert_parity(
    candidate: str | Encoder | Candidate,
    reference: str | Path | Recording | Truth,
    *,
    profile: str | ModelProfile = "embeddinggemma-300m",
    dtype: str | None = None,
) -> Report:
    """Fail unless a candidate makes the vectors of a reference; return the report.

    `candidate` is the address of a TEI server, or an open encoder or candidate, which stays open.
    `reference` is a recording or its file (`.json`), else a checkpoint: a folder or a hub id. `dtype`
    chooses the bars where the candidate does not tell what it computes in.

    Raises:
        AssertionError: they are not in parity; the message is the report.
        GatewayError: they could not be compared.
    """
    known = find_profile(profile) if isinstance(profile, str) else profile
    truth = await _truth(reference, known)
    report = await run_parity([_opening(candidate)], truth, known, dtype=dtype)
    if not report.ok:
        raise AssertionError(plain_text(report))
    return report


def assert_parity_sync(
    candidate: str,
    reference: str | Path | Recording | Truth,
    *,
    profile: str | ModelProfile = "embeddinggemma-300m",
    dtype: str | None = None,
) -> Report:
    """`assert_parity` of a TEI server, for a test that is no coroutine."""
    return asyncio.run(assert_parity(candidate, reference, profile=profile, dtype=dtype))


async def _truth(reference: str | Path | Recording | Truth, profile: ModelProfile) -> Truth:
    if isinstance(reference, Truth):
        return reference
    if isinstance(reference, Recording):
        return recorded_truth(reference, profile, "a recording")
    path = Path(reference)
    if path.suffix == ".json":
        return await load_truth(profile, recording=path)
    return await load_truth(profile, reference=str(reference))


def _opening(candidate: str | Encoder | Candidate) -> Opening:
    if isinstance(candidate, str):
        return tei_candidate(candidate)
    if hasattr(candidate, "embed"):
        opened: Candidate = candidate  # pyright: ignore[reportAssignmentType]
    elif hasattr(candidate, "encode"):
        encoder: Encoder = candidate  # pyright: ignore[reportAssignmentType]
        opened = EncoderCandidate(encoder)
    else:
        raise ConfigurationError(f"{type(candidate).__name__} is nothing that makes vectors")
    return Opening(opened.about, lambda: _kept(opened))


def _kept(candidate: Candidate) -> Awaitable[Candidate]:
    async def give() -> Candidate:
        return KeptOpen(candidate)

    return give()
