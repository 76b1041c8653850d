"""What the doctor looks at: the parts in force, opened one by one so that an ill one hides no other."""

import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.bootstrap import Runtime
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import ModelProfile
from gateway.errors import GatewayError
from gateway.events import discard
from gateway.ports import Reranker, VectorStore
from gateway.settings import Settings
from gateway.wiring.consistency import require_consistent
from gateway.wiring.encoders import expectation, open_encoder
from gateway.wiring.models import open_reranker
from gateway.wiring.stores import open_store

if TYPE_CHECKING:
    from gateway.tei.direct import DirectServer
    from gateway.tei.identity import Expectation


class NotApplicable(Exception):
    """A check that has nothing to look at here; its text is the reason."""


@dataclass(slots=True)
class Patient:
    """Parts, or the errors with which they could not be opened.

    `now` and `free_bytes` are the clock and the room below a folder. Servers are asked past the
    encoder, which would hide an ill one.
    """

    settings: Settings
    profile: ModelProfile
    embedder: Embedder | None = None
    store: VectorStore | None = None
    reranker: Reranker | None = None
    errors: dict[str, GatewayError] = field(default_factory=dict[str, GatewayError])
    down: dict[str, str] = field(default_factory=dict[str, str])
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    _servers: "list[DirectServer] | None" = None

    @classmethod
    def of(cls, runtime: Runtime) -> "Patient":
        """Look at a running gateway; close it with `aclose`, the runtime stays open."""
        embedder, reranker = runtime.embedder, runtime.reranker
        return cls(runtime.settings, embedder.profile, embedder, runtime.store, reranker)

    @property
    def well_embedder(self) -> Embedder:
        """The embedder, where its encoder answers.

        Raises:
            NotApplicable: there is none.
        """
        if self.embedder is None or "encoder" in self.down:
            raise NotApplicable("there is no encoder to ask: see encoder-reachable")
        return self.embedder

    @property
    def well_store(self) -> VectorStore:
        """The store, where it answers.

        Raises:
            NotApplicable: there is none.
        """
        if self.store is None or "store" in self.down:
            raise NotApplicable("there is no store to ask: see store-reachable")
        return self.store

    @property
    def space(self) -> str:
        return self.profile.fingerprint() if self.embedder is None else self.embedder.space

    @property
    def over_tei(self) -> bool:
        """Whether the encoder is TEI; a part that was handed over counts, not the settings."""
        kind = self.settings.encoder_kind
        return (kind if self.embedder is None else self.embedder.encoder.info.kind) == "tei"

    @property
    def expectation(self) -> "Expectation":
        """What a server must serve and reproduce."""
        return expectation(self.settings, self.profile)

    async def servers(self) -> "list[DirectServer]":
        """One for each address that the URLs stand for.

        Raises:
            NotApplicable: the encoder is not TEI.
        """
        if not self.over_tei:
            raise NotApplicable("the encoder asks no TEI server")
        if self._servers is None:
            self._servers = await _open_servers(self.settings)
        return self._servers

    async def aclose(self) -> None:
        """Close the lines to servers; the parts belong to who opened them."""
        for server in self._servers or []:
            await server.aclose()


@asynccontextmanager
async def open_patient(settings: Settings) -> AsyncGenerator[Patient, None]:
    """Open what the settings name, without cache and canary: a part that cannot be is an error kept.

    Raises:
        ConfigurationError, InvalidRequest: the settings cannot work together; nothing is opened.
    """
    settings = settings.model_copy(
        update={
            "cache": settings.cache.model_copy(update={"kind": "none"}),
            "canary": settings.canary.model_copy(update={"seconds": 0.0}),
        }
    )
    patient = Patient(settings, require_consistent(settings))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(patient.aclose)
        try:
            encoder = await open_encoder(settings, patient.profile, discard)
            stack.push_async_callback(encoder.aclose)
            patient.embedder = Embedder(patient.profile, encoder)
        except GatewayError as exc:
            patient.errors["encoder"] = exc
        try:
            patient.store = store = await open_store(settings, discard)
            stack.push_async_callback(store.aclose)
        except GatewayError as exc:
            patient.errors["store"] = exc
        try:
            patient.reranker = reranker = await open_reranker(settings, discard)
            if reranker is not None:
                stack.push_async_callback(reranker.aclose)
        except GatewayError as exc:
            patient.errors["reranker"] = exc
        yield patient


async def _open_servers(settings: Settings) -> "list[DirectServer]":
    from gateway.tei.direct import DirectServer  # noqa: PLC0415
    from gateway.tei.discovery import addresses_of  # noqa: PLC0415
    from gateway.tei.line import Limits  # noqa: PLC0415

    tei = settings.tei
    limits = Limits(
        timeout_seconds=tei.timeout_seconds,
        read_timeout_seconds=tei.read_timeout_seconds,
        connect_timeout_seconds=tei.connect_timeout_seconds,
        pool_timeout_seconds=tei.pool_timeout_seconds,
        max_in_flight=8,
    )
    key = tei.api_key.get_secret_value() if tei.api_key else None
    return [
        DirectServer(url, api_key=key, limits=limits, address=address)
        for url, address in await addresses_of(tei.urls)
    ]
