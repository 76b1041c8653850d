"""Every error that leaves the gateway's own code.

GatewayError
├── InvalidRequest            the caller can mend it; carries `field` and `index`
│   ├── InvalidText           not text that can be embedded (lone surrogate, NUL, blank)
│   ├── InputTooLong          more tokens than the model reads
│   ├── TooManyInputs         more items than one request may hold
│   ├── DoublePrompt          the text already carries a prompt of the model
│   ├── UnknownTask           the profile has no prompt for it
│   ├── UnknownModel          no such profile or alias
│   ├── TaskRequired          a bare model name: query or document is never guessed
│   ├── TokenIdsRefused       ids of another tokenizer mean other words here
│   ├── UnsupportedSize       not a trained Matryoshka size of the profile
│   ├── UnsupportedDtype      float16, or a dtype the profile does not allow
│   ├── InvalidFilter         a filter that cannot be evaluated
│   ├── InvalidName           a collection or field name that no store can hold
│   ├── PayloadTooLarge       a body over the limit
│   ├── MalformedJSON         a body that is no JSON at all
│   ├── UnsupportedMediaType  a body of another content type
│   ├── RequestTimeout        a body that stopped coming
│   ├── InvalidDocument       a document that cannot be read
│   ├── InvalidGoldenSet      judged queries that measure nothing, or not this corpus
│   ├── UnusableBaseline      an earlier evaluation that cannot be compared with this one
│   └── NothingIngested       every document of a request failed
├── Unauthorized              no key, or a wrong one
├── NotFound
│   ├── CollectionNotFound
│   └── DocumentNotFound
├── Conflict                  the request is well formed, the stored state forbids it
│   ├── SpaceMismatch         vectors of another fingerprint
│   └── CollectionMismatch    the collection exists with another size or schema
├── ConfigurationError        an operator must mend it; the CLI exits with 2
│   ├── MissingExtra          an optional dependency is not installed
│   ├── IntegrityError        a pinned file has other bytes
│   ├── UnsupportedServer     a TEI or Qdrant that would answer wrongly
│   └── StoreLocked           another process holds the embedded store
├── UpstreamError             a service or engine behind the gateway; carries `service`
│   ├── UpstreamOverloaded    it is full: try again later
│   ├── UpstreamUnavailable   it is down, or died in mid-call
│   ├── UpstreamTimeout       it did not answer in time
│   ├── UpstreamRejected      it refused what we sent
│   └── UpstreamQuota         its quota is spent: disk, memory or an account
└── DegenerateVector          a vector without direction: NaN, infinity or zeros

`slug` is the stable last part of a problem `type`; statuses live in `gateway.api.exceptions` alone.
"""

from typing import ClassVar


class GatewayError(Exception):
    """Base of all. The message says what happened, to which named thing, and what to do."""

    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The gateway failed"

    @property
    def message(self) -> str:
        return str(self)


class InvalidRequest(GatewayError):
    """The caller can mend it. `field` is a JSON path, `index` the position in a list of inputs."""

    slug = "invalid-request"
    title = "The request cannot be served as it is"

    def __init__(self, message: str, *, field: str | None = None, index: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.index = index


class InvalidText(InvalidRequest):
    slug = "invalid-text"
    title = "Not a text that can be embedded"


class InputTooLong(InvalidRequest):
    slug = "input-too-long"
    title = "More tokens than the model reads"


class TooManyInputs(InvalidRequest):
    slug = "too-many-inputs"
    title = "More inputs than one request may hold"


class DoublePrompt(InvalidRequest):
    slug = "double-prompt"
    title = "The text already carries a prompt"


class UnknownTask(InvalidRequest):
    slug = "unknown-task"
    title = "The model has no such task"


class UnknownModel(InvalidRequest):
    slug = "unknown-model"
    title = "No such model"


class TaskRequired(InvalidRequest):
    slug = "task-required"
    title = "Say whether this is a query or a document"


class TokenIdsRefused(InvalidRequest):
    slug = "token-ids-refused"
    title = "Token ids are not accepted"


class UnsupportedSize(InvalidRequest):
    slug = "unsupported-size"
    title = "Not a size of this model"


class UnsupportedDtype(InvalidRequest):
    slug = "unsupported-dtype"
    title = "Not a dtype of this model"


class InvalidFilter(InvalidRequest):
    slug = "invalid-filter"
    title = "The filter cannot be evaluated"


class InvalidName(InvalidRequest):
    slug = "invalid-name"
    title = "Not a usable name"


class PayloadTooLarge(InvalidRequest):
    slug = "payload-too-large"
    title = "The body is over the limit"


class MalformedJSON(InvalidRequest):
    slug = "malformed-json"
    title = "The body is not JSON"


class UnsupportedMediaType(InvalidRequest):
    slug = "unsupported-media-type"
    title = "Not a content type of this route"


class RequestTimeout(InvalidRequest):
    slug = "request-timeout"
    title = "The body stopped coming"


class InvalidDocument(InvalidRequest):
    slug = "invalid-document"
    title = "The document cannot be read"


class InvalidGoldenSet(InvalidRequest):
    slug = "invalid-golden-set"
    title = "The golden set cannot be used"


class UnusableBaseline(InvalidRequest):
    slug = "unusable-baseline"
    title = "The baseline cannot be compared with"


class NothingIngested(InvalidRequest):
    slug = "nothing-ingested"
    title = "No document could be ingested"


class Unauthorized(GatewayError):
    slug = "unauthorized"
    title = "A valid API key is required"


class NotFound(GatewayError):
    slug = "not-found"
    title = "No such thing"


class CollectionNotFound(NotFound):
    slug = "collection-not-found"
    title = "No such collection"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"collection {name!r} does not exist; create it with PUT (or ?create=true when "
            "ingesting), or by 'gateway ingest'"
        )
        self.name = name


