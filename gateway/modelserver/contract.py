"""TEI's contract as data: what one server is, which statuses its version gives, which texts it says.

Source: text-embeddings-inference router/src/http/server.rs, router/src/lib.rs and
core/src/tokenization.rs at 1.8.1 to 1.9.3. Texts of errors are the server's own, to the letter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

ErrorType: TypeAlias = Literal[
    "Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"
]
FailureCause: TypeAlias = Literal[
    "overloaded",
    "validation",
    "batch_size",
    "tokenization",
    "inference",
    "dropped",
    "model_type",
    "missing_values",
]
"""The label `err` of `te_request_failure`."""

RELEASES: Final = {"1.8": "1.8.3", "1.9": "1.9.3"}
CHARS_PER_TOKEN: Final = 250
"""TEI refuses more characters than this times `max_input_length` before it tokenises."""
EMBEDDING: Final = {"embedding": {"pooling": "mean"}}
RERANKER: Final = {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
"""A cross-encoder with one score. TEI serves one kind of model; the model server may have both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One server as `/info` describes it, and the secrets, prompts and limits it does not tell."""

    version: str = "1.9.3"
    model_id: str = "google/embeddinggemma-300m"
    model_sha: str | None = None
    model_dtype: str = "float32"
    model_type: Mapping[str, Any] = field(default_factory=lambda: EMBEDDING)
    served_model_name: str | None = None
    max_client_batch_size: int = 32
    max_concurrent_requests: int = 512
    max_input_length: int = 2048
    max_batch_tokens: int = 16384
    max_batch_requests: int | None = None
    auto_truncate: bool = False
    api_key: str | None = None
    payload_limit: int = 2_000_000
    prompts: Mapping[str, str] | None = None
    default_prompt: str | None = None

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    @property
    def from_1_9(self) -> bool:
        """Whether the contract of 1.9.0 holds: 422 for validation, no batch waits for permits."""
        return self.release >= (1, 9, 0)

    @property
    def openai_name(self) -> str:
        """What OpenAI's answers call the model."""
        return self.served_model_name if self.served_model_name and self.from_1_9 else self.model_id

    def info(self) -> dict[str, Any]:
        """The body of `/info`."""
        named = {"served_model_name": self.served_model_name or self.model_id}
        return (named if self.from_1_9 else {}) | {
            "model_id": self.model_id,
            "model_sha": self.model_sha,
            "model_dtype": self.model_dtype,
            "model_type": self.model_type,
            "max_concurrent_requests": self.max_concurrent_requests,
            "max_input_length": self.max_input_length,
            "max_batch_tokens": self.max_batch_tokens,
            "max_batch_requests": self.max_batch_requests,
            "max_client_batch_size": self.max_client_batch_size,
            "auto_truncate": self.auto_truncate,
            "tokenization_workers": 1,
            "version": self.version,
            "sha": None,
            "docker_label": None,
        }

    def status(self, error_type: ErrorType) -> int:
        """HTTP status of an error type: the versions disagree on two of them."""
        if error_type == "Validation":
            return 422 if self.from_1_9 else 413
        if error_type == "Empty":
            return 400 if self.release >= (1, 8, 3) else 413
        return {"Unhealthy": 503, "Backend": 424, "Overloaded": 429, "Tokenizer": 422}[error_type]

    def truncation_directions(self) -> tuple[str, ...]:
        """Spellings that a request may use; lower case came with 1.9.0."""
        return ("Left", "Right", "left", "right") if self.from_1_9 else ("Left", "Right")


class Refusal(Exception):
    """TEI's error enum: one of six types, a text, and the cause that its metrics count."""

    def __init__(
        self, error_type: ErrorType, text: str, cause: FailureCause = "validation"
    ) -> None:
        super().__init__(text)
        self.error_type: ErrorType = error_type
        self.cause: FailureCause = cause


def invalid(text: str, cause: FailureCause = "validation") -> Refusal:
    return Refusal("Validation", f"Input validation error: {text}", cause)


def empty(name: str = "inputs") -> Refusal:
    return Refusal("Empty", f"Input validation error: `{name}` cannot be empty", "tokenization")


def backend(text: str, cause: FailureCause = "inference") -> Refusal:
    return Refusal("Backend", f"Backend error: {text}", cause)
