"""Checks of each TEI server by what it answers, past an encoder that would hide an ill one."""

from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.doctor.encoder import PROBES, SPECIAL
from gateway.doctor.findings import Outcome, check, fail, ok, skip, warn
from gateway.doctor.patient import Patient
from gateway.doctor.servers import each
from gateway.domain.vectors import UNIT_TOLERANCE, Matrix, have_direction, norms_of, shorten
from gateway.embedding.canaries import long_canary
from gateway.embedding.profile import Task
from gateway.errors import DegenerateVector, GatewayError, InvalidRequest, UpstreamError

if TYPE_CHECKING:
    from gateway.tei.direct import DirectServer
    from gateway.tei.wire import Info

LAYERLESS: Final = 0.999
"""Cosine of the pooled token states to the embedding from which on nothing lies between them."""
CUT: Final = 0.9999
WINDOW_TOKENS: Final = 257
OTHER_TEXT: Final = 0.9
"""A skipped window changes a vector less than this; below it, a batch mixes up its texts."""


@check(
    "hidden-prompt",
    fails="The server reads more tokens than the text has: it was started with a default prompt, and "
    "every text carries two.",
    remedy="start it without --default-prompt and --default-prompt-name; prompts are added here",
)
async def hidden_prompt(patient: Patient) -> list[Outcome]:
    """The server reads the tokens of a text and nothing else, by its own count and by ours."""
    from gateway.tei.identity import PROBE, PROBE_TOKENS  # noqa: PLC0415

    async def ask(server: "DirectServer", _info: "Info") -> Outcome:
        counts = [len(ids) for ids in await server.token_ids([PROBE, *PROBES])]
        read = [(await server.embed([text]))[1] for text in (PROBE, *PROBES)]
        if max(read[0], counts[0]) > PROBE_TOKENS:
            return fail(f"{max(read[0], counts[0])} tokens in a text of one letter")
        ours = await _our_counts(patient, [PROBE, *PROBES]) or counts
        if not counts == read == ours:
            return fail(f"texts of {counts} tokens by /tokenize, {ours} by ours, {read} were read")
        return ok(f"{sum(read)} tokens in {len(read)} texts, as counted")

    return await each(patient, ask)


@check(
    "long-texts",
    fails="The server reads the beginning of a long text alone, although it does not say that it would.",
    remedy="start TEI 1.9.3 with --auto-truncate false, and let nothing between cut texts",
)
async def long_texts(patient: Patient) -> list[Outcome]:
    """Every token of a text of nearly the whole context is read."""
    from gateway.tei.whole import longest_text  # noqa: PLC0415

    async def ask(server: "DirectServer", info: "Info") -> Outcome:
        async def count(text: str) -> int:
            return len((await server.token_ids([text]))[0])

        text, tokens = await longest_text(count, info, patient.expectation)
        _, read = await server.embed([text])
        if read < tokens:
            return fail(f"{read} tokens were read of a text of {tokens}")
        return ok(f"all {tokens} tokens of a text were read")

    return await each(patient, ask)


@check(
    "norms",
    fails="The server answers vectors that are not of unit length, or of another size than the model.",
    remedy="serve the configured model with TEI 1.9.3; something between may rewrite answers",
)
async def norms(patient: Patient) -> list[Outcome]:
    """`/v1/embeddings` answers unit vectors of the model's size."""

    async def ask(server: "DirectServer", _info: "Info") -> Outcome:
        rows, _ = await server.embed(PROBES[:1])
        off = float(np.abs(norms_of(rows) - 1).max())
        good = rows.shape[1] == patient.profile.full_size and off <= UNIT_TOLERANCE
        detail = f"size {rows.shape[1]} of {patient.profile.full_size}, norm within {off:.1e} of 1"
        return ok(detail) if good else fail(detail)

    return await each(patient, ask)


@check(
    "server-nulls",
    fails="`/embed` answers `null` (NaN) or zeros to some text: half precision overflows, or a broken "
    "device.",
    remedy="start the server with --dtype float32, and check its device",
)
async def server_nulls(patient: Patient) -> list[Outcome]:
    """Each unusual text gets a vector with a direction from each server."""

    async def ask(server: "DirectServer", info: "Info") -> Outcome:
        most = max(1, info.max_client_batch_size)
        rows = [
            await server.embed_native(SPECIAL[at : at + most])
            for at in range(0, len(SPECIAL), most)
        ]
        bad = int((~have_direction(np.concatenate(rows))).sum())
        detail = f"{bad} of {len(SPECIAL)} vectors have no direction"
        return fail(detail) if bad else ok(detail)

    return await each(patient, ask)


@check(
    "matryoshka",
    fails="The server cuts vectors otherwise than the model was trained for, or does not bring them "
    "back to unit length: clients that ask it for `dimensions` get other vectors than ours.",
    remedy="ask for sizes at the gateway, which cuts by itself; use TEI 1.9.3",
)
async def matryoshka(patient: Patient) -> list[Outcome]:
    """Our cut of a full vector equals what the server answers to `dimensions`, at every size."""

    async def ask(server: "DirectServer", _info: "Info") -> Outcome:
        full, worst = (await server.embed(PROBES[:1]))[0], 1.0
        for size in patient.profile.sizes[1:]:
            theirs, _ = await server.embed(PROBES[:1], size)
            if theirs.shape[1] != size:
                return fail(f"asked for size {size}, it answers {theirs.shape[1]}")
            if abs(float(norms_of(theirs)[0]) - 1) > UNIT_TOLERANCE:
                return fail(f"at size {size} it answers a norm of {norms_of(theirs)[0]:.4f}")
            worst = min(worst, float(theirs[0] @ shorten(full, size)[0]))
        detail = f"cosine at least {worst:.6f} at sizes {patient.profile.sizes[1:]}"
        return ok(detail) if worst >= CUT else fail(detail)

    if len(patient.profile.sizes) == 1:
        return [skip("the model has one size only")]
    return await each(patient, ask)


