"""What options of `gateway search` mean together; those that contradict each other are refused."""

from gateway.domain.search import Fusion, FusionMethod
from gateway.errors import InvalidRequest
from gateway.retrieval.query import Mode, OnFailure, Rerank
from gateway.settings import Settings
from gateway.wiring.consistency import usual_rerank


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
        InvalidRequest: numbers out of range, or a rank constant where no ranks are fused.
    """
    alone = mode in (Mode.DENSE, Mode.LEXICAL) and not several
    if k is not None and alone:
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
    return Fusion(method, Fusion().k if k is None else k, weights)


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
    return usual_rerank(settings).but(candidates, on_failure)
