"""Checks of any encoder, asked as requests ask it."""

from typing import Final

import numpy as np

from gateway.doctor.findings import Outcome, check, fail, ok, skip, warn
from gateway.doctor.patient import Patient
from gateway.domain.vectors import UNIT_TOLERANCE, norms_of, shorten
from gateway.embedding.catalog import card_of
from gateway.embedding.language import script_warning
from gateway.embedding.profile import Golden, Task
from gateway.embedding.texts import Input
from gateway.errors import GatewayError
from gateway.ports import Lane
from gateway.tei.goldens import golden_tolerance

PROBES: Final = (
    "Which planet is known as the Red Planet?",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "def area(radius: float) -> float:\n    return 3.14159 * radius**2",
)
SPECIAL: Final = (
    "a",
    "Марс называют красной планетой.",
    "火星は赤い惑星として知られています。",
    "🚀 to Mars 👩‍🚀",
    "<bos> and <eos> written out",
    "first line\n\n\tsecond line\r\n",
)
ALONE: Final = 0.999
SAMPLED_TEXTS: Final = 16


@check(
    "encoder-reachable",
    fails="It is down, could not be loaded, or would answer wrongly and is refused.",
    remedy="mend what the message names, start the server, or set its address: GATEWAY_TEI__URLS or "
    "GATEWAY_OPENAI__URL",
)
async def encoder_reachable(patient: Patient) -> list[Outcome]:
    """The encoder answers; for servers, at least one of them is let in."""
    if patient.embedder is None:
        patient.down["encoder"] = "not opened"
        return [fail(str(patient.errors["encoder"]), patient.settings.encoder_kind)]
    info = patient.embedder.encoder.info
    health = await patient.embedder.encoder.health()
    if health.ok:
        detail = f"{info.kind} serves {info.model_id} in {info.known_dtype or 'a dtype it does not tell'}"
        return [ok(f"{detail}; {health.detail}" if health.detail else detail, health.name)]
    patient.down["encoder"] = health.detail
    address = {"openai": "GATEWAY_OPENAI__URL", "tei": "GATEWAY_TEI__URLS"}.get(info.kind)
    remedy = f"start the server, or set {address} to where it runs" if address else ""
    return [fail(health.detail, health.name, remedy=remedy)]


@check(
    "prompts",
    fails="The server drops, replaces or repeats prompts: queries and documents fall together.",
    remedy="start the server without a prompt of its own and with nothing between that rewrites texts",
)
async def prompts(patient: Patient) -> list[Outcome]:
    """Each prompt reaches the model, once: it adds its tokens, and it changes the vector."""
    embedder, profile = patient.well_embedder, patient.profile
    if profile.prompt(Task.QUERY) == profile.prompt(Task.DOCUMENT):
        return [skip(f"model {profile.name!r} uses one prompt for all, or none")]
    text = PROBES[0]
    rendered = profile.render(Task.QUERY, text)
    bare, prompted = await embedder.encoder.count_tokens([text, rendered])
    query = await embedder.embed_one(Task.QUERY, text)
    document = (await embedder.embed_one(Task.DOCUMENT, text)).vectors[0]
    cosine = float(query.vectors[0] @ document)
    good = prompted > bare and query.tokens == prompted and cosine < 0.9999
    detail = (
        f"the query prompt adds {prompted - bare} tokens, {query.tokens} of {prompted} were read; "
        f"query against document: {cosine:.4f}"
    )
    return [ok(detail) if good else fail(detail)]


@check(
    "vectors",
    fails="A size is missing, or its vectors are not of unit length: scores would be wrong.",
    remedy="check the server's dtype and device, and that it serves the configured model",
)
async def vectors(patient: Patient) -> list[Outcome]:
    """At every size of the model: right length, finite, unit norm."""
    found: list[Outcome] = []
    for size in patient.profile.sizes:
        rows = (await patient.well_embedder.embed(Task.DOCUMENT, _inputs(), size=size)).vectors
        off = float(np.abs(norms_of(rows) - 1).max())
        good = rows.shape == (len(PROBES), size) and off <= UNIT_TOLERANCE
        detail = f"size {size}: shape {rows.shape}, norms within {off:.1e} of 1"
        found.append((ok if good else fail)(detail))
    return found


@check(
    "nulls",
    fails="A text of another script, an emoji or a control token gets no vector, or one without "
    "direction (null, NaN, zeros).",
    remedy="check the server's dtype and device; TEI's float16 overflows on this model",
)
async def nulls(patient: Patient) -> list[Outcome]:
    """Unusual texts get vectors too: several scripts, emoji, `<bos>` written out, line ends."""
    inputs = [Input(text) for text in SPECIAL]
    made = await patient.well_embedder.embed(Task.DOCUMENT, inputs, partial=True)
    if made.refused:
        first = min(made.refused)
        return [fail(f"{len(made.refused)} of {len(inputs)} refused: {made.refused[first]}")]
    return [ok(f"{len(inputs)} unusual texts have vectors")]