class DocumentNotFound(NotFound):
    slug = "document-not-found"
    title = "No such document"

    def __init__(self, collection: str, document_id: str) -> None:
        super().__init__(f"document {document_id!r} is not in collection {collection!r}")
        self.document_id = document_id


class Conflict(GatewayError):
    slug = "conflict"
    title = "The stored state forbids it"


class SpaceMismatch(Conflict):
    """Two fingerprints met: `stored` is the collection's, `offered` the caller's.

    `document_id` names the document of a stored chunk that is not of its collection's space.
    """

    slug = "space-mismatch"
    title = "Vectors of another space"

    def __init__(
        self, name: str, *, stored: str, offered: str, document_id: str | None = None
    ) -> None:
        one = "" if document_id is None else f"a vector of document {document_id!r} in "
        holds = "holds vectors" if document_id is None else "is"
        remedy = (
            "configure the model that wrote it, or ingest into a new collection"
            if document_id is None
            else "another gateway wrote it meanwhile: ingest that document again, or delete it"
        )
        super().__init__(
            f"{one}collection {name!r} {holds} of space {stored!r}, but the configured model makes "
            f"{offered!r}; {remedy}"
        )
        self.stored = stored
        self.offered = offered


class CollectionMismatch(Conflict):
    slug = "collection-mismatch"
    title = "The collection exists with another schema"


class ConfigurationError(GatewayError):
    slug = "configuration-error"
    title = "The gateway is not configured for this"


class MissingExtra(ConfigurationError):
    """An optional part is not installed; `extra` names the pip extra that brings it."""

    slug = "missing-extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed; run: pip install 'tei-rag-gateway[{extra}]'")
        self.extra = extra


class IntegrityError(ConfigurationError):
    slug = "integrity-error"


class UnsupportedServer(ConfigurationError):
    slug = "unsupported-server"


class StoreLocked(ConfigurationError):
    slug = "store-locked"


class UpstreamError(GatewayError):
    """A service or engine behind us failed; `service` is its role (`tei`, `qdrant`, `edge`, ...).

    `retry_after_seconds` is the pause advised to callers; with `asked_to_wait` the service itself,
    or a proxy before it, asked for it.
    """

    asked_to_wait: bool = False

    slug = "upstream-error"
    title = "A service behind the gateway failed"

    def __init__(
        self, message: str, *, service: str = "upstream", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.service = service
        self.retry_after_seconds = retry_after_seconds


class UpstreamOverloaded(UpstreamError):
    slug = "upstream-overloaded"
    title = "A service behind the gateway is full"


class UpstreamUnavailable(UpstreamError):
    slug = "upstream-unavailable"
    title = "A service behind the gateway is down"


class UpstreamTimeout(UpstreamError):
    slug = "upstream-timeout"
    title = "A service behind the gateway did not answer in time"


class UpstreamRejected(UpstreamError):
    slug = "upstream-rejected"
    title = "A service behind the gateway refused the request"


class UpstreamQuota(UpstreamError):
    slug = "upstream-quota"
    title = "A service behind the gateway has no room left"


class DegenerateVector(GatewayError):
    """A row that is not a direction; `index` is its position among the inputs."""

    slug = "degenerate-vector"
    title = "The model returned a vector without direction"

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index
