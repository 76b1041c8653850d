"""What a candidate is held against: a reference asked now, or a recording of one.

Either way it is a `Recording`. A reference that can be loaded also tells what a recording cannot: its
own prompts, its own cut, and what its users get.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.domain.recording import Recorded, Recording
from gateway.domain.vectors import Matrix, shorten
from gateway.embedding.profile import ModelProfile
from gateway.errors import ConfigurationError
from gateway.observability.versions import package_versions
from gateway.parity.checkpoint import require_model, weights_of
from gateway.parity.corpus import draft_corpus
from gateway.parity.progress import Progress, silent

if TYPE_CHECKING:  # it loads nothing heavy, but neither does parity need it for a recording
    from gateway.encoders.local import LocalEncoder

CUT_TEXTS: Final = 12
"""Texts that the reference cuts itself, at every size."""
USED_TEXTS: Final = 2
"""Texts that the reference is asked for as its users ask, for every task."""
_LIBRARIES: Final = ("sentence-transformers", "transformers", "torch")


@dataclass(frozen=True, slots=True)
class Truth:
    """`cuts` are the first `CUT_TEXTS` rows by size, cut by the reference itself, or by us.

    `prompts` are the checkpoint's by name; `used` are per task our rows and those that
    sentence-transformers gives its own users. Both are unknown to a recording.
    """

    source: str
    recording: Recording
    cuts: Mapping[int, Matrix]
    prompts: Mapping[str, str] | None = None
    used: Mapping[str, tuple[Matrix, Matrix]] = field(
        default_factory=dict[str, tuple[Matrix, Matrix]]
    )


def recorded_truth(recording: Recording, profile: ModelProfile, source: str) -> Truth:
    """Take a recording as the reference.

    Raises:
        ConfigurationError: it is of another space than the profile's.
    """
    space = profile.fingerprint()
    if recording.space != space:
        raise ConfigurationError(
            f"recording {source!r} is of space {recording.space!r}, but profile {profile.name!r} is "
            f"{space!r}: give the profile it was made with, or record the reference again"
        )
    rows = recording.vectors[:CUT_TEXTS]
    cuts = {size: shorten(rows, size) for size in profile.sizes}
    return Truth(source, recording, cuts)


async def ask_truth(
    reference: "LocalEncoder", profile: ModelProfile, progress: Progress = silent
) -> Truth:
    """Ask the reference for everything, each text alone.

    Raises:
        ConfigurationError, IntegrityError: it is another model's; see `require_model`.
    """
    recording = await record(reference, profile, progress)
    first = recording.items[:CUT_TEXTS]
    cuts = {size: await _used(reference, first, size) for size in profile.sizes}
    used: dict[str, tuple[Matrix, Matrix]] = {}
    for task in profile.tasks:
        if task in reference.prompts:
            at = [i for i, item in enumerate(recording.items) if _plain(item, task)][:USED_TEXTS]
            own = await _used(reference, [recording.items[i] for i in at], None)
            used[task] = (recording.vectors[at], own)
    return Truth(recording.made_by["model"], recording, cuts, reference.prompts, used)


async def record(
    reference: "LocalEncoder",
    profile: ModelProfile,
    progress: Progress = silent,
    *,
    brief: bool = False,
) -> Recording:
    """Write down the reference's answers to the corpus, each text alone; `brief`: short texts only.

    Raises:
        ConfigurationError, IntegrityError: it is another model's; see `require_model`.
    """
    await require_model(reference, profile)
    drafts = await draft_corpus(profile, reference, brief=brief)
    finals = [profile.render(draft.task, draft.text, draft.title) for draft in drafts]
    ids = await reference.token_ids(finals)
    items: list[Recorded] = []
    for draft, final, read in zip(drafts, finals, ids, strict=True):
        row = shorten((await reference.encode([final])).vectors, profile.full_size)[0]
        items.append(Recorded(draft.task, draft.text, draft.title, final, tuple(read), row))
        progress("the reference", len(items), len(drafts))
    return Recording(
        profile.fingerprint(),
        profile.model_id,
        profile.full_size,
        await asyncio.to_thread(_made_by, reference),
        tuple(items),
    )


def _made_by(reference: "LocalEncoder") -> dict[str, str]:
    """Model, dtype, device, modules, weights and libraries; of a folder its name alone."""
    info = reference.info
    details = dict(info.details)
    model = Path(info.model_id).name if "files" in details else info.model_id
    told = {name: details[name] for name in ("device", "modules")}
    versions = package_versions(_LIBRARIES)
    return {"model": model, "dtype": info.dtype, **told, **weights_of(reference), **versions}


async def _used(reference: "LocalEncoder", items: Sequence[Recorded], size: int | None) -> Matrix:
    """Rows as sentence-transformers gives them to its own users, by prompt name."""
    rows = [await reference.used([item.text], item.task, size=size) for item in items]
    return np.concatenate(rows)


def _plain(item: Recorded, task: str) -> bool:
    return item.task == task and item.title is None and len(item.text) > 1
