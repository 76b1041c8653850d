"""One function per check: what it proves, how it failed, what to do. Read only; changes nothing."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from gateway.bootstrap import Runtime
from gateway.domain.vectors import UNIT_TOLERANCE
from gateway.embedding.profile import Golden, Task
from gateway.embedding.texts import Input
from gateway.errors import GatewayError

PROBES: Final = (
    "Which planet is known as the Red Planet?",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "def area(radius: float) -> float:\n    return 3.14159 * radius**2",
)
GOLDEN_TOLERANCE: Final = 0.02
"""Room for dtype and engine around the similarities printed in a model card."""
SAMPLE: Final = 32
"""Stored vectors looked at per collection."""


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `remedy` says what to do when it is not ok."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


Check = Callable[[Runtime], Awaitable[Sequence[Finding]]]


async def examine(runtime: Runtime) -> list[Finding]:
    """Run every check in order; a check that cannot run is a failure, never a pass."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += await check(runtime)
        except GatewayError as exc:
            findings.append(Finding(name, Status.FAIL, str(exc), "mend the cause and run again"))
    return findings


async def encoder_reachable(runtime: Runtime) -> list[Finding]:
    """The encoder answers, and is the model, version and dtype that the profile allows."""
    health = await runtime.embedder.encoder.health()
    info = runtime.embedder.encoder.info
    what = f"{info.kind} serves {info.model_id} in {info.dtype}"
    detail = f"{what}; {health.detail}" if health.detail else what
    if health.ok:
        return [Finding("encoder-reachable", Status.OK, detail)]
    address = "GATEWAY_OPENAI__URL" if info.kind == "openai" else "GATEWAY_TEI__URLS"
    remedy = f"start the server, or set {address} to where it runs"
    return [Finding("encoder-reachable", Status.FAIL, health.detail, remedy)]


async def dtype(runtime: Runtime) -> list[Finding]:
    """The dtype is one that the profile allows; float16 never is."""
    served = runtime.embedder.profile.require_dtype(runtime.embedder.encoder.info.dtype)
    return [Finding("dtype", Status.OK, served)]


async def vectors(runtime: Runtime) -> list[Finding]:
    """At every size: right length, finite, unit norm, and the same alone as in a batch."""
    profile = runtime.embedder.profile
    found: list[Finding] = []
    for size in profile.sizes:
        rows = (await runtime.embedder.embed(Task.DOCUMENT, _inputs(), size=size)).vectors
        norms = np.linalg.norm(rows, axis=1)
        off = float(np.abs(norms - 1).max())
        good = rows.shape == (len(PROBES), size) and off <= UNIT_TOLERANCE
        detail = f"size {size}: shape {rows.shape}, norms within {off:.1e} of 1"
        found.append(Finding("vectors", Status.OK if good else Status.FAIL, detail))
    batch = (await runtime.embedder.embed(Task.DOCUMENT, _inputs())).vectors
    alone = [(await runtime.embedder.embed(Task.DOCUMENT, [item])).vectors[0] for item in _inputs()]
    cosine = float(min(np.sum(np.stack(alone) * batch, axis=1)))
    status = Status.OK if cosine > 0.999 else Status.FAIL
    remedy = "" if status is Status.OK else "the server mixes up inputs of a batch: do not use it"
    return [*found, Finding("batch", status, f"alone against batch: cosine {cosine:.6f}", remedy)]


