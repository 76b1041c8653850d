"""The one shape in which everything that makes vectors is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.vectors import Matrix


@dataclass(frozen=True, slots=True)
class Ask:
    """A text with its task and title, and the final string that they make."""

    task: str
    text: str
    title: str | None
    rendered: str


@dataclass(frozen=True, slots=True)
class About:
    """What a candidate says of itself: kind, address or folder, model, dtype and further facts.

    `dtype` is "" where it tells none; `unit` says whether its vectors must leave at unit length: those
    of an encoder in this process need not, the gateway restores it.
    """

    kind: str
    where: str
    model_id: str
    dtype: str = ""
    unit: bool = True
    facts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows in the order of the texts, as answered, and the tokens read in all; None: not told."""

    rows: Matrix
    tokens: int | None


class Candidate(Protocol):
    """Makes vectors of texts. Its rows are taken as they come: nothing is checked or mended."""

    @property
    def about(self) -> About: ...

    @property
    def cuts(self) -> bool:
        """Whether it makes shorter vectors itself when asked for a `size`."""
        ...

    async def embed(self, asks: Sequence[Ask], *, size: int | None = None) -> Answered:
        """Vectors of the full size, or of `size`; in one request as far as it takes so many.

        Raises:
            InputTooLong: a text is over its limit.
            GatewayError: it refused, failed, or cannot be reached.
        """
        ...

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]] | None:
        """The ids it reads of final strings; None where it does not tell."""
        ...

    async def aclose(self) -> None: ...
