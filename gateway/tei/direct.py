"""A TEI server asked as it is, believed or not: for looking at one that may be ill."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from gateway.domain.vectors import Matrix
from gateway.events import discard
from gateway.tei.line import Limits, Line
from gateway.tei.refusals import SERVICE, BrokenAnswer
from gateway.tei.wire import (
    Info,
    decode_info,
    decode_native,
    decode_openai,
    decode_tokens,
    native_body,
    text_json,
    tokenize_body,
)

_to_json: Final = msgspec.json.Encoder().encode
_read_states: Final = msgspec.json.Decoder(list[list[list[float | None]]]).decode


class DirectServer:
    """One server; every call is a single attempt, and what it answers is only decoded."""

    def __init__(
        self, url: str, *, api_key: str | None, limits: Limits, address: str | None = None
    ) -> None:
        """Prepare a line; `address` pins the host of the URL to one IP address.

        Raises:
            ConfigurationError: the URL is not an http(s) one.
        """
        self._line: Final = Line(url, api_key, limits, discard, address=address)
        self._info: Info | None = None

    @property
    def where(self) -> str:
        return self._line.where

    async def info(self) -> Info:
        """`/info`, asked once."""
        if self._info is None:
            self._info = decode_info((await self._line.call("info", "/info")).body)
        return self._info

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """`/tokenize`, special tokens included."""
        body = tokenize_body(_json(texts), add_special_tokens=True)
        answer = await self._line.call("tokenize", "/tokenize", body)
        return [[token.id for token in row] for row in decode_tokens(answer.body, len(texts))]

    async def embed(self, texts: Sequence[str], size: int | None = None) -> tuple[Matrix, int]:
        """`/v1/embeddings`, bit for bit, and the tokens read; `size` asks the server to cut."""
        asked: dict[str, Any] = {"input": list(texts), "encoding_format": "base64"}
        if size is not None:
            asked["dimensions"] = size
        answer = await self._line.call("embed", "/v1/embeddings", _to_json(asked))
        return decode_openai(answer.body, len(texts))

    async def embed_native(self, texts: Sequence[str]) -> Matrix:
        """`/embed`; `null` becomes NaN."""
        answer = await self._line.call("embed", "/embed", native_body(_json(texts)))
        return decode_native(answer.body, len(texts), answer.headers)[0]

    async def states(self, text: str) -> Matrix:
        """`/embed_all`: a vector for each token as the transformer gives it, before any pooling."""
        body = b'{"inputs":[' + text_json(text, 0) + b'],"truncate":false}'
        answer = await self._line.call("embed_all", "/embed_all", body)
        try:
            (rows,) = _read_states(answer.body)
            return np.array(rows, np.float32)
        except (msgspec.DecodeError, ValueError) as exc:
            raise BrokenAnswer(
                f"TEI at {self.where} answered /embed_all with something else: {exc}",
                service=SERVICE,
            ) from exc

    async def date(self) -> str | None:
        """The `Date` header of an answer, None where there is none."""
        return (await self._line.call("info", "/info")).headers.get("date")

    async def aclose(self) -> None:
        await self._line.aclose()


def _json(texts: Sequence[str]) -> list[bytes]:
    return [text_json(text, index) for index, text in enumerate(texts)]