async def prompts(runtime: Runtime) -> list[Finding]:
    """Prompts reach the model once: they add tokens, and change the vector."""
    profile, encoder = runtime.embedder.profile, runtime.embedder.encoder
    if profile.prompt(Task.QUERY) == profile.prompt(Task.DOCUMENT):
        return [Finding("prompts", Status.SKIP, f"model {profile.name!r} uses no prompts")]
    text = PROBES[0]
    bare, asked = await encoder.count_tokens([text, profile.render(Task.QUERY, text)])
    query = (await runtime.embedder.embed_one(Task.QUERY, text)).vectors[0]
    document = (await runtime.embedder.embed_one(Task.DOCUMENT, text)).vectors[0]
    cosine = float(query @ document)
    good = asked > bare and cosine < 0.9999
    detail = f"the query prompt adds {asked - bare} tokens; query against document: {cosine:.4f}"
    remedy = "" if good else "the server replaces or drops our prompts: start it without a prompt"
    return [Finding("prompts", Status.OK if good else Status.FAIL, detail, remedy)]


async def goldens(runtime: Runtime) -> list[Finding]:
    """The worked examples of the model card come out as printed."""
    profile = runtime.embedder.profile
    if runtime.embedder.encoder.info.variant:
        return [Finding("goldens", Status.SKIP, "the encoder makes up its vectors")]
    if not profile.goldens:
        return [Finding("goldens", Status.SKIP, f"the card of {profile.name!r} prints none")]
    return [await _golden(runtime, golden) for golden in profile.goldens]


async def store_reachable(runtime: Runtime) -> list[Finding]:
    """The store answers and is new enough."""
    health = await runtime.store.health()
    remedy = "" if health.ok else "start it, or set GATEWAY_QDRANT__URL to where it runs"
    status = Status.OK if health.ok else Status.FAIL
    return [Finding("store-reachable", status, f"{health.name}: {health.detail}", remedy)]


async def collections(runtime: Runtime) -> list[Finding]:
    """Each collection is of the configured space, and sampled vectors are unit."""
    found: list[Finding] = []
    for info in await runtime.collections.list():
        name = info.spec.name
        if info.spec.space != runtime.embedder.space:
            detail = f"{name!r} is of space {info.spec.space!r}, not {runtime.embedder.space!r}"
            remedy = "configure the model that wrote it to search it; it is refused until then"
            found.append(Finding("collection", Status.WARN, detail, remedy))
            continue
        off = await _worst_norm(runtime, name)
        good = off <= UNIT_TOLERANCE
        detail = f"{name!r}: {info.chunks} chunks of size {info.spec.size}, norms within {off:.1e}"
        remedy = "" if good else "something else wrote to it: ingest into a new collection"
        found.append(Finding("collection", Status.OK if good else Status.FAIL, detail, remedy))
    return found or [Finding("collection", Status.SKIP, "no collection yet")]


CHECKS: Final[dict[str, Check]] = {
    "encoder-reachable": encoder_reachable,
    "dtype": dtype,
    "vectors": vectors,
    "prompts": prompts,
    "goldens": goldens,
    "store-reachable": store_reachable,
    "collection": collections,
}


def _inputs() -> list[Input]:
    return [Input(text) for text in PROBES]


async def _golden(runtime: Runtime, golden: Golden) -> Finding:
    embedder, size = runtime.embedder, golden.size
    query = (await embedder.embed_one(golden.query_task, golden.query, size=size)).vectors[0]
    documents = await embedder.embed(
        golden.document_task, [Input(text) for text in golden.documents], size=size
    )
    off = float(np.abs(documents.vectors @ query - np.asarray(golden.similarities)).max())
    detail = f"model card example at size {size}: off by at most {off:.4f}"
    if off <= GOLDEN_TOLERANCE:
        return Finding("goldens", Status.OK, detail)
    remedy = (
        "the server is not this model, or lacks its Dense layers: use TEI 1.9.3 in float32, or a "
        "GGUF that holds them"
    )
    return Finding("goldens", Status.FAIL, detail, remedy)


async def _worst_norm(runtime: Runtime, name: str) -> float:
    worst, seen = 0.0, 0
    async for chunk in runtime.store.scroll(name, with_vectors=True):
        if chunk.vector is not None:
            worst = max(worst, abs(float(np.linalg.norm(chunk.vector)) - 1))
        seen += 1
        if seen >= SAMPLE:
            break
    return worst
