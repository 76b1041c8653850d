"""Checks of each TEI server by what it says of itself, past an encoder that would hide an ill one."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.doctor.findings import Outcome, check, fail, ok, skip, warn
from gateway.doctor.patient import Patient
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.tei.direct import DirectServer
    from gateway.tei.wire import Info

CPU_BATCHES: Final = {4: "candle on a CPU", 8: "ONNX Runtime on a CPU"}
"""TEI's `max_batch_requests` where it runs on a CPU; on a GPU it is null unless it was set."""
FEW_INPUTS: Final = 8


@check(
    "tei-version",
    fails="The server does not answer, or is too old: before 1.8.1 it does not know the model, and "
    "1.8.1 and 1.8.2 skip the Dense layers of a local directory without an error. Before 1.8.3 is a "
    "warning.",
    remedy="start it, or set GATEWAY_TEI__URLS to where it runs; use TEI 1.9.3",
)
async def version(patient: Patient) -> list[Outcome]:
    """The server answers as TEI does, and its version serves this model rightly."""
    from gateway.tei.identity import (  # noqa: PLC0415
        DENSE_FROM_DIRECTORY,
        require_version,
        version_of,
    )

    found: list[Outcome] = []
    for server in await patient.servers():
        try:
            info = await server.info()
            require_version(server.where, info)
        except GatewayError as exc:
            found.append(fail(str(exc), server.where))
            continue
        detail = f"TEI {info.version}"
        old = version_of(info.version) < DENSE_FROM_DIRECTORY
        found.append((warn if old else ok)(detail, server.where))
    return found


@check(
    "model-identity",
    fails="The server names another model than the configured one, or one that does not embed.",
    remedy="start it with the configured --model-id, or configure the model that it serves",
)
async def identity(patient: Patient) -> list[Outcome]:
    """The server names the configured model; of one in a folder, only its vectors tell."""
    from gateway.tei.identity import is_hub_id, require_model  # noqa: PLC0415

    async def ask(_server: "DirectServer", info: "Info") -> Outcome:
        require_model(_server.where, info, patient.expectation)
        named = is_hub_id(info.model_id)
        return ok(info.model_id if named else f"{info.model_id}: a folder, which proves nothing")

    return await each(patient, ask)


@check(
    "dtype",
    fails="It computes in float16, in which the activations of EmbeddingGemma overflow without an "
    "error, or in a dtype that the profile does not allow.",
    remedy="start the server with --dtype float32 (bfloat16 where it is offered)",
)
async def dtype(patient: Patient) -> list[Outcome]:
    """The model computes in float32 or bfloat16, as its profile allows."""
    if not patient.over_tei:
        info = patient.well_embedder.encoder.info
        if not info.known_dtype:
            return [skip("the server's protocol tells no dtype; its vectors are compared instead")]
        return [ok(patient.profile.require_dtype(info.known_dtype))]
    from gateway.tei.identity import require_dtype  # noqa: PLC0415

    async def ask(server: "DirectServer", info: "Info") -> Outcome:
        require_dtype(server.where, info, patient.expectation)
        return ok(info.model_dtype)

    return await each(patient, ask)


@check(
    "auto-truncate",
    fails="The server cuts texts that the model reads. With its limit at the model's it is a warning: "
    "the gateway forbids the cut in each request, other clients may not.",
    remedy="start TEI with --auto-truncate false",
)
async def auto_truncate(patient: Patient) -> list[Outcome]:
    """The server refuses texts that are too long, and cuts none without a word."""
    from gateway.tei.identity import require_uncut  # noqa: PLC0415

    async def ask(server: "DirectServer", info: "Info") -> Outcome:
        require_uncut(server.where, info, patient.expectation)
        return warn("auto_truncate is on") if info.auto_truncate else ok("auto_truncate is off")

    return await each(patient, ask)


@check(
    "limits",
    fails="Chunks are longer than the server reads, a full request never gets its permits, or a "
    "longest text fits no forward pass. Small batches or a limit below the model's are a warning.",
    remedy="mend --max-input-length, --max-client-batch-size, --max-concurrent-requests, "
    "--max-batch-tokens, or ingest.chunk_tokens",
)
async def limits(patient: Patient) -> list[Outcome]:
    """The server's limits let through what the gateway sends."""

    async def ask(_server: "DirectServer", info: "Info") -> Outcome:
        wrong, poor = _too_tight(info, patient), _tight(info, patient)
        if wrong or poor:
            return (fail if wrong else warn)("; ".join(wrong or poor))
        return ok(f"{info.max_client_batch_size} inputs of {info.max_input_length} tokens")

    return await each(patient, ask)


@check(
    "cpu-fallback",
    fails="tei.expect_gpu is set, but the server runs on its CPU: its GPU could not be used at start, "
    "of which TEI only logs a warning.",
    remedy="look into the server's log for CUDA errors: driver and image must fit (TEI 1.9.3 does not "
    "start on drivers 6xx); unset tei.expect_gpu if there is no GPU",
)
async def cpu_fallback(patient: Patient) -> list[Outcome]:
    """A server that is said to have a GPU uses it."""

    async def ask(_server: "DirectServer", info: "Info") -> Outcome:
        kind = CPU_BATCHES.get(info.max_batch_requests or 0)
        if not patient.settings.tei.expect_gpu:
            return skip(f"tei.expect_gpu is not set ({kind or 'not the marks of a CPU'})")
        detail = f"max_batch_requests is {info.max_batch_requests}"
        return fail(f"{detail}: {kind}") if kind else ok(detail)

    return await each(patient, ask)


CHECKS: Final = (version, identity, dtype, auto_truncate, limits, cpu_fallback)


async def each(
    patient: Patient, ask: "Callable[[DirectServer, Info], Awaitable[Outcome]]"
) -> list[Outcome]:
    """Ask one thing of every server; one that does not answer is named, and hides no other."""
    found: list[Outcome] = []
    for server in await patient.servers():
        try:
            info = await server.info()
        except GatewayError:
            found.append(skip("it does not answer: see tei-version", server.where))
            continue
        try:
            outcome = await ask(server, info)
        except GatewayError as exc:
            outcome = fail(str(exc))
        found.append(replace(outcome, where=server.where))
    return found


def _too_tight(info: "Info", patient: Patient) -> list[str]:
    found: list[str] = []
    chunk = patient.settings.ingest.chunk_tokens
    if info.max_input_length < chunk:
        found.append(f"it reads {info.max_input_length} tokens, chunks have up to {chunk}")
    if info.max_concurrent_requests < info.max_client_batch_size:
        found.append(
            f"requests may hold {info.max_client_batch_size} inputs, but only "
            f"{info.max_concurrent_requests} may be in flight"
        )
    if info.max_batch_tokens is not None and info.max_batch_tokens < info.max_input_length:
        found.append(
            f"a pass takes {info.max_batch_tokens} tokens, a text may have {info.max_input_length}"
        )
    return found


def _tight(info: "Info", patient: Patient) -> list[str]:
    found: list[str] = []
    if info.max_client_batch_size < FEW_INPUTS:
        found.append(f"a request holds only {info.max_client_batch_size} inputs: ingest is slow")
    if info.max_input_length < patient.profile.max_tokens:
        found.append(
            f"it reads {info.max_input_length} of the model's {patient.profile.max_tokens} tokens"
        )
    return found
