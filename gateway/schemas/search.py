"""The JSON of search."""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from gateway.schemas.base import Body, Reply
from gateway.schemas.filters import FilterJson
from gateway.schemas.problems import Problem


class FusionRequest(Body):
    """How the dense and the lexical ranking of a hybrid search become one."""

    method: Literal["rrf", "dbsf"] = Field(
        default="rrf",
        description="`rrf`: reciprocal ranks, `1 / (k + rank / weight)`; `dbsf`: scores, each list "
        "stretched over three standard deviations around its mean",
    )
    k: int = Field(default=60, ge=1, le=10_000, description="Rank constant of `rrf`")
    weights: tuple[float, float] = Field(
        default=(1.0, 1.0), description="Weights of the dense and the lexical ranking (`rrf` only)"
    )


class RerankRequest(Body):
    """How the best hits are read again by the reranker; what is null is as the gateway is set."""

    candidates: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=None,
        description="Hits to read again; further pages read the next so many by themselves",
    )
    on_failure: Literal["error", "skip"] | None = Field(
        default=None,
        description="`error`: the search fails with the reranker; `skip`: hits stay as they were, "
        "and `warnings` say so",
    )


class SearchBase(Body):
    """What every search may say; each default is good without a thought."""

    task: str = Field(default="query", description="What the text is")
    mode: Literal["auto", "dense", "lexical", "hybrid"] = Field(
        default="auto",
        description="`dense`: by meaning; `lexical`: by words (BM25); `hybrid`: both, fused; `auto`: "
        "hybrid where the collection indexes words, else dense",
    )
    limit: int = Field(default=10, description="Most hits (or documents) to return: 1-1000")
    offset: int = Field(default=0, description="Hits (or documents) to skip")
    filter: FilterJson | None = Field(default=None, description="Which chunks may be hits")
    score_threshold: float | None = Field(
        default=None,
        description="Least score of a hit, on the scale of the score that is returned: dot products "
        "are -1 to 1, BM25 is open upwards, a hybrid search sums reciprocal ranks (at most 2 / 61 "
        "with k 60)",
    )
    probability_threshold: float | None = Field(
        default=None,
        description="Least probability of a hit, 0-1, where the collection is calibrated for the "
        "search (`gateway eval --calibrate`)",
    )
    coarse: bool | int | None = Field(
        default=None,
        description="A first pass over short vectors: null where the collection has them, true and "
        "false at will, or the size that they must have",
    )
    fusion: FusionRequest = Field(
        default_factory=FusionRequest, description="How a hybrid search ranks"
    )
    candidates: int = Field(
        default=100,
        description="Hits of each half that a hybrid search fuses (or of each of several texts), and "
        "that `mmr` chooses among: 1-10000; with `mmr` 1-1000",
    )
    rerank: bool | RerankRequest | None = Field(
        default=None,
        description="Read the best hits again by a cross-encoder: null where one is configured",
    )
    mmr: float | None = Field(
        default=None,
        description="Maximal marginal relevance: 1 is relevance alone, 0 diversity alone; null: off",
    )
    group_by: Literal["document"] | None = Field(
        default=None, description="`document`: hits gathered by document; `limit` counts documents"
    )
    group_score: Literal["best", "sum"] = Field(
        default="best",
        description="What a document is worth: its best chunk, or the sum over its found chunks",
    )
    group_size: int = Field(default=1, description="Most hits of one document: 1-100")
    neighbours: int = Field(
        default=0, description="Chunks before and after each hit to return beside it: 0-10"
    )
    explain: bool = Field(default=False, description="Say how the search was answered")
    exact: bool = Field(default=False, description="Brute force instead of an approximate index")
    allow_prompted: bool = Field(
        default=False, description="The query is meant as it is, although it begins with a prompt"
    )
    truncate: bool = Field(
        default=False,
        description="Cut a query over the model's limit, and say so in `warnings`, instead of "
        "refusing it",
    )


