"""Health, metrics, and what this gateway serves."""

from typing import Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from gateway import __version__
from gateway.api.bodies import AnyRequest, answer
from gateway.api.exceptions import RETRY_SECONDS
from gateway.api.guards import PUBLIC, is_authorized
from gateway.api.operations import DOC, SPACE_HEADER, Content, Operation, reply
from gateway.bootstrap import Runtime
from gateway.doctor.readiness import ReadinessProbe
from gateway.observability.metrics import CONTENT_TYPE
from gateway.ports import Reranker
from gateway.schemas.service import (
    DependencyHealth,
    EncoderFacts,
    Info,
    Liveness,
    Readiness,
    RerankerFacts,
)

_READY: Final = {200: (Content(model=Readiness),), 503: (Content(model=Readiness),)}
_VERBOSE: Final = {
    "verbose": {
        "description": "List every check, those that are well too",
        "schema": {"type": "string", "enum": ["", "0", "1", "false", "true"]},
        "allowEmptyValue": True,
    }
}


class ServiceController(Controller):
    path = "/"
    tags = ("Service",)

    @get("/livez", opt={PUBLIC: True, DOC: Operation("live", reply(Liveness))})
    async def livez(self) -> Response[bytes]:
        """Tell that the process lives. Asks nothing of its dependencies."""
        return answer(Liveness())

    @get(
        ["/readyz", "/health"],
        opt={PUBLIC: True, DOC: Operation("ready", _READY, query=_VERBOSE)},
    )
    async def readyz(
        self,
        request: AnyRequest,
        verbose: FromQuery[str | None] = None,
    ) -> Response[bytes]:
        """Tell whether requests can be served rightly: the cheap half of `gateway doctor`.

        `/health` is the same. Where API keys are set, callers without one learn the status only.
        """
        probe: ReadinessProbe = request.app.state.readiness
        checks = await probe.checks()
        ready = all(check.ok for check in checks)
        everything = verbose is not None and verbose.lower() not in {"0", "false"}
        shown = [
            DependencyHealth(name=check.name, ok=check.ok, detail=check.detail)
            for check in checks
            if everything or not check.ok
        ]
        return answer(
            Readiness(
                status="ready" if ready else "not ready",
                checks=shown if shown and is_authorized(request) else None,
            ),
            status=200 if ready else 503,
            headers=None if ready else {"retry-after": str(RETRY_SECONDS)},
            exclude_none=True,
        )

    @get("/info", opt={DOC: Operation("info", reply(Info), space_header=True)})
    async def info(self, runtime: NamedDependency[Runtime]) -> Response[bytes]:
        """Describe the model, its vector space and sizes, and the parts behind the gateway."""
        return answer(_info(runtime), headers={SPACE_HEADER: runtime.embedder.space})

    @get(
        "/metrics",
        opt={DOC: Operation("metrics", {200: (Content(media_type="text/plain"),)})},
    )
    async def metrics(self, runtime: NamedDependency[Runtime]) -> Response[bytes]:
        """Metrics for Prometheus, in its text format.

        Where API keys are set, this needs one: give Prometheus an `authorization` section.
        """
        return Response(runtime.metrics.render(), headers={"content-type": CONTENT_TYPE})


def _reranker(reranker: Reranker | None) -> RerankerFacts | None:
    if reranker is None:
        return None
    info = reranker.info
    return RerankerFacts(kind=info.kind, model_id=info.model_id, raw=info.raw)


def _info(runtime: Runtime) -> Info:
    settings, embedder = runtime.settings, runtime.embedder
    profile, encoder = embedder.profile, embedder.encoder.info
    languages = encoder.languages or profile.languages
    return Info(
        version=__version__,
        profile=profile.name,
        model_id=encoder.model_id,
        space=embedder.space,
        sizes=list(profile.sizes),
        default_size=settings.size or profile.default_size,
        max_tokens=embedder.max_tokens,
        tasks=list(profile.tasks),
        languages=list(languages),
        language_note=_language_note(languages),
        encoder=EncoderFacts(
            kind=encoder.kind,
            model_id=encoder.model_id,
            dtype=encoder.known_dtype or "unknown",
            details=dict(encoder.details),
        ),
        store=settings.store_kind,
        reranker=_reranker(runtime.reranker),
        max_inputs=settings.server.max_inputs,
        max_body_bytes=settings.server.max_body_bytes,
    )


def _language_note(languages: tuple[str, ...]) -> str | None:
    if tuple(languages) == ("en",):
        return "English only: texts in other languages rank close to chance with this model"
    return f"Fit for {', '.join(languages)} only" if languages else None
