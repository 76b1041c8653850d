"""From options to a running application: the encoder, its prompts and limits, the faults."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from gateway.embedding.catalog import GEMMA_CONFIGURED_PROMPTS
from gateway.encoders.fake import FakeEncoder
from gateway.errors import ConfigurationError
from gateway.modelserver.app import TEIApp
from gateway.modelserver.contract import EMBEDDING, RELEASES, RERANKER, Contract
from gateway.modelserver.engines import Engine, PairEngine, Scorer, engine_over
from gateway.modelserver.faults import FaultScript, parse_faults
from gateway.modelserver.service import Service
from gateway.ports import Encoder

if TYPE_CHECKING:
    from gateway.encoders.cross import CrossEncoderScorer

EncoderKind: TypeAlias = Literal["local", "minilm", "fake"]
Prompts: TypeAlias = Mapping[str, str]

_FAKE_ID: Final = "fake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `gateway model-server` was asked for; None is the contract's default."""

    encoder: EncoderKind = "local"
    model: str | None = None
    revision: str | None = None
    reranker: str | None = None
    dtype: str = "float32"
    device: str = "auto"
    threads: int = 1
    contract: str = "1.9"
    model_id_as: str | None = None
    served_model_name: str | None = None
    api_key: str | None = None
    default_prompt: str | None = None
    default_prompt_name: str | None = None
    auto_truncate: bool | None = None
    max_batch_tokens: int = 16_384
    max_batch_requests: int | None = None
    max_client_batch_size: int = 32
    max_concurrent_requests: int = 512
    payload_limit: int = 2_000_000
    latency: float = 0.0
    faults: str = ""
    fault_control: bool = False
    seed: int = 0

    @property
    def only_reranks(self) -> bool:
        """Whether a cross-encoder is served alone, as TEI does."""
        return self.reranker is not None and self.encoder == "local" and self.model is None


@dataclass(frozen=True, slots=True)
class Opened:
    """What is served, before any limit: parts, and what `/info` tells of them."""

    engine: Engine
    reranker: Scorer | None
    model_id: str
    model_type: Mapping[str, Any]
    dtype: str
    max_tokens: int
    prompts: Prompts | None = None


@asynccontextmanager
async def open_app(options: Options) -> AsyncGenerator[TEIApp, None]:
    """Load the model and build the application; the model is closed at the end.

    Raises:
        ConfigurationError, UnsupportedDtype: an option, or a checkpoint, that cannot be served.
    """
    faults = parse_faults(options.faults)
    async with AsyncExitStack() as stack:
        opened = await (_reranker_alone if options.only_reranks else _models)(options, stack)
        service = Service(
            contract_of(options, opened),
            opened.engine,
            reranker=opened.reranker,
            latency=options.latency,
            seed=options.seed,
        )
        service.require_playable(faults)
        script = FaultScript(faults, seed=options.seed)
        yield TEIApp(service, script, control=options.fault_control)


def contract_of(options: Options, opened: Opened) -> Contract:
    """The contract of a server over open parts."""
    version = RELEASES[options.contract]
    auto_truncate = options.auto_truncate
    if auto_truncate is None:
        auto_truncate = version >= "1.9"
    return Contract(
        version=version,
        model_id=options.model_id_as or opened.model_id,
        model_sha=options.revision,
        model_type=opened.model_type,
        model_dtype=opened.dtype,
        served_model_name=options.served_model_name,
        max_client_batch_size=options.max_client_batch_size,
        max_concurrent_requests=options.max_concurrent_requests,
        max_input_length=_max_input_length(options, opened.max_tokens, cut=auto_truncate),
        max_batch_tokens=options.max_batch_tokens,
        max_batch_requests=options.max_batch_requests,
        auto_truncate=auto_truncate,
        api_key=options.api_key,
        payload_limit=options.payload_limit,
        prompts=opened.prompts,
        default_prompt=_default_prompt(options, opened.prompts),
    )


async def _models(options: Options, stack: AsyncExitStack) -> Opened:
    """Open an encoder, and a cross-encoder on its device where one is asked for."""
    encoder, prompts = await _encoder(options)
    stack.push_async_callback(encoder.aclose)
    reranker = None
    if options.reranker is not None:
        device = dict(encoder.info.details).get("device", "cpu")
        reranker = await _scorer(options, options.reranker, stack, device=device, dtype="float32")
    return Opened(
        engine_over(encoder),
        reranker,
        encoder.info.model_id,
        EMBEDDING if reranker is None else {**EMBEDDING, **RERANKER},
        encoder.info.dtype,
        encoder.info.max_tokens,
        prompts,
    )


async def _reranker_alone(options: Options, stack: AsyncExitStack) -> Opened:
    from gateway.encoders.local import require_dtype  # noqa: PLC0415

    require_dtype(options.dtype)
    model = options.reranker or ""
    scorer = await _scorer(options, model, stack, device=options.device, dtype=options.dtype)
    engine = PairEngine(scorer.tokenizer)
    return Opened(engine, scorer, model, RERANKER, scorer.dtype, scorer.max_tokens)


async def _scorer(
    options: Options, model: str, stack: AsyncExitStack, *, device: str, dtype: str
) -> "CrossEncoderScorer":
    from gateway.encoders.cross import CrossEncoderScorer  # noqa: PLC0415

    scorer = await CrossEncoderScorer.load(
        model, device=device, dtype=dtype, threads=options.threads
    )
    stack.push_async_callback(scorer.aclose)
    return scorer


def _max_input_length(options: Options, limit: int, *, cut: bool) -> int:
    """An input longer than a batch could never be computed: it is cut earlier, or not promised."""
    if limit <= options.max_batch_tokens or cut:
        return min(limit, options.max_batch_tokens)
    raise ConfigurationError(
        f"--max-batch-tokens {options.max_batch_tokens} is less than the {limit} tokens that the "
        "model reads: raise it, or cut longer texts with --auto-truncate"
    )


def _default_prompt(options: Options, prompts: Prompts | None) -> str | None:
    name = options.default_prompt_name
    if name is None:
        return options.default_prompt
    if options.default_prompt is not None:
        raise ConfigurationError("give --default-prompt or --default-prompt-name, not both")
    if not prompts or name not in prompts:
        known = ", ".join(prompts or ()) or "none"
        raise ConfigurationError(f"--default-prompt-name {name!r}: the model has prompts {known}")
    return prompts[name]


async def _encoder(options: Options) -> tuple[Encoder, Prompts | None]:
    """Open the encoder; adapters are imported only when they are used."""
    if options.encoder == "fake":
        return FakeEncoder(model_id=options.model or _FAKE_ID), GEMMA_CONFIGURED_PROMPTS
    if options.encoder == "minilm":
        from gateway.encoders.minilm import MiniLMEncoder  # noqa: PLC0415

        return await MiniLMEncoder.load(threads=options.threads), None
    from gateway.encoders.local import LocalEncoder, require_dtype  # noqa: PLC0415

    require_dtype(options.dtype)
    if options.model is None:
        raise ConfigurationError(
            "--encoder local needs --model: a folder or a hub id; --reranker alone serves a reranker"
        )
    encoder = await LocalEncoder.load(
        options.model,
        device=options.device,
        dtype=options.dtype,
        threads=options.threads,
        revision=options.revision,
    )
    return encoder, encoder.prompts or None
