"""sentence-transformers in this process: the reference that other encoders are compared with."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gateway.domain.vectors import Matrix
from gateway.embedding.profile import FORBIDDEN_DTYPES
from gateway.encoders._devices import quiet_unless_watched, usual_device, usual_dtype
from gateway.encoders._in_process import InProcessEncoder
from gateway.encoders._modules import Forward, pooled_rows, read_ids, token_states, used_rows
from gateway.encoders._tokens import ExactTokens
from gateway.encoders._weights import require_weights
from gateway.encoders._worker import Worker
from gateway.encoders.defects import Defect, doctored, playable, strikes
from gateway.errors import (
    ConfigurationError,
    MissingExtra,
    UnsupportedDtype,
    UpstreamError,
)
from gateway.ports import EncoderInfo

_BATCH_TOKENS: Final = {"cpu": 2_048}
_BATCH_TOKENS_ON_ACCELERATORS: Final = 32_768
T = TypeVar("T")
_PROBE: Final = "One probe:  it has   spaces, ümläuts and 3 marks!\n"


class _Model(Protocol):
    """The part of `SentenceTransformer` that is used here; its own types are partly unknown."""

    tokenizer: Any
    prompts: Mapping[str, str]
    truncate_dim: int | None
    max_seq_length: int | None
    dtype: object
    device: object

    def encode(
        self,
        inputs: list[str],
        *,
        prompt: str,
        batch_size: int,
        show_progress_bar: bool,
        normalize_embeddings: bool,
    ) -> NDArray[Any]: ...

    def preprocess(self, inputs: list[str], prompt: str) -> Mapping[str, NDArray[Any]]: ...

    def eval(self) -> object: ...

    def get_embedding_dimension(self) -> int | None: ...

    def __iter__(self) -> Iterator[object]: ...


class LocalEncoder(InProcessEncoder):
    """Encodes final strings in one worker thread: no prompt, no cut, the full vector.

    Vectors are what the checkpoint's modules give (unit length when it ends in Normalize), float32
    whatever the model computes in.
    """

    def __init__(
        self, model: _Model, info: EncoderInfo, tokens: ExactTokens, worker: Worker
    ) -> None:
        kind = dict(info.details)["device"].partition(":")[0]
        batch_tokens = _BATCH_TOKENS.get(kind, _BATCH_TOKENS_ON_ACCELERATORS)
        super().__init__(
            info, tokens, worker, forward=self._encode_batch, batch_tokens=batch_tokens
        )
        self._model: Final = model
        self._doctored: Final[dict[tuple[Defect, int], object]] = {}

    @classmethod
    async def load(
        cls,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        threads: int = 1,
        revision: str | None = None,
        weights_sha256: str | None = None,
    ) -> "LocalEncoder":
        """Load a folder or a hub id; `threads` is the intra-op count of torch in this process.

        `device` auto is CUDA or Apple's GPU where there is one; `dtype` auto is bfloat16 on a CUDA
        device that computes in it, float32 elsewhere. A folder must hold the weights of
        `weights_sha256` when that is given.

        Raises:
            UnsupportedDtype: float16, before anything is loaded, or an unknown dtype.
            MissingExtra: sentence-transformers is not installed.
            IntegrityError: the folder holds other weights.
            ConfigurationError: the checkpoint cannot be loaded or its tokens cannot be counted.
        """
        require_dtype(dtype)
        worker = Worker("local")
        try:
            if weights_sha256:
                await worker.run(require_weights, Path(model), weights_sha256)
            parts = await worker.run(
                _load, model, device=device, dtype=dtype, threads=threads, revision=revision
            )
        except BaseException:
            await worker.aclose()
            raise
        return cls(*parts, worker)

    @property
    def modules(self) -> tuple[str, ...]:
        """Kinds of the checkpoint's modules in order: Transformer, Pooling, Dense, ..."""
        return tuple(dict(self.info.details)["modules"].split(","))

    @property
    def prompts(self) -> Mapping[str, str]:
        """Prompts of the checkpoint's config_sentence_transformers.json by name."""
        return {name: text for name, text in self._model.prompts.items() if text}

    @property
    def defects(self) -> frozenset[Defect]:
        """The ways in which the checkpoint can be run wrongly on purpose."""
        return playable(self._model)

    async def pooled(
        self, ids: Sequence[Sequence[int]], *, defect: Defect | None = None, seed: int = 0
    ) -> Matrix:
        """One forward pass over token ids before Normalize, float32; right unless for a `defect`."""
        skip = ("Normalize", "Dense") if defect == "no-dense" else ("Normalize",)
        if defect is None or not strikes(defect, ids):
            return await self._worker.run(self._run, pooled_rows, ids, skip)
        return await self._worker.run(self._run_doctored, ids, skip, defect, seed)

    async def token_states(self, ids: Sequence[Sequence[int]]) -> list[Matrix]:
        """Vectors of every token as the transformer gives them, one matrix per input, float32."""
        return await self._worker.run(self._run, token_states, ids, ())

    async def used(
        self, texts: Sequence[str], prompt_name: str, *, size: int | None = None
    ) -> Matrix:
        """What sentence-transformers gives its own users: its prompt, its cut, unit length."""
        return await self._worker.run(used_rows, self._model, texts, prompt_name, size)

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids that the model itself reads, special tokens included; it cuts over-long texts."""
        return await self._worker.run(read_ids, self._model, texts)

    def _run(self, forward: Forward[T], ids: Sequence[Sequence[int]], skip: Sequence[str]) -> T:
        try:
            return forward(self._model, ids, skip)
        except RuntimeError as exc:
            raise self._failed(len(ids), exc) from exc

    def _run_doctored(
        self, ids: Sequence[Sequence[int]], skip: Sequence[str], defect: Defect, seed: int
    ) -> Matrix:
        """A pass of a copy with a defect, made when it is first asked for and kept."""
        if (defect, seed) not in self._doctored:
            self._doctored[defect, seed] = doctored(self._model, defect, seed)
        return pooled_rows(self._doctored[defect, seed], ids, skip)

    def _failed(self, count: int, exc: RuntimeError) -> UpstreamError:
        return UpstreamError(
            f"model {self.info.model_id!r} failed on a batch of {count}: "
            f"{type(exc).__name__}; see the cause, and the memory of the device",
            service="local",
        )

    def _encode_batch(self, texts: list[str]) -> Matrix:
        """One batch through all modules; an empty prompt keeps a checkpoint's default prompt out."""
        try:
            rows = self._model.encode(
                texts,
                prompt="",
                batch_size=len(texts),
                show_progress_bar=False,
                normalize_embeddings=False,
            )
        except RuntimeError as exc:
            raise self._failed(len(texts), exc) from exc
        return np.asarray(rows, np.float32)


