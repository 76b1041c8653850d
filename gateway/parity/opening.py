"""Opening what is compared and what it is compared with, and running the whole."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gateway.domain.recording import Recording
from gateway.embedding.catalog import (
    CATALOG,
    EMBEDDING_GEMMA_300M,
    find_profile,
    load_profiles,
)
from gateway.embedding.profile import ModelProfile
from gateway.errors import UnsupportedServer
from gateway.events import discard
from gateway.parity.bars import bars_for
from gateway.parity.candidates.base import About, Candidate
from gateway.parity.candidates.encoder import EncoderCandidate
from gateway.parity.compare import Comparison, compare, refused
from gateway.parity.progress import Progress, silent
from gateway.parity.report import Report, make_report
from gateway.parity.truth import Truth, ask_truth, recorded_truth
from gateway.settings import Settings
from gateway.wiring.consistency import require_consistent
from gateway.wiring.encoders import ENCODERS

if TYPE_CHECKING:
    from gateway.encoders.local import LocalEncoder

Open: TypeAlias = Callable[[], Awaitable[Candidate]]


@dataclass(frozen=True, slots=True)
class Opening:
    """A candidate that is opened when its turn comes, and what is known of it before."""

    about: About
    open: Open


def tei_candidate(url: str, api_key: str | None = None) -> Opening:
    """One TEI server, nothing of it believed."""

    async def open_it() -> Candidate:
        from gateway.parity.candidates.tei import TEICandidate  # noqa: PLC0415  an HTTP client

        return await TEICandidate.connect(url, api_key=api_key)

    return Opening(About("tei", url, "unknown"), open_it)


def gateway_candidate(url: str, profile: str, api_key: str | None = None) -> Opening:
    """A whole gateway, which must serve the profile of that name."""

    async def open_it() -> Candidate:
        from gateway.parity.candidates.gateway import GatewayCandidate  # noqa: PLC0415  as above

        return await GatewayCandidate.connect(url, profile=profile, api_key=api_key)

    return Opening(About("gateway", url, "unknown"), open_it)


def configured_candidate(settings: Settings) -> Opening:
    """The encoder that the settings name, without cache: as the gateway itself would use it.

    Raises:
        ConfigurationError, InvalidRequest: the settings cannot work together.
    """
    profile = require_consistent(settings)
    kind = settings.encoder_kind

    async def open_it() -> Candidate:
        return EncoderCandidate(await ENCODERS[kind](settings, profile, discard))

    where = settings.openai.url if kind == "openai" else ", ".join(settings.tei.urls)
    return Opening(About(kind, where or "in this process", profile.model_id), open_it)


def compared_profile(settings: Settings, *, elsewhere: bool) -> ModelProfile:
    """The profile that both sides are of.

    Where none is set, it is EmbeddingGemma's for what runs `elsewhere`, else that of the configured
    encoder.

    Raises:
        ConfigurationError, UnknownModel: there is no such profile.
    """
    profiles = load_profiles(settings.profiles_file) if settings.profiles_file else CATALOG
    automatic = settings.profile == "auto" and elsewhere
    name = EMBEDDING_GEMMA_300M.name if automatic else settings.profile_name
    return find_profile(name, profiles)


@asynccontextmanager
async def open_reference(
    model: str, *, revision: str | None = None, device: str = "cpu", threads: int = 1
) -> AsyncGenerator["LocalEncoder", None]:
    """Load a checkpoint, a folder or a hub id, in float32.

    Raises:
        MissingExtra: sentence-transformers is not installed.
        ConfigurationError: the checkpoint cannot be loaded.
    """
    from gateway.encoders.local import LocalEncoder  # noqa: PLC0415

    encoder = await LocalEncoder.load(
        model, revision=revision, device=device, dtype="float32", threads=threads
    )
    try:
        yield encoder
    finally:
        await encoder.aclose()


async def load_truth(
    profile: ModelProfile,
    *,
    recording: Path | None = None,
    reference: str | None = None,
    device: str = "cpu",
    threads: int = 1,
    progress: Progress = silent,
) -> Truth:
    """Read a recording, or ask a reference: the profile's own checkpoint where neither is given.

    Raises:
        MissingExtra, ConfigurationError: neither can be loaded.
    """
    if recording is not None:
        return recorded_truth(Recording.load(recording), profile, recording.name)
    revision = profile.revision if reference is None else None
    model = reference or profile.model_id
    async with open_reference(model, revision=revision, device=device, threads=threads) as encoder:
        return await ask_truth(encoder, profile, progress)


async def run_parity(
    openings: Sequence[Opening],
    truth: Truth,
    profile: ModelProfile,
    *,
    dtype: str | None = None,
    progress: Progress = silent,
) -> Report:
    """Compare candidates one after another.

    Raises:
        GatewayError: one of them could not be asked.
    """
    done = [await _compare(one, truth, profile, dtype, progress) for one in openings]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return make_report(profile.name, truth, done, at=now)


async def _compare(
    opening: Opening, truth: Truth, profile: ModelProfile, dtype: str | None, progress: Progress
) -> Comparison:
    try:
        candidate = await opening.open()
    except UnsupportedServer as exc:  # our own client would not use it: a finding
        return refused(opening.about, bars_for(dtype or ""), exc)
    try:
        return await compare(candidate, truth, profile, dtype=dtype, progress=progress)
    finally:
        await candidate.aclose()
