"""The encoder that the settings name, with what is around it; adapters are imported only when used."""

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.embedding.canaries import canary_texts, long_canary
from gateway.embedding.catalog import (
    card_of,
)
from gateway.embedding.fingerprint import space_of
from gateway.embedding.profile import ModelProfile
from gateway.events import Sink
from gateway.ports import Encoder
from gateway.settings import Settings
from gateway.wiring.caches import open_cache
from gateway.wiring.recordings import load_recording, recorded_mark

if TYPE_CHECKING:  # adapters are imported when they are used
    from gateway.tei.identity import Expectation


async def open_encoder(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    """Open the encoder that the settings name; adapters are imported only when they are used.

    Calls that ask for the same text at once share it; a cache, when one is set, is asked first.
    """
    from gateway.encoders.single_flight import SingleFlightEncoder  # noqa: PLC0415

    encoder = await _open_recorded(settings, profile, sink)
    if settings.canary.seconds and settings.encoder_kind != "tei":
        from gateway.encoders.canary import CanaryEncoder  # noqa: PLC0415

        expect = expectation(settings, profile)
        made = encoder
        encoder = CanaryEncoder(
            made,
            expect,
            seconds=settings.canary.seconds,
            connections=lambda: getattr(made, "connections", 0),
            sink=sink,
        )
    if settings.cache.kind == "none":
        return SingleFlightEncoder(encoder, sink=sink)
    from gateway.encoders.cached import CachedEncoder  # noqa: PLC0415

    try:
        space = space_of(profile, encoder.info) + recorded_mark(settings, profile)
        cache = await open_cache(settings, sink)
    except BaseException:
        await encoder.aclose()
        raise
    return SingleFlightEncoder(CachedEncoder(encoder, cache, space, sink=sink), sink=sink)


async def _open_recorded(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    """Open an encoder and hold it against the recording.

    TEI's replicas are held each, and again. An OpenAI server compares vectors itself, after a loss
    too; its tokens are counted here.
    """
    recording = load_recording(settings, profile)
    encoder = await ENCODERS[settings.encoder_kind](settings, profile, sink)
    if recording is None or settings.encoder_kind == "tei":
        return encoder
    from gateway.encoders.recorded import (  # noqa: PLC0415
        require_recorded,
        require_recorded_tokens,
    )

    require = require_recorded_tokens if settings.encoder_kind == "openai" else require_recorded
    try:
        await require(encoder, recording)
    except BaseException:
        await encoder.aclose()
        raise
    return encoder


def expectation(settings: Settings, profile: ModelProfile) -> "Expectation":
    """Describe what a server of the profile must serve and reproduce.

    Raises:
        ConfigurationError: the recording cannot be read, or is of another space.
    """
    from gateway.tei.identity import Expectation, GoldenCheck  # noqa: PLC0415

    watched = settings.canary.seconds > 0
    card = card_of(profile)
    return Expectation(
        model_ids=(profile.model_id, *profile.aliases),
        size=profile.full_size,
        max_tokens=profile.max_tokens,
        dtypes=profile.dtypes,
        goldens=tuple(
            GoldenCheck(
                card.render(golden.query_task, golden.query),
                tuple(card.render(golden.document_task, text) for text in golden.documents),
                golden.size,
                golden.similarities,
            )
            for golden in card.goldens
            if settings.tei.verify_goldens
        ),
        recording=load_recording(settings, profile),
        window=profile.window,
        canaries=canary_texts(profile) if watched else (),
        long_canary=long_canary(profile) if watched else "",
    )


async def _tei(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    from gateway.encoders.tei import Limits, TEIEncoder, Wiring  # noqa: PLC0415

    tei = settings.tei
    return await TEIEncoder.connect(
        tei.urls,
        expect=expectation(settings, profile),
        tokenizer=tei.tokenizer,
        wiring=Wiring(
            limits=Limits(
                timeout_seconds=tei.timeout_seconds,
                read_timeout_seconds=tei.read_timeout_seconds,
                connect_timeout_seconds=tei.connect_timeout_seconds,
                pool_timeout_seconds=tei.pool_timeout_seconds,
                max_in_flight=tei.max_in_flight,
            ),
            api_key=tei.api_key.get_secret_value() if tei.api_key else None,
            hedge=tei.hedge,
            discovery_seconds=tei.discovery_seconds,
            canary_seconds=settings.canary.seconds,
        ),
        sink=sink,
    )


async def _openai(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    from gateway.encoders.openai import OpenAIEncoder  # noqa: PLC0415

    openai = settings.openai
    return await OpenAIEncoder.connect(
        openai.url or "",
        expect=expectation(settings, profile),
        tokenizer=openai.tokenizer or Path(),
        model=openai.model,
        quantization=openai.quantization or "",
        api_key=openai.api_key.get_secret_value() if openai.api_key else None,
        timeout_seconds=openai.timeout_seconds,
        connect_timeout_seconds=openai.connect_timeout_seconds,
        max_batch=openai.max_batch,
        max_in_flight=openai.max_in_flight,
        sink=sink,
    )


async def _local(settings: Settings, profile: ModelProfile, _sink: Sink) -> Encoder:
    from gateway.encoders.local import LocalEncoder  # noqa: PLC0415

    local = settings.local
    return await LocalEncoder.load(
        local.model or profile.model_id,
        revision=None if local.model else profile.revision,
        device=local.device,
        dtype=local.dtype,
        threads=settings.threads,
        weights_sha256=profile.weights_sha256,
    )


async def _minilm(settings: Settings, _profile: ModelProfile, _sink: Sink) -> Encoder:
    from gateway.encoders.minilm import MiniLMEncoder  # noqa: PLC0415

    return await MiniLMEncoder.load(threads=settings.threads)


async def _fake(_settings: Settings, profile: ModelProfile, _sink: Sink) -> Encoder:
    from gateway.encoders.fake import FakeEncoder  # noqa: PLC0415

    return FakeEncoder(
        size=profile.full_size, max_tokens=profile.max_tokens, model_id=profile.model_id
    )


ENCODERS = {
    "tei": _tei,
    "openai": _openai,
    "local": _local,
    "minilm": _minilm,
    "fake": _fake,
}