@check(
    "batch",
    fails="The order of a batch is mixed up, or texts of a batch leak into each other.",
    remedy="do not use this server: its vectors belong to other texts",
)
async def batch(patient: Patient) -> list[Outcome]:
    """A text has the same vector alone as in a batch."""
    embedder = patient.well_embedder
    together = (await embedder.embed(Task.DOCUMENT, _inputs())).vectors
    alone = [(await embedder.embed(Task.DOCUMENT, [item])).vectors[0] for item in _inputs()]
    cosine = float(min(np.sum(np.stack(alone) * together, axis=1)))
    detail = f"alone against batch: cosine {cosine:.6f}"
    return [ok(detail) if cosine > ALONE else fail(detail)]


@check(
    "goldens",
    fails="The vectors are another model's, or lack the Dense layers, or the prompts were changed.",
    remedy="check which model is served: TEI 1.9.3 in float32, or a GGUF that holds the Dense layers",
)
async def goldens(patient: Patient) -> list[Outcome]:
    """The worked examples of the model card come out as printed."""
    if patient.well_embedder.encoder.info.variant:
        return [skip("the encoder makes up its vectors")]
    if not card_of(patient.profile).goldens:
        return [skip(f"the card of {patient.profile.name!r} prints none")]
    return [await _golden(patient, golden) for golden in card_of(patient.profile).goldens]


@check(
    "recording",
    fails="Recorded texts get other vectors or other tokens: another model, revision, quantisation, "
    "tokenizer, or skipped layers.",
    remedy="serve the recorded model, or record the reference anew if the change is meant",
)
async def recording(patient: Patient) -> list[Outcome]:
    """The recorded texts get the recorded vectors and token counts."""
    recorded, encoder = patient.expectation.recording, patient.well_embedder.encoder
    if recorded is None:
        return [skip("no recording is set")]
    if encoder.info.variant:
        return [skip("the encoder makes up its vectors")]
    from gateway.tei.goldens import bar_of, worst_cosine  # noqa: PLC0415

    texts = [item.rendered for item in recorded.items]
    counts = await encoder.count_tokens(texts)
    other = sum(n != len(item.token_ids) for n, item in zip(counts, recorded.items, strict=True))
    if other:
        return [fail(f"{other} of {len(texts)} texts have other numbers of tokens")]
    rows = (await encoder.encode(texts, lane=Lane.INGEST)).vectors
    cosine, _ = worst_cosine(shorten(rows, recorded.size), recorded.vectors)
    bar = bar_of(encoder.info.dtype, *_server_dtypes(patient))
    detail = f"{len(texts)} recorded texts: cosine at least {cosine:.6f} (bar {bar})"
    return [ok(detail) if cosine >= bar else fail(detail)]


@check(
    "languages",
    fails="A model that knows Latin script only holds texts in another: their ranking is chance.",
    remedy="serve a multilingual model such as embeddinggemma-300m, and ingest anew",
)
async def languages(patient: Patient) -> list[Outcome]:
    """The texts that are stored are of the languages that the model knows."""
    if not patient.profile.languages:
        return [ok(f"model {patient.profile.name!r} knows many languages")]
    store, seen, foreign = patient.well_store, 0, 0
    for info in await store.list_collections():
        left = SAMPLED_TEXTS
        async for stored in store.scroll(info.spec.name):
            seen, left = seen + 1, left - 1
            foreign += script_warning(patient.profile, stored.chunk.text) is not None
            if not left:
                break
    detail = f"model {patient.profile.name!r} knows {', '.join(patient.profile.languages)} only"
    if foreign:
        return [warn(f"{detail}, and {foreign} of {seen} sampled texts are in another script")]
    return [ok(f"{detail}; so are {seen} sampled texts")]


CHECKS: Final = (
    encoder_reachable,
    prompts,
    vectors,
    nulls,
    batch,
    goldens,
    recording,
    languages,
)


def _inputs() -> list[Input]:
    return [Input(text) for text in PROBES]


def _server_dtypes(patient: Patient) -> list[str]:
    """Dtypes that the encoder's servers say they compute in."""
    details = dict(patient.well_embedder.encoder.info.details)
    return [name for name in details.get("server_dtypes", "").split(", ") if name]


async def _golden(patient: Patient, golden: Golden) -> Outcome:
    embedder, size = patient.well_embedder, golden.size
    try:
        query = (await embedder.embed_one(golden.query_task, golden.query, size=size)).vectors[0]
        documents = await embedder.embed(
            golden.document_task, [Input(text) for text in golden.documents], size=size
        )
    except GatewayError as exc:
        return fail(f"could not be embedded: {exc}")
    off = float(np.abs(documents.vectors @ query - np.asarray(golden.similarities)).max())
    detail = f"model card example at size {size}: off by at most {off:.4f}"
    info = embedder.encoder.info
    dtypes = [info.quantization] if info.quantization else _server_dtypes(patient) or [info.dtype]
    room = golden_tolerance(*dtypes)
    return ok(detail) if off <= room else fail(f"{detail}, {room:g} allowed in {', '.join(dtypes)}")
