"""Inputs of an embedding: a text, perhaps a title, and what is not text at all."""

from dataclasses import dataclass

from gateway.errors import InvalidText


@dataclass(frozen=True, slots=True)
class Input:
    """A text to embed, with the title of the document it comes from, both kept as they are."""

    text: str
    title: str | None = None


def require_text(text: str, *, index: int | None = None, field: str = "text") -> str:
    """Return a text that any tokenizer and store can take, or raise `InvalidText`.

    Empty and blank texts, NUL characters and lone surrogates are refused; nothing is rewritten.
    """
    where = "the input" if index is None else f"input {index}"
    if not text.strip():
        what = "blank (only white space)" if text else "empty"
        left_out = "the title" if field == "title" else "the input"
        raise InvalidText(
            f"{field} of {where} is {what}; send a {field} or leave {left_out} out",
            index=index,
            field=field,
        )
    if "\x00" in text:
        raise InvalidText(
            f"{field} of {where} contains a NUL character; remove it", index=index, field=field
        )
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidText(
            f"{field} of {where} has a lone surrogate at character {exc.start}; it is not Unicode "
            "text: mend its encoding",
            index=index,
            field=field,
        ) from exc
    return text
