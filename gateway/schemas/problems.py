"""Errors as JSON: RFC 9457 problem details."""

from pydantic import Field

from gateway.schemas.base import Reply
from gateway.schemas.documents import IngestResponse


class Problem(Reply):
    """Why a request was not served, and what to do (RFC 9457, `application/problem+json`)."""

    type: str = Field(
        description="Stable identity of the kind of problem: `urn:tei-rag-gateway:problem:<slug>`",
        examples=["urn:tei-rag-gateway:problem:unsupported-size"],
    )
    title: str = Field(description="The kind of problem in words; the same for every occurrence")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What happened, to which named thing, and what to do")
    instance: str = Field(description="The path that was asked for")
    request_id: str = Field(description="The `x-request-id` of the answer and of the log lines")
    field: str | None = Field(
        default=None,
        description="Where in the request: a JSON path such as `filter.and[1].range`",
    )
    index: int | None = Field(
        default=None, description="Position of the offending item in a list of inputs"
    )
    service: str | None = Field(
        default=None, description="The service behind the gateway that failed"
    )
    stored_space: str | None = Field(
        default=None, description="Space of the stored vectors, where it is another"
    )
    offered_space: str | None = Field(
        default=None,
        description="Space of the vectors that this gateway makes, where it is another",
    )
    report: IngestResponse | None = Field(
        default=None,
        description="What became of the documents of an ingest that was stopped, or of which every "
        "document failed; what it counts as stored stays stored",
    )
