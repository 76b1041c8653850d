"""What options of `gateway search` mean together; those that contradict each other are refused."""

from gateway.domain.search import Fusion, FusionMethod
from gateway.errors import InvalidRequest
from gateway.retrieval.query import Group, GroupScore, Mode, OnFailure, Rerank
from gateway.settings import Settings


def coarse_of(coarse: bool | None, size: int | None) -> bool | int | None:
    """Return whether short vectors are looked through first, or the size that they must have.

    Raises:
        InvalidRequest: a size of what is switched off.
    """
    if size is not None and coarse is False:
        raise InvalidRequest(
            "--no-coarse leaves out the pass that --coarse-size is for: give one of them",
            field="coarse",
        )
    return coarse if size is None else size


def fusion_of(
    method: FusionMethod,
    weights: tuple[float, float],
    k: int | None,
    *,
    mode: Mode,
    several: bool,
) -> Fusion:
    """Return how rankings are fused; `several` says that there are several texts, fused by rank.

    Raises:
        InvalidRequest: numbers out of range, or a choice about fusing where nothing is fused.
    """
    usual = Fusion()
    asked = Fusion(method, usual.k if k is None else k, weights)
    alone = mode in (Mode.DENSE, Mode.LEXICAL)
    if alone and (asked.method, asked.weights) != (usual.method, usual.weights):
        raise InvalidRequest(
            f"--fusion and --weights are for the two halves of a hybrid search, and --mode {mode.value} "
            "has one: leave them out, or take --mode hybrid",
            field="fusion",
        )
    if k is not None and alone and not several:
        raise InvalidRequest(
            f"--rrf-k is for fusing ranks, and --mode {mode.value} of one text has one ranking: leave "
            "it out, or take --mode hybrid or --also",
            field="fusion.k",
        )
    if k is not None and method is FusionMethod.DBSF and not several:
        raise InvalidRequest(
            "--fusion dbsf fuses scores and has no rank constant: leave --rrf-k out, or take "
            "--fusion rrf",
            field="fusion.k",
        )
    return asked


def rerank_of(
    rerank: bool | None, candidates: int | None, on_failure: OnFailure | None, settings: Settings
) -> Rerank | bool | None:
    """Return how to rerank; what is not said is as the settings say.

    Raises:
        InvalidRequest: a choice about what is switched off.
    """
    if candidates is None and on_failure is None:
        return rerank
    if rerank is False:
        raise InvalidRequest(
            "--no-rerank leaves out what --rerank-candidates and --rerank-on-failure are for: give "
            "one or the other",
            field="rerank",
        )
    usual = settings.rerank
    return Rerank(
        usual.candidates if candidates is None else candidates,
        OnFailure(usual.on_failure) if on_failure is None else on_failure,
    )


def group_of(by_document: bool, score: GroupScore | None, size: int | None) -> Group | None:
    """Return how hits are gathered by document; None: they are not.

    Raises:
        InvalidRequest: a choice about groups, and none are asked for.
    """
    if by_document:
        return Group(score or GroupScore.BEST, 1 if size is None else size)
    if score is not None or size is not None:
        raise InvalidRequest(
            "--group-score and --group-size are about documents: add --by-document", field="group"
        )
    return None
