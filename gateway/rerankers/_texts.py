"""What every reranker refuses, in the same words."""

from collections.abc import Sequence

from gateway.errors import InvalidText


def require_readable(query: str, texts: Sequence[str]) -> None:
    """Refuse what no tokenizer can read: lone surrogates. An empty text has a score like any.

    Raises:
        InvalidText: names the query, or the text by its index.
    """
    _require(query, "the query", "query", None)
    for index, text in enumerate(texts):
        _require(text, f"text {index}", "text", index)


def _require(text: str, name: str, field: str, index: int | None) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidText(
            f"{name} has a lone surrogate at character {exc.start}: mend its encoding",
            index=index,
            field=field,
        ) from exc