class SearchRequest(SearchBase):
    """What to rank the chunks of a collection against: one text, or several fused by rank."""

    query: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="The bare text; the model's prompt is added here"
    )
    queries: list[str] | None = Field(
        default=None,
        description="Several texts instead, 1-16: each is searched, and their rankings are fused "
        "by reciprocal ranks",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "SearchRequest":
        if (self.query is None) == (self.queries is None):
            raise ValueError("send either `query` or `queries`")
        return self


SearchJson = Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/SearchRequest"})]


class SearchBatchRequest(Body):
    """Several searches of one collection; each is checked by itself, and answered by itself."""

    searches: list[SearchJson] = Field(
        min_length=1, max_length=100, description="Answered in this order, 1-100"
    )


class HitStage(Reply):
    """What one stage of the search thought of a hit; ranks count from 1."""

    stage: str
    score: float
    rank: int


class Neighbour(Reply):
    """A chunk beside a hit in its document."""

    chunk_index: int
    text: str
    span: tuple[int, int]


class SearchHit(Reply):
    id: str = Field(description="Id of the chunk")
    score: float
    document_id: str
    chunk_index: int
    title: str | None
    heading_path: list[str]
    text: str
    span: tuple[int, int] = Field(
        description="Characters of the document's text: `text == document.text[start:end]`"
    )
    tokens: int
    metadata: dict[str, Any]
    source: str
    ingested_at: str
    probability: float | None = Field(
        default=None,
        description="That the hit is relevant; only where the collection is calibrated",
    )
    neighbours: list[Neighbour] | None = Field(
        default=None, description="In the order of the document; only with `neighbours`"
    )
    stages: list[HitStage] | None = Field(default=None, description="Only with `explain`")


class SearchPass(Reply):
    """One look through the collection: over short vectors (`coarse`), full ones, or words."""

    stage: str
    candidates: int = Field(description="Hits that it was given; 0: it looked through all chunks")
    hits: int = Field(description="Hits that it found")
    seconds: float


class StageRun(Reply):
    stage: str
    candidates: int = Field(description="Hits that the stage was given")
    hits: int = Field(description="Hits that it passed on")
    seconds: float
    skipped: bool = Field(default=False, description="It failed, and changed nothing")
    passes: list[SearchPass] = Field(
        default_factory=list[SearchPass],
        description="Looks through the collection within the stage, whose seconds hold theirs; "
        "halves of a hybrid search may run side by side",
    )


class SearchExplanation(Reply):
    """How the search was answered: the exact prompt, space, tokens read, and stages with their times."""

    trace_id: str = Field(description="The `x-request-id` of the answer")
    task: str
    mode: Literal["dense", "lexical", "hybrid"]
    prompt: str | None = Field(description="null where nothing was embedded")
    space: str
    size: int
    tokens: int = Field(description="0 where no vector was needed")
    embed_seconds: float = Field(
        description="Of the call to the encoder, which searches of a batch share"
    )
    fusion: FusionRequest | None = Field(description="Of a hybrid search, or of several texts")
    coarse_size: int | None = Field(
        description="Size of the short vectors that were searched first"
    )
    coarse_oversampling: float | None = Field(description="Candidates of that pass per hit wanted")
    reranker: str | None = Field(description="The model that read the hits again")
    stages: list[StageRun]


class SearchResponse(Reply):
    hits: list[SearchHit] = Field(
        description="Best first; ties in order of chunk id. Behind what was fused or reranked, and on a "
        "deep page, hits may follow whose scores are of another look"
    )
    warnings: list[str]
    explanation: SearchExplanation | None = Field(default=None, description="Only with `explain`")


class SearchBatchAnswer(Reply):
    """One search of a batch: its result, or the problem that it alone has."""

    result: SearchResponse | None = None
    problem: Problem | None = None


class SearchBatchResponse(Reply):
    answers: list[SearchBatchAnswer] = Field(description="In the order of the searches")