@check(
    "dense-layers",
    fails="The embedding equals the mean of the transformer's token states: the Dense layers were "
    "skipped (TEI before 1.8.3 with a local directory). Size and norm are right all the same.",
    remedy="use TEI 1.9.3, or serve the model by its hub name",
)
async def dense_layers(patient: Patient) -> list[Outcome]:
    """Between the token states (`/embed_all`) and the embedding lie the model's Dense layers."""
    if not patient.profile.heads:
        return [skip(f"model {patient.profile.name!r} has no layer after pooling")]
    if patient.profile.pooling != "mean":
        return [
            skip(f"token states are pooled by {patient.profile.pooling!r}, which is not redone")
        ]

    async def ask(server: "DirectServer", _info: "Info") -> Outcome:
        rows, _ = await server.embed(PROBES[1:2])
        size = patient.profile.full_size
        if rows.shape[1] != size:
            return fail(f"vectors of size {rows.shape[1]}, the Dense layers make {size}")
        try:
            states = await server.states(PROBES[1])
        except (UpstreamError, InvalidRequest) as exc:
            return _proved_otherwise(patient, exc)
        return _projected(states, rows)

    return await each(patient, ask)


@check(
    "length-invariance",
    fails="A text of more than 257 tokens gets another vector in a batch of its own length than alone "
    "(TEI issue 882: the sliding window is skipped). A warning while chunks are at most 257 tokens: "
    "the gateway mixes lengths within its own batches.",
    remedy="keep ingest.chunk_tokens at 256 or less, or start TEI with --max-batch-requests 1",
)
async def length_invariance(patient: Patient) -> list[Outcome]:
    """A long text has the same vector alone as among texts of its length."""
    from gateway.tei.goldens import bar_of, worst_cosine  # noqa: PLC0415

    text = long_canary(patient.profile)
    if not text:
        return [skip(f"model {patient.profile.name!r} reads no texts so long")]

    async def ask(server: "DirectServer", info: "Info") -> Outcome:
        count = min(3, info.max_client_batch_size)
        if count < 2:
            return skip("a request holds one input only")
        alone, tokens = await server.embed([text])
        rows, _ = await server.embed([text] * count)
        cosine, _ = worst_cosine(rows, np.repeat(alone, count, axis=0))
        detail = f"{count} texts of {tokens} tokens: cosine to one alone at least {cosine:.6f}"
        if tokens <= WINDOW_TOKENS:
            return fail(f"the probe has {tokens} tokens only: nothing is proved")
        if cosine >= bar_of(info.model_dtype):
            return ok(detail)
        harmful = cosine < OTHER_TEXT or patient.settings.ingest.chunk_tokens > WINDOW_TOKENS
        return (fail if harmful else warn)(detail)

    return await each(patient, ask)


@check(
    "agreement",
    fails="Two servers give the same text different vectors: another model, revision or Dense layers "
    "on one of them.",
    remedy="serve the same model, revision and kind of dtype on every server",
)
async def agreement(patient: Patient) -> list[Outcome]:
    """All servers give the same text the same vector."""
    from gateway.tei.goldens import AGREEMENT, worst_cosine  # noqa: PLC0415

    if len(await patient.servers()) < 2:
        return [skip("there is one server only")]
    text, first = patient.profile.render(Task.DOCUMENT, PROBES[1]), list[tuple[str, Matrix]]()

    async def ask(server: "DirectServer", _info: "Info") -> Outcome:
        rows, _ = await server.embed([text])
        if not first:
            first.append((server.where, rows))
            return ok("the others are held against it")
        where, wanted = first[0]
        if rows.shape != wanted.shape:
            return fail(f"vectors of size {rows.shape[1]}, {where} has {wanted.shape[1]}")
        cosine, _ = worst_cosine(rows, wanted)
        detail = f"cosine {cosine:.5f} to {where}"
        return ok(detail) if cosine >= AGREEMENT else fail(detail)

    return await each(patient, ask)


CHECKS: Final = (
    hidden_prompt,
    long_texts,
    norms,
    server_nulls,
    matryoshka,
    dense_layers,
    length_invariance,
    agreement,
)


async def _our_counts(patient: Patient, texts: list[str]) -> list[int] | None:
    """Counts of a tokenizer of our own, None where the encoder asks a server for them."""
    if patient.embedder is None or "encoder" in patient.down:
        return None
    encoder = patient.embedder.encoder
    if dict(encoder.info.details).get("tokens") != "local":
        return None
    return await encoder.count_tokens(texts)


def _projected(states: Matrix, rows: Matrix) -> Outcome:
    """Compare the mean of token states, of unit length, with the embedding."""
    try:
        pooled = shorten(states.mean(axis=0, keepdims=True), states.shape[1])
    except DegenerateVector:
        return fail("/embed_all answers token states without direction")
    if pooled.shape != rows.shape:
        return ok(f"states of size {states.shape[1]} become vectors of size {rows.shape[1]}")
    cosine = float(pooled[0] @ rows[0])
    detail = f"the embedding has cosine {cosine:.4f} to its own pooled token states"
    return ok(detail) if cosine < LAYERLESS else fail(detail)


def _proved_otherwise(patient: Patient, exc: GatewayError) -> Outcome:
    """Without token states, goldens or a recording must prove the layers."""
    if patient.profile.goldens or patient.expectation.recording is not None:
        return skip(f"no token states ({exc}); goldens and recording prove the layers instead")
    return warn(f"no token states ({exc}), no goldens and no recording: nothing proves the layers")