def require_dtype(dtype: str) -> None:
    """Refuse what no model of ours computes in.

    Raises:
        UnsupportedDtype: float16, or an unknown dtype.
    """
    if dtype.lower() in FORBIDDEN_DTYPES:
        raise UnsupportedDtype(
            f"dtype {dtype!r} is refused: EmbeddingGemma's activations overflow half precision "
            "without an error; use float32, bfloat16 or auto",
            field="dtype",
        )
    if dtype not in ("auto", "float32", "bfloat16"):
        raise UnsupportedDtype(f"no dtype {dtype!r}; use float32, bfloat16 or auto", field="dtype")


def _load(
    model: str, *, device: str, dtype: str, threads: int, revision: str | None
) -> tuple[_Model, EncoderInfo, ExactTokens]:
    try:
        import torch  # noqa: PLC0415
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtra("sentence-transformers", "local") from exc
    torch.set_num_threads(threads)
    device = usual_device() if device == "auto" else device
    dtype = usual_dtype(device) if dtype == "auto" else dtype
    try:
        with quiet_unless_watched():
            loaded = cast(
                "_Model",
                SentenceTransformer(
                    model, device=device, revision=revision, model_kwargs={"dtype": dtype}
                ),
            )
    except Exception as exc:
        raise ConfigurationError(
            f"cannot load model {model!r} on {device!r}: {exc}; give a folder with a checkpoint or a "
            "hub id that this machine may download"
        ) from exc
    loaded.truncate_dim = None
    loaded.eval()
    info = _describe(loaded, model)
    tokens = _tokens(loaded, info)
    return loaded, info, tokens


def _describe(loaded: _Model, model: str) -> EncoderInfo:
    size = loaded.get_embedding_dimension()
    limit = loaded.max_seq_length
    if size is None or limit is None:
        raise ConfigurationError(
            f"model {model!r} does not say its vector size or max_seq_length; mend its "
            "sentence_bert_config.json"
        )
    return EncoderInfo(
        kind="local",
        model_id=model,
        size=size,
        max_tokens=limit,
        dtype=str(loaded.dtype).removeprefix("torch."),
        details=(
            ("device", str(loaded.device)),
            ("modules", ",".join(type(module).__name__ for module in loaded)),
            *_files(Path(model)),
        ),
    )


def _files(folder: Path) -> list[tuple[str, str]]:
    """Mark the files of a checkpoint's folder: names, sizes and times of change."""
    if not folder.is_dir():
        return []
    seen = [
        (str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
    return [("files", blake2b(repr(seen).encode(), digest_size=8).hexdigest())]


def _tokens(loaded: _Model, info: EncoderInfo) -> ExactTokens:
    """Return a counter of our own, proved on a probe: the model's tokenizer is not thread-safe."""
    backend = getattr(loaded.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigurationError(
            f"model {info.model_id!r} has no fast tokenizer (tokenizer.json), so its tokens cannot "
            "be counted from several threads; save the checkpoint with one"
        )
    definition = cast("str", backend.to_str())
    tokens = ExactTokens(definition, model_id=info.model_id, max_tokens=info.max_tokens)
    read = loaded.preprocess([_PROBE], prompt="")["input_ids"].shape[-1]
    if tokens.counts([_PROBE]) != [read]:
        raise ConfigurationError(
            f"model {info.model_id!r} reads {read} tokens where its tokenizer.json counts "
            f"{tokens.counts([_PROBE])[0]}; it adds something of its own and cannot be served"
        )
    return tokens
