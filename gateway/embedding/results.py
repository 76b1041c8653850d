"""What an embedding gives back: vectors, what was cut, what was refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.vectors import Matrix
from gateway.errors import GatewayError


@dataclass(frozen=True, slots=True)
class Truncation:
    """An input that was cut: the tokens read of it, prompt included, and the tokens lost at its end."""

    index: int
    tokens: int
    lost: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Unit float32 vectors, shape (n, size), in the order of the inputs, and the tokens read.

    `refused` maps the index of each input without a vector to the reason, and its row of `rows` is
    NaN; it is empty unless a partial answer was asked for. `truncated` names what was cut.
    """

    rows: Matrix
    tokens: int
    refused: Mapping[int, GatewayError] = field(default_factory=dict[int, GatewayError])
    truncated: tuple[Truncation, ...] = ()

    @property
    def vectors(self) -> Matrix:
        """All rows; raises the error of the first refused input when there is one."""
        if self.refused:
            raise self.refused[min(self.refused)]
        return self.rows
