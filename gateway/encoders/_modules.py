"""Forward passes over token ids through the modules of a sentence-transformers checkpoint."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from gateway.domain.vectors import Matrix

T_co = TypeVar("T_co", covariant=True)


class Forward(Protocol[T_co]):
    """A pass over one batch; `skip` names the kinds of modules that are left out."""

    def __call__(
        self, model: Any, ids: Sequence[Sequence[int]], skip: Sequence[str], /
    ) -> T_co: ...


def pooled_rows(model: Any, ids: Sequence[Sequence[int]], skip: Sequence[str]) -> Matrix:
    """Rows of a batch, shape (n, size), float32 whatever the model computes in."""
    modules = [module for module in model if type(module).__name__ not in skip]
    rows = _run(modules, model, ids)["sentence_embedding"]
    return cast("Matrix", rows.float().cpu().numpy())


def token_states(model: Any, ids: Sequence[Sequence[int]], _skip: Sequence[str]) -> list[Matrix]:
    """What the first module, the transformer, gives for each token; padding left out."""
    states = _run([model[0]], model, ids)["token_embeddings"].float().cpu().numpy()
    return [states[row, : len(one)] for row, one in enumerate(ids)]


def used_rows(model: Any, texts: Sequence[str], prompt_name: str, size: int | None) -> Matrix:
    """What sentence-transformers gives its own users: its prompt, its cut, unit length.

    `query` and `document` go through `encode_query` and `encode_document`, other names through
    `encode(prompt_name=)`; each text is encoded alone.
    """
    ways = {"query": model.encode_query, "document": model.encode_document}
    encode = ways.get(prompt_name) or partial(model.encode, prompt_name=prompt_name)
    rows = encode(
        list(texts),
        batch_size=1,
        truncate_dim=size,
        normalize_embeddings=True,
        show_progress_bar=False,
    )
    return np.asarray(rows, np.float32)


def read_ids(model: Any, texts: Sequence[str]) -> list[list[int]]:
    """The token ids that the model itself reads, special tokens included, without a prompt."""
    return [model.preprocess([text], prompt="")["input_ids"][0].tolist() for text in texts]


def _run(modules: Sequence[Any], model: Any, ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    import torch  # noqa: PLC0415

    padding = model.tokenizer.pad_token_id or 0
    longest = max(map(len, ids))
    padded = [[*one, *[padding] * (longest - len(one))] for one in ids]
    mask = [[1] * len(one) + [0] * (longest - len(one)) for one in ids]
    features: dict[str, Any] = {
        "input_ids": torch.tensor(padded, dtype=torch.long, device=model.device),
        "attention_mask": torch.tensor(mask, dtype=torch.long, device=model.device),
    }
    with torch.inference_mode():
        for module in modules:
            features = module(features)
    return features
