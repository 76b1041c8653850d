"""A sentence-transformers cross-encoder in this process: scores of pairs of texts."""

from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gateway.encoders._devices import quiet_unless_watched, usual_device, usual_dtype
from gateway.encoders._tokens import ExactTokens, batches
from gateway.encoders._worker import Worker
from gateway.errors import ConfigurationError, MissingExtra, UpstreamError

_BATCH_TOKENS: Final = {"cpu": 4_096}
_BATCH_TOKENS_ON_ACCELERATORS: Final = 32_768


class _CrossEncoder(Protocol):
    """The part of `CrossEncoder` that is used here."""

    tokenizer: Any
    num_labels: int
    max_seq_length: int | None
    device: object
    dtype: object

    def predict(
        self,
        inputs: list[tuple[str, str]],
        *,
        batch_size: int,
        show_progress_bar: bool,
        activation_fn: Any,
    ) -> NDArray[Any]: ...


class CrossEncoderScorer:
    """Scores pairs in one worker thread: raw logits, no sigmoid.

    A pair over `max_tokens` is cut, the longer text first. Where the checkpoint has a prompt of its
    own, as rerankers over decoders do, it is put before the query.
    """

    def __init__(self, model: _CrossEncoder, tokens: ExactTokens, max_tokens: int, worker: Worker):
        self.max_tokens: Final = max_tokens
        self.dtype: Final = str(model.dtype).removeprefix("torch.")
        self._model: Final = model
        self._tokens: Final = tokens
        self._worker: Final = worker
        kind = str(model.device).partition(":")[0]
        self._batch_tokens: Final = _BATCH_TOKENS.get(kind, _BATCH_TOKENS_ON_ACCELERATORS)

    @classmethod
    async def load(
        cls, model: str, *, device: str = "cpu", dtype: str = "float32", threads: int = 1
    ) -> "CrossEncoderScorer":
        """Load a folder or a hub id; `device` and `dtype` auto are as `LocalEncoder.load` has them.

        Raises:
            MissingExtra: sentence-transformers is not installed.
            ConfigurationError: it cannot be loaded, or it gives more than one score.
        """
        worker = Worker("reranker")
        try:
            return cls(*await worker.run(_load, model, device, dtype, threads), worker)
        except BaseException:
            await worker.aclose()
            raise

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which neither cuts nor pads; it must not be changed."""
        return self._tokens.tokenizer

    @property
    def closed(self) -> bool:
        return self._worker.closed

    async def counts(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Tokens of each pair, special tokens included, uncut."""
        encode = self._tokens.tokenizer.encode_batch
        return [len(one) for one in await self._worker.run(encode, list(pairs))]

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """One forward pass, whatever its size."""
        return await self._worker.run(self._predict, list(pairs))

    async def scores_of_all(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Passes of bounded size over pairs of like length; other calls have turns between two."""
        counts = [min(count, self.max_tokens) for count in await self.counts(pairs)]
        found = np.empty(len(pairs), np.float32)
        for batch in batches(counts, padded_tokens=self._batch_tokens):
            found[batch] = await self.scores([pairs[place] for place in batch])
        return found

    async def aclose(self) -> None:
        await self._worker.aclose()

    def _predict(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        import torch  # noqa: PLC0415

        try:
            scores = self._model.predict(
                pairs,
                batch_size=len(pairs),
                show_progress_bar=False,
                activation_fn=torch.nn.Identity(),
            )
        except RuntimeError as exc:
            raise UpstreamError(
                f"the reranker failed on a batch of {len(pairs)}: {type(exc).__name__}",
                service="reranker",
            ) from exc
        return np.asarray(scores, np.float32).reshape(len(pairs))


def _load(
    model: str, device: str, dtype: str, threads: int
) -> tuple[_CrossEncoder, ExactTokens, int]:
    try:
        import torch  # noqa: PLC0415
        from sentence_transformers import CrossEncoder  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtra("sentence-transformers", "local") from exc
    torch.set_num_threads(threads)
    device = usual_device() if device == "auto" else device
    dtype = usual_dtype(device) if dtype == "auto" else dtype
    try:
        with quiet_unless_watched():
            loaded = cast(
                "_CrossEncoder", CrossEncoder(model, device=device, model_kwargs={"dtype": dtype})
            )
    except Exception as exc:
        raise ConfigurationError(
            f"cannot load reranker {model!r} on {device!r}: {exc}; give a folder with a checkpoint or "
            "a hub id that this machine may download"
        ) from exc
    backend = getattr(loaded.tokenizer, "backend_tokenizer", None)
    if loaded.num_labels != 1 or loaded.max_seq_length is None or backend is None:
        raise ConfigurationError(
            f"reranker {model!r} must give one score, say its longest input and have a "
            "tokenizer.json; it gives "
            f"{loaded.num_labels} scores and reads {loaded.max_seq_length} tokens"
        )
    limit = loaded.max_seq_length
    tokens = ExactTokens(cast("str", backend.to_str()), model_id=model, max_tokens=limit)
    return loaded, tokens, limit
