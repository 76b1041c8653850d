"""A candidate against the truth: ask everything, hold each layer against its bars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.recording import Recorded
from gateway.domain.vectors import Matrix, shorten
from gateway.embedding.catalog import card_of
from gateway.embedding.profile import FORBIDDEN_DTYPES, Golden, ModelProfile, Task
from gateway.errors import GatewayError
from gateway.parity.bars import Bars, bars_for
from gateway.parity.candidates.base import About, Candidate
from gateway.parity.corpus import SLIDING
from gateway.parity.diagnosis import diagnose
from gateway.parity.layers import (
    company,
    geometry,
    goldens,
    mrl,
    neighbours,
    norms,
    prompts,
    specials,
)
from gateway.parity.layers.answers import Answers, compare_answers
from gateway.parity.layers.judged import Judged, Layer, Status, skipped
from gateway.parity.layers.order import compare_order
from gateway.parity.layers.rows import Floats, similarities
from gateway.parity.layers.tokens import compare_tokens
from gateway.parity.layers.vectors import compare_vectors
from gateway.parity.observing import WRONG, Observed, observe
from gateway.parity.progress import Progress, silent
from gateway.parity.truth import CUT_TEXTS, Truth

SHORT: Final = 200
"""Tokens up to which texts take part in geometry and neighbours: longer ones share sentences."""

FEWEST: Final = 3
"""Fewer texts have no geometry."""


@dataclass(frozen=True, slots=True)
class Plots:
    """Numbers behind the pictures: per text tokens and cosine; similarities of the short texts."""

    tokens: Sequence[int]
    cosines: Floats
    reference: Floats
    candidate: Floats


@dataclass(frozen=True, slots=True)
class Comparison:
    """One candidate held against the truth. `cause` is what the failed layers point to together."""

    about: About
    bars: Bars
    layers: tuple[Judged, ...]
    cause: str
    plots: Plots | None = None

    @property
    def ok(self) -> bool:
        return not self.failed

    @property
    def failed(self) -> tuple[Judged, ...]:
        return tuple(layer for layer in self.layers if layer.status is Status.FAIL)


async def compare(
    candidate: Candidate,
    truth: Truth,
    profile: ModelProfile,
    *,
    dtype: str | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Compare a candidate; `dtype` chooses the bars where it does not tell what it computes in.

    Raises:
        GatewayError: it could not be asked. One that answers wrongly is a result, not an error.
    """
    about, items = candidate.about, truth.recording.items
    bars = bars_for(dtype or about.dtype)
    try:
        if about.dtype in FORBIDDEN_DTYPES:
            profile.require_dtype(about.dtype)
        observed = await observe(candidate, items, profile, progress=progress)
    except WRONG as exc:
        return refused(about, bars, exc)
    layers = _layers(observed, truth, profile, unit=about.unit)
    done = [layer.judge(bars) for layer in layers] + _skipped(
        truth, card_of(profile).goldens, about
    )
    done += _too_short(observed, truth, profile)
    plots = _plots(items, observed.alone, truth.recording.vectors)
    return Comparison(about, bars, tuple(done), diagnose(done), plots)


def refused(about: About, bars: Bars, error: GatewayError) -> Comparison:
    """The result for a candidate whose answers are none."""
    done = Answers(0, refusal=str(error)).judge(bars)
    return Comparison(about, bars, (done,), diagnose([done]))


def _layers(
    observed: Observed, truth: Truth, profile: ModelProfile, *, unit: bool
) -> Iterator[Layer]:
    """Every layer in the order in which one explains the next."""
    items, reference = truth.recording.items, truth.recording.vectors
    alone = observed.alone
    vectors = compare_vectors(alone, reference)
    yield compare_answers(alone, observed.lost)
    yield compare_tokens(items, observed.ids, observed.counts)
    yield prompts.compare_prompts(profile, items, truth.prompts, truth.used)
    if unit:
        yield norms.compare_norms(alone)
    ways = {"alone": (list(range(len(items))), alone), **observed.company}
    yield compare_order(ways, reference, [item.rendered for item in items])
    yield vectors
    if len(profile.sizes) > 1:
        yield mrl.compare_mrl(alone[:CUT_TEXTS], truth.cuts, observed.cuts)
    short = _short(items)
    if len(short) >= FEWEST:
        yield geometry.compare_geometry(alone[short], reference[short])
        yield neighbours.compare_neighbours(alone[short], reference[short])
    yield company.compare_company(alone, observed.company)
    yield specials.compare_specials(items, vectors.cosines, observed.refused, observed.told)
    if examples := card_of(profile).goldens:
        yield goldens.compare_goldens(examples, observed.goldens)


def _skipped(truth: Truth, cards: Sequence[Golden], about: About) -> list[Judged]:
    """What could not be compared, said aloud."""
    notes: list[Judged] = []
    if not cards:
        why = "the profile's model card prints no worked example"
        notes.append(skipped(goldens.NAME, goldens.PROVES, why))
    if not about.unit:
        why = "an encoder in this process need not normalise: the gateway does"
        notes.append(skipped(norms.NAME, norms.PROVES, why))
    if len(_short(truth.recording.items)) < FEWEST:
        why = f"the recording has fewer than {FEWEST} short documents and queries"
        notes.append(skipped(geometry.NAME, geometry.PROVES, why))
        notes.append(skipped(neighbours.NAME, neighbours.PROVES, why))
    if len(truth.cuts) < 2:
        notes.append(skipped(mrl.NAME, mrl.PROVES, "the model has one size only"))
    return notes


def _too_short(observed: Observed, truth: Truth, profile: ModelProfile) -> list[Judged]:
    """What a recording of short texts, a brief one, cannot show of a model that reads long ones."""
    notes: list[Judged] = []
    longest = max(len(item.token_ids) for item in truth.recording.items)
    if profile.max_tokens > SLIDING and company.LONG_EQUAL not in observed.company:
        why = f"the recording has no texts of one length above {SLIDING} tokens: is it a brief one?"
        notes.append(skipped(company.NAME, company.PROVES, why))
    if longest < profile.max_tokens:
        why = (
            f"the recording's longest text has {longest} tokens, and the model reads "
            f"{profile.max_tokens}: is it a brief one?"
        )
        notes.append(skipped(specials.NAME, specials.PROVES, why))
    return notes


def _short(items: Sequence[Recorded]) -> list[int]:
    """Indexes of the documents and queries of geometry, each final string once."""
    found: dict[str, int] = {}
    for index, item in enumerate(items):
        if item.task in (Task.DOCUMENT, Task.QUERY) and len(item.token_ids) <= SHORT:
            found.setdefault(item.rendered, index)
    return list(found.values())


def _plots(items: Sequence[Recorded], rows: Matrix, reference: Matrix) -> Plots:
    short = _short(items)
    return Plots(
        [len(item.token_ids) for item in items],
        compare_vectors(rows, reference).cosines,
        similarities(shorten(reference[short], reference.shape[1])),
        similarities(rows[short]),
    )
