"""What each route reads and answers, said once beside its handler and shown in the API reference."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

REFS: Final = "#/components/schemas/{model}"
SPACE_HEADER: Final = "x-gateway-space"
"""Header that names the space of the vectors at hand; of a space mismatch, the one served here."""
DOC: Final = "operation"
"""Key of an `Operation` in a handler's `opt`."""


@dataclass(frozen=True, slots=True)
class Content:
    """A body of some media type: a model, or a JSON Schema; both None: bytes or text.

    `refers` are models that the schema points to by `ref`.
    """

    media_type: str = "application/json"
    model: type[BaseModel] | None = None
    schema: Mapping[str, Any] | None = None
    refers: tuple[type[BaseModel], ...] = ()

    @property
    def models(self) -> tuple[type[BaseModel], ...]:
        return self.refers if self.model is None else (self.model, *self.refers)


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `errors` are the statuses beyond 401 and 500 that its callers should expect.

    `replies` maps statuses to what is answered; an empty tuple is an answer without a body.
    """

    id: str
    replies: Mapping[int, tuple[Content, ...]]
    body: tuple[Content, ...] = ()
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    errors: tuple[int, ...] = ()
    space_header: bool = False


def ref(model: type[BaseModel]) -> dict[str, str]:
    """Point to a model in a JSON Schema."""
    return {"$ref": REFS.format(model=model.__name__)}


def reply(model: type[BaseModel], status: int = 200) -> dict[int, tuple[Content, ...]]:
    """One JSON answer."""
    return {status: (Content(model=model),)}


def body(model: type[BaseModel]) -> tuple[Content, ...]:
    """One JSON body."""
    return (Content(model=model),)
