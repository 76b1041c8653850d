"""A sentence-transformers cross-encoder in this process: scores of pairs of texts."""

from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from gateway.encoders._tokens import ExactTokens
from gateway.encoders._worker import Worker
from gateway.errors import ConfigurationError, MissingExtra, UpstreamError


class _CrossEncoder(Protocol):
    """The part of `CrossEncoder` that is used here."""

    tokenizer: Any
    num_labels: int
    max_seq_length: int | None

    def predict(
        self,
        inputs: list[tuple[str, str]],
        *,
        prompt: str,
        batch_size: int,
        show_progress_bar: bool,
        activation_fn: Any,
    ) -> NDArray[Any]: ...


class CrossEncoderScorer:
    """Scores pairs in one worker thread: raw logits, no sigmoid."""

    def __init__(
        self, model: _CrossEncoder, tokens: ExactTokens, max_tokens: int, worker: Worker
    ) -> None:
        self.max_tokens: Final = max_tokens
        self._model: Final = model
        self._tokens: Final = tokens
        self._worker: Final = worker

    @classmethod
    async def load(
        cls, model: str, *, device: str = "cpu", dtype: str = "float32", threads: int = 1
    ) -> "CrossEncoderScorer":
        """Load a folder or a hub id.

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

    async def counts(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Tokens of each pair, special tokens included, uncut."""
        encode = self._tokens.tokenizer.encode_batch
        return [len(one) for one in await self._worker.run(encode, list(pairs))]

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """One forward pass; a pair over `max_tokens` is cut, the longer text first."""
        return await self._worker.run(self._predict, list(pairs))

    async def aclose(self) -> None:
        await self._worker.aclose()

    def _predict(self, pairs: list[tuple[str, str]]) -> NDArray[np.float32]:
        import torch  # noqa: PLC0415

        try:
            scores = self._model.predict(
                pairs,
                prompt="",
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
    try:
        loaded = cast(
            "_CrossEncoder", CrossEncoder(model, device=device, model_kwargs={"dtype": dtype})
        )
    except Exception as exc:
        raise ConfigurationError(
            f"cannot load reranker {model!r} on {device!r}: {exc}; give a folder with a checkpoint"
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
