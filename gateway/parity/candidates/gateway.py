"""A whole gateway over HTTP: prompts, encoder, cut and all that lies between."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pybase64

from gateway.domain.vectors import Matrix
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    GatewayError,
    InputTooLong,
    UpstreamOverloaded,
    UpstreamRejected,
)
from gateway.events import discard
from gateway.parity.candidates.base import About, Answered, Ask
from gateway.tei.line import Limits, Line, Speaks
from gateway.tei.refusals import BrokenAnswer, unavailable

SERVICE: Final = "gateway"


class _Encoder(msgspec.Struct):
    kind: str
    dtype: str


class _Info(msgspec.Struct):
    version: str
    profile: str
    model_id: str
    space: str
    sizes: list[int]
    max_inputs: int
    encoder: _Encoder


class _Vectors(msgspec.Struct):
    vectors: list[str]
    tokens: int


class _Problem(msgspec.Struct):
    type: str = ""
    detail: str = ""


class GatewayCandidate:
    """Made by `connect`."""

    cuts = True

    def __init__(self, line: Line, info: _Info) -> None:
        self._line: Final = line
        self._info: Final = info

    @classmethod
    async def connect(
        cls, url: str, *, profile: str, api_key: str | None = None, timeout_seconds: float = 120.0
    ) -> "GatewayCandidate":
        """Reach a gateway that must serve the profile of that name.

        Raises:
            ConfigurationError: a malformed address, a wrong key, or another profile.
            UpstreamError: it cannot be reached, or is no gateway.
        """
        limits = Limits(timeout_seconds=timeout_seconds, read_timeout_seconds=timeout_seconds)
        line = Line(url, api_key, limits, discard, speaks=Speaks(SERVICE, "gateway", refusal))
        try:
            info = _decode((await line.call("info", "/info")).body, _Info)
            _require_profile(line.where, info.profile, profile)
        except BaseException:
            await line.aclose()
            raise
        return cls(line, info)

    @property
    def about(self) -> About:
        info = self._info
        facts = {"version": info.version, "space": info.space, "encoder": info.encoder.kind}
        return About("gateway", self._line.where, info.model_id, info.encoder.dtype, facts=facts)

    async def embed(self, asks: Sequence[Ask], *, size: int | None = None) -> Answered:
        """Ask once per task: a request of the gateway is of one."""
        size = max(self._info.sizes) if size is None else size
        rows = np.empty((len(asks), size), np.float32)
        tokens = 0
        for task in dict.fromkeys(ask.task for ask in asks):
            at = [index for index, ask in enumerate(asks) if ask.task == task]
            for part in (at[i : i + self._most] for i in range(0, len(at), self._most)):
                rows[part], read = await self._embed(task, [asks[i] for i in part], size)
                tokens += read
        return Answered(rows, tokens)

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]] | None:  # noqa: ARG002
        return None

    async def aclose(self) -> None:
        await self._line.aclose()

    @property
    def _most(self) -> int:
        return max(1, self._info.max_inputs)

    async def _embed(self, task: str, asks: Sequence[Ask], size: int) -> tuple[Matrix, int]:
        body = {
            "task": task,
            "inputs": [{"text": ask.text, "title": ask.title} for ask in asks],
            "size": size,
            "encoding_format": "base64",
            "allow_prompted": True,
        }
        answer = await self._line.call("embed", "/api/v1/embed", msgspec.json.encode(body))
        found = _decode(answer.body, _Vectors)
        flat = [np.frombuffer(pybase64.b64decode(row), "<f4") for row in found.vectors]
        if len(flat) != len(asks) or any(row.shape != (size,) for row in flat):
            raise BrokenAnswer(
                f"the gateway at {self._line.where} answered {len(flat)} vectors or other sizes for "
                f"{len(asks)} texts at size {size}",
                service=SERVICE,
            )
        return np.stack(flat).astype(np.float32), found.tokens


def _require_profile(where: str, found: str, expected: str) -> None:
    if found != expected:
        raise ConfigurationError(
            f"the gateway at {where} serves profile {found!r}, the reference is of {expected!r}: "
            "set the profile to compare with"
        )


def _decode(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as exc:
        raise UpstreamRejected(
            f"the answer is not a gateway's ({exc}): is there one at that address?", service=SERVICE
        ) from exc


def refusal(where: str, status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:  # noqa: ARG001
    """Return our error for a problem of the gateway, by the last part of its type."""
    try:
        told = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:
        told = _Problem()
    said = f"the gateway at {where} answered status {status}: {told.detail or 'no reason given'}"
    slug = told.type.rpartition(":")[2]
    if slug == InputTooLong.slug:
        return InputTooLong(said, field="text")
    if slug == DegenerateVector.slug:
        return DegenerateVector(said)
    if status in {401, 403}:
        return ConfigurationError(f"{said}; give its key")
    if slug == UpstreamOverloaded.slug:
        return UpstreamOverloaded(said, service=SERVICE)
    if status >= 500:
        return unavailable(said, SERVICE)
    return UpstreamRejected(said, service=SERVICE)
