"""What a candidate is asked, and what it answered: alone, in company, cut, and over its limit."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.domain.recording import Recorded
from gateway.domain.vectors import Matrix, shorten
from gateway.embedding.catalog import card_of
from gateway.embedding.profile import Golden, ModelProfile
from gateway.errors import (
    DegenerateVector,
    GatewayError,
    InputTooLong,
    UnsupportedDtype,
    UnsupportedServer,
)
from gateway.parity.candidates.base import Answered, Ask, Candidate
from gateway.parity.corpus import SLIDING, too_long
from gateway.parity.layers.company import AT_A_TIME, EQUAL, LONG_EQUAL, MIXED
from gateway.parity.layers.rows import joined
from gateway.parity.progress import Progress
from gateway.parity.truth import CUT_TEXTS
from gateway.tei.refusals import BrokenAnswer
from gateway.together import together

MIXED_BATCH: Final = 16
STRIDE: Final = 7
"""Neighbours of a mixed batch are this far apart in the corpus, which is sorted by kind."""
COMPANY_TOKENS: Final = 600
"""Longer texts are asked alone only: a batch of sixteen padded to 2,048 tokens takes minutes on a CPU."""
AT_ONCE: Final = 8
WRONG: Final = (BrokenAnswer, DegenerateVector, UnsupportedServer, UnsupportedDtype)
"""Errors that are a finding about the candidate; others mean that it could not be asked."""


@dataclass(frozen=True, slots=True)
class Observed:
    """`counts` are tokens per text as embedded; `company` maps a way of asking to indexes and rows.

    `refused` says whether an over-long text was refused, and `told` how it was not. `lost` are texts
    within the limit that were refused: their rows are NaN.
    """

    alone: Matrix
    lost: Mapping[int, str]
    ids: Sequence[Sequence[int]] | None
    counts: Sequence[int] | None
    company: Mapping[str, tuple[list[int], Matrix]]
    cuts: Mapping[int, Matrix]
    goldens: Sequence[Matrix]
    refused: bool
    told: str


async def observe(
    candidate: Candidate,
    items: Sequence[Recorded],
    profile: ModelProfile,
    *,
    progress: Progress,
) -> Observed:
    """Ask a candidate for everything; one whose vectors have another size, for nothing more.

    Raises:
        GatewayError: one of `WRONG` where the candidate answers wrongly, others where it does not.
    """
    asks = [Ask(item.task, item.text, item.title, item.rendered) for item in items]
    answers = await _alone(candidate, asks, progress)
    alone, counts, lost = _rows_of(answers)
    _require_size(alone.shape[1], items[0].vector.size)
    company = await _company(candidate, asks, items, set(lost), progress)
    first = asks[:CUT_TEXTS]
    cut = candidate.cuts and len(profile.sizes) > 1 and not lost.keys() & range(len(first))
    sizes = profile.sizes if cut else ()
    cuts = {size: (await candidate.embed(first, size=size)).rows for size in sizes}
    examples = [await _example(candidate, profile, golden) for golden in card_of(profile).goldens]
    refused, told = await _over_the_limit(candidate, items, profile)
    return Observed(
        alone=alone,
        lost=lost,
        ids=await candidate.token_ids([ask.rendered for ask in asks]),
        counts=counts,
        company=company,
        cuts=cuts,
        goldens=examples,
        refused=refused,
        told=told,
    )


def _require_size(found: int, expected: int) -> None:
    if found != expected:
        raise BrokenAnswer(
            f"vectors have {found} numbers, the reference's {expected}: another model, or Dense "
            "layers that were not loaded"
        )


async def _alone(
    candidate: Candidate, asks: Sequence[Ask], progress: Progress
) -> list[Answered | InputTooLong]:
    """Ask for one text at a time; a text that is refused as too long is a finding."""
    answers: list[Answered | InputTooLong] = []
    for ask in asks:
        try:
            answers.append(await candidate.embed([ask]))
        except InputTooLong as exc:
            answers.append(exc)
        progress("each text alone", len(answers), len(asks))
    return answers


def _rows_of(
    answers: Sequence[Answered | InputTooLong],
) -> tuple[Matrix, list[int] | None, dict[int, str]]:
    """Rows, tokens per text where all are told (0 for what was refused), and what was refused."""
    lost = {i: str(one) for i, one in enumerate(answers) if isinstance(one, InputTooLong)}
    known = [one for one in answers if isinstance(one, Answered)]
    if not known:
        raise BrokenAnswer(next(iter(lost.values())))
    rows = joined([one.rows for one in known])
    alone = np.full((len(answers), rows.shape[1]), np.nan, np.float32)
    alone[[i for i in range(len(answers)) if i not in lost]] = rows
    if any(one.tokens is None for one in known):
        return alone, None, lost
    counts = [one.tokens or 0 if isinstance(one, Answered) else 0 for one in answers]
    return alone, counts, lost


async def _company(
    candidate: Candidate,
    asks: Sequence[Ask],
    items: Sequence[Recorded],
    without: set[int],
    progress: Progress,
) -> dict[str, tuple[list[int], Matrix]]:
    fit = [i for i, item in enumerate(items) if len(item.token_ids) <= COMPANY_TOKENS]
    fit = [i for i in fit if i not in without]
    order = [i for start in range(STRIDE) for i in fit[start::STRIDE]]
    ways = {MIXED: [order[at : at + MIXED_BATCH] for at in range(0, len(order), MIXED_BATCH)]}
    equal = _of_equal_length(items, fit)
    ways[EQUAL] = [at for at in equal if len(items[at[0]].token_ids) <= SLIDING]
    ways[LONG_EQUAL] = [at for at in equal if len(items[at[0]].token_ids) > SLIDING]
    found: dict[str, tuple[list[int], Matrix]] = {}
    for way, batches in ways.items():
        if batches:
            found[way] = await _in_batches(candidate, asks, batches, way, progress)
    progress(f"{AT_ONCE} at a time", 0, len(fit))
    turns = asyncio.Semaphore(AT_ONCE)
    rows = await together([_in_turn(candidate, asks[i], turns) for i in fit])
    found[AT_A_TIME] = (fit, joined(rows))
    return found


async def _in_batches(
    candidate: Candidate,
    asks: Sequence[Ask],
    batches: Sequence[Sequence[int]],
    way: str,
    progress: Progress,
) -> tuple[list[int], Matrix]:
    rows: list[Matrix] = []
    total = sum(map(len, batches))
    for batch in batches:
        rows.append((await candidate.embed([asks[index] for index in batch])).rows)
        progress(f"batches ({way})", sum(map(len, rows)), total)
    return [index for batch in batches for index in batch], joined(rows)


async def _in_turn(candidate: Candidate, ask: Ask, turns: asyncio.Semaphore) -> Matrix:
    async with turns:
        return (await candidate.embed([ask])).rows


async def _example(candidate: Candidate, profile: ModelProfile, golden: Golden) -> Matrix:
    """Unit rows of a worked example at its size, cut here: the query, then the documents."""
    pairs = [(golden.query_task, golden.query)]
    pairs += [(golden.document_task, text) for text in golden.documents]
    asks = [Ask(task, text, None, profile.render(task, text)) for task, text in pairs]
    return shorten((await candidate.embed(asks)).rows, golden.size)


async def _over_the_limit(
    candidate: Candidate, items: Sequence[Recorded], profile: ModelProfile
) -> tuple[bool, str]:
    draft = too_long(items, profile.max_tokens)
    rendered = profile.render(draft.task, draft.text, draft.title)
    try:
        await candidate.embed([Ask(draft.task, draft.text, draft.title, rendered)])
    except InputTooLong:
        return True, ""
    except GatewayError as exc:
        return False, str(exc)
    return False, ""


def _of_equal_length(items: Sequence[Recorded], among: Sequence[int]) -> list[list[int]]:
    """Indexes of texts of equally many tokens, two or more, shortest first."""
    groups: dict[int, list[int]] = {}
    for index in among:
        groups.setdefault(len(items[index].token_ids), []).append(index)
    return [groups[tokens] for tokens in sorted(groups) if len(groups[tokens]) > 1]
