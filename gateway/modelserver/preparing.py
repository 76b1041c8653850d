"""From an input of a request to what the model reads: prompt, limits, tokens, truncation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.modelserver.batching import Prepared
from gateway.modelserver.contract import CHARS_PER_TOKEN, Contract, empty, invalid
from gateway.modelserver.engines import Engine, Scorer
from gateway.modelserver.faults import Fault
from gateway.modelserver.requests import Input
from gateway.modelserver.tokens import Token, kept, text_of


@dataclass(frozen=True, slots=True)
class Reading:
    """How the inputs of a request are read.

    `left` cuts a long text at its beginning; `dimensions` is the size that is asked for.
    """

    single: bool
    truncate: bool
    left: bool = False
    prompt_name: str | None = None
    dimensions: int | None = None


class Preparer:
    """Applies a server's prompts and limits."""

    def __init__(self, contract: Contract, engine: Engine) -> None:
        self._contract: Final = contract
        self._engine: Final = engine
        self._limit: Final = contract.max_input_length

    async def prepare(
        self, inputs: Sequence[Input], reading: Reading, fault: Fault | None = None
    ) -> list[Prepared]:
        """Return inputs as the model reads them, or misreads them for a `fault`.

        Raises:
            Refusal: empty, too long, or a prompt that there is not.
        """
        if reading.dimensions == 0:
            raise invalid("`dimensions` should be positive")
        if not all(map(len, inputs)):
            raise empty()
        prompt = self._prefix(fault) + self.prompt(reading.prompt_name)
        texts = [self._bounded(await self._text(one, prompt), reading) for one in inputs]
        texts = misread(texts, fault)
        plain = [bool(prompt) or isinstance(one, str) for one in inputs]
        tokens = await self._tokenised(texts, plain)
        if fault is not None and fault.kind == "silent-truncation":
            tokens = [kept(row, self._limit // 2, left=False) for row in tokens]
        return [self._fitted(text, row, reading) for text, row in zip(texts, tokens, strict=True)]

    async def pairs(
        self, scorer: Scorer, query: str, texts: Sequence[str], reading: Reading
    ) -> list[Prepared]:
        """Return pairs of a query and each text; the scorer itself cuts what may be cut."""
        if not query and not all(texts):
            raise empty()
        counts = await scorer.counts([(query, text) for text in texts])
        for count in counts:
            if count > scorer.max_tokens and not reading.truncate:
                raise _too_long(scorer.max_tokens, count)
        return [
            Prepared(query, (0,) * min(count, scorer.max_tokens), text)
            for count, text in zip(counts, texts, strict=True)
        ]

    def prompt(self, name: str | None) -> str:
        """Return the prompt of a name, or the default prompt; a name never adds to the default."""
        if name is None:
            return self._contract.default_prompt or ""
        return require_prompt(self._contract.prompts, name)

    def any_prompt(self) -> str:
        """A prompt that a server could put before texts without being asked."""
        return next(iter((self._contract.prompts or {}).values()), "query: ")

    def _prefix(self, fault: Fault | None) -> str:
        return self.any_prompt() if fault is not None and fault.kind == "hidden-prompt" else ""

    async def _text(self, one: Input, prompt: str) -> str:
        if isinstance(one, str):
            return prompt + one
        return prompt + await self._engine.decode(one, skip_specials=bool(prompt))

    def _bounded(self, text: str, reading: Reading) -> str:
        most = self._limit * CHARS_PER_TOKEN
        if len(text) <= most:
            return text
        if reading.truncate:
            return text[:most]
        raise invalid(
            f"`inputs` must have less than {most} characters. Given: {len(text)}", "tokenization"
        )

    async def _tokenised(self, texts: Sequence[str], plain: Sequence[bool]) -> list[list[Token]]:
        """Tokens of texts; ids that were decoded bring their own special tokens."""
        if all(plain):
            return await self._engine.tokenize(texts, specials=True)
        rows = [
            await self._engine.tokenize([text], specials=specials)
            for text, specials in zip(texts, plain, strict=True)
        ]
        return [row for (row,) in rows]

    def _fitted(self, text: str, tokens: list[Token], reading: Reading) -> Prepared:
        if len(tokens) > self._limit:
            if not reading.truncate:
                raise _too_long(self._limit, len(tokens))
            tokens = kept(tokens, self._limit, left=reading.left)
            text = text_of(text, tokens, left=reading.left)
        return Prepared(text, tuple(token.id for token in tokens))


def misread(texts: list[str], fault: Fault | None) -> list[str]:
    """Texts as a fault reads them: those of other faults stay as they are."""
    if fault is None or fault.kind != "rewrites-whitespace":
        return texts
    return [re.sub(r"\s+", " ", text) for text in texts]


def require_prompt(prompts: Mapping[str, str] | None, name: str) -> str:
    """Return a prompt by name; TEI's texts speak of `default-prompt-name` whoever names it."""
    said = f"`default-prompt-name` is set to `{name}` but"
    if prompts is None:
        raise invalid(
            f"{said} no prompts were found in the Sentence Transformers configuration",
            "tokenization",
        )
    if name not in prompts:
        known = ", ".join(f'"{each}"' for each in prompts)
        raise invalid(
            f"{said} it was not found in the Sentence Transformers prompts. "
            f"Available prompts: [{known}]",
            "tokenization",
        )
    return prompts[name]


def _too_long(limit: int, given: int) -> Exception:
    return invalid(f"`inputs` must have less than {limit} tokens. Given: {given}", "tokenization")
