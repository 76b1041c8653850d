"""The JSON of health and self-description."""

from typing import Literal

from pydantic import Field

from gateway.schemas.base import Reply


class Liveness(Reply):
    status: Literal["alive"] = "alive"


class DependencyHealth(Reply):
    name: str
    ok: bool
    detail: str


class Readiness(Reply):
    """`checks` holds the failing dependencies, or all of them with `?verbose`.

    It is left out for callers without a key where keys are set.
    """

    status: Literal["ready", "not ready"]
    checks: list[DependencyHealth] | None = None


class EncoderFacts(Reply):
    kind: str
    model_id: str
    dtype: str
    details: dict[str, str]


class RerankerFacts(Reply):
    kind: str
    model_id: str
    raw: bool = Field(description="Scores are the model's own numbers, not probabilities")


class Info(Reply):
    """What this gateway serves."""

    version: str
    profile: str
    model_id: str
    space: str = Field(description="Fingerprint of the vector space")
    sizes: list[int] = Field(description="Trained sizes, full size first")
    default_size: int
    max_tokens: int
    tasks: list[str]
    languages: list[str] = Field(description="ISO 639-1 codes; empty: many")
    language_note: str | None
    encoder: EncoderFacts
    store: str
    reranker: RerankerFacts | None = Field(description="Null where none is configured")
    max_inputs: int
    max_body_bytes: int
