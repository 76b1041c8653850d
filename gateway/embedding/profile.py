"""Facts about a model as frozen data. Adding a model adds a value, never an `if`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType

from gateway.embedding.fingerprint import fingerprint
from gateway.errors import (
    ConfigurationError,
    DoublePrompt,
    InvalidRequest,
    UnknownTask,
    UnsupportedDtype,
    UnsupportedSize,
)

FORBIDDEN_DTYPES = frozenset({"float16", "fp16", "f16", "half"})
"""Refused for every model: EmbeddingGemma's activations overflow float16 (model card)."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Task(StrEnum):
    """What an embedding is for. A profile maps each to a prompt."""

    QUERY = "query"
    DOCUMENT = "document"
    QUESTION_ANSWERING = "question_answering"
    FACT_CHECKING = "fact_checking"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"
    SIMILARITY = "similarity"
    CODE_RETRIEVAL = "code_retrieval"
    SUMMARIZATION = "summarization"


@dataclass(frozen=True, slots=True)
class TitleRule:
    """How a titled document is written: `before + title + after + text`.

    `separator` is what neither a title may contain nor a text may imitate: with it inside, the model
    could not tell where the title ends. None for models without such a mark.
    """

    before: str
    after: str
    separator: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A figure of the model card: mean over tasks of `benchmark` at vector `size`."""

    benchmark: str
    size: int
    score: float


@dataclass(frozen=True, slots=True)
class Golden:
    """A worked example of the model card: cosine of the query to each document at `size`."""

    query_task: str
    query: str
    document_task: str
    documents: tuple[str, ...]
    size: int
    similarities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One model. `sizes` starts with the full size, then the trained Matryoshka prefixes.

    `prompts` maps every task and every prompt name of the model's own configuration to the exact
    string put before a text. `refused_encoders` maps an encoder kind to the reason why it cannot
    serve this model. `languages` are ISO 639-1 codes; empty means many. `weights_sha256` is the digest
    of the weights' files (`encoders._weights`) where it is known. `window` is how many tokens a sliding
    window spans, 0 where there is none: texts up to it are read alike by every layer.
    """

    name: str
    model_id: str
    revision: str | None
    licence: str
    sizes: tuple[int, ...]
    default_size: int
    max_tokens: int
    dtypes: tuple[str, ...]
    pooling: str
    heads: tuple[str, ...] = ()
    window: int = 0
    prompts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    title_rule: TitleRule | None = None
    aliases: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    published: tuple[PublishedScore, ...] = ()
    goldens: tuple[Golden, ...] = ()
    refused_encoders: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        if not self.sizes or self.sizes[0] != max(self.sizes) or min(self.sizes) < 1:
            raise ConfigurationError(f"profile {self.name!r}: sizes must start with the full size")
        if self.max_tokens < 1:
            raise ConfigurationError(f"profile {self.name!r}: max_tokens must be positive")
        if self.default_size not in self.sizes:
            raise ConfigurationError(
                f"profile {self.name!r}: default_size must be one of its sizes"
            )
        if self.weights_sha256 is not None and not _SHA256.fullmatch(self.weights_sha256):
            raise ConfigurationError(
                f"profile {self.name!r}: weights_sha256 must be 64 lower-case hex digits"
            )
        for dtype in self.dtypes:
            self._require_not_half(dtype)

    @property
    def full_size(self) -> int:
        return self.sizes[0]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks this profile has a prompt for, in the order of `Task`."""
        return tuple(task.value for task in Task if task.value in self.prompts)

    def prompt(self, task: str) -> str:
        """Return the exact string put before a text for a task or a configured prompt name.

        Raises:
            UnknownTask: the profile has none by that name.
        """
        try:
            return self.prompts[task]
        except KeyError:
            close = get_close_matches(task, self.prompts, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UnknownTask(
                f"model {self.name!r} has no task {task!r}{hint} (tasks: {', '.join(self.tasks)})",
                field="task",
            ) from None

    def is_document(self, task: str) -> bool:
        """Tell whether a task uses the document prompt, and so may carry a title."""
        return self.prompt(task) == self.prompts.get(Task.DOCUMENT) and task.lower().endswith(
            Task.DOCUMENT.value
        )

    def render(self, task: str, text: str, title: str | None = None) -> str:
        """Return the final string the model reads. Title and text are passed as they are.

        Raises:
            UnknownTask: no such task.
            InvalidRequest: a title for a task that is not the document's.
        """
        prompt = self.prompt(task)
        if title is None:
            return prompt + text
        if not self.is_document(task):
            raise InvalidRequest(f"task {task!r} takes no title; only documents do", field="title")
        if self.title_rule is None:
            raise InvalidRequest(f"model {self.name!r} takes no titles", field="title")
        return self.title_rule.before + title + self.title_rule.after + text

    def refuse_prompted(self, text: str, title: str | None, *, index: int | None = None) -> None:
        """Refuse what would be prompted twice: a known prompt before the text, a mark in the title.

        Raises:
            DoublePrompt: with what was found and the remedy; `field` is `text` or `title`.
        """
        for prompt in set(self.prompts.values()):
            if prompt and text.startswith(prompt):
                self._refuse(f"the text already begins with the prompt {prompt!r}", index)
        rule = self.title_rule
        if rule is None or rule.separator is None:
            return
        if text.startswith(rule.before) and rule.separator in text:
            self._refuse("the text already has the form of a titled document", index)
        if title is not None and rule.separator in (title + rule.after)[:-1]:
            self._refuse(f"the title contains the mark {rule.separator!r}", index, field="title")

    def require_size(self, size: int, *, field: str = "size") -> int:
        """Return a trained size or raise `UnsupportedSize`, which names `field` as what is wrong."""
        if size not in self.sizes:
            where = "" if field == "size" else f"{field}: "
            raise UnsupportedSize(
                f"{where}model {self.name!r} has no size {size}; it was trained for "
                f"{', '.join(map(str, self.sizes))}",
                field=field,
            )
        return size

    def require_dtype(self, dtype: str) -> str:
        """Return an allowed dtype or raise `UnsupportedDtype`; float16 never is one."""
        self._require_not_half(dtype)
        if dtype not in self.dtypes:
            raise UnsupportedDtype(
                f"model {self.name!r} does not run in {dtype!r}; use {' or '.join(self.dtypes)}",
                field="dtype",
            )
        return dtype

    def require_encoder(self, kind: str) -> str:
        """Return an encoder kind that can serve the model or raise `ConfigurationError`."""
        if kind in self.refused_encoders:
            raise ConfigurationError(
                f"model {self.name!r} cannot be served by {kind!r}: {self.refused_encoders[kind]}"
            )
        return kind

    def fingerprint(self, variant: str = "", quantization: str = "") -> str:
        """Name the vector space: `model:digest`, stable across releases (`embedding.fingerprint`).

        `variant` marks made-up vectors, `quantization` the kind of quantised weights.
        """
        return fingerprint(self, variant=variant, quantization=quantization)

    def _require_not_half(self, dtype: str) -> None:
        if dtype.lower() in FORBIDDEN_DTYPES:
            raise UnsupportedDtype(
                f"model {self.name!r} must not run in {dtype!r}: its activations overflow half "
                "precision without an error; use float32 or bfloat16",
                field="dtype",
            )

    def _refuse(self, what: str, index: int | None, *, field: str = "text") -> None:
        raise DoublePrompt(
            f"{what}; send the bare {field} (prompts are added here), or say that it is meant "
            "(allow_prompted)",
            index=index,
            field=field,
        )
