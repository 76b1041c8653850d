"""Is this a reranker, and the one that is meant? All its replicas must serve one model."""

from typing import Final

from gateway.tei.identity import is_hub_id, refuse
from gateway.tei.wire import Info


class OneModel:
    """Which model each replica of a reranker serves: scores of two models cannot be compared."""

    def __init__(self) -> None:
        self._served: Final[dict[str, str]] = {}

    @property
    def model_id(self) -> str | None:
        """What the replicas serve; None where none was examined."""
        return next(iter(self._served.values()), None)

    def require(self, where: str, model_id: str) -> None:
        """Note what a replica serves.

        Raises:
            UnsupportedServer: another replica serves another model.
        """
        for other, served in self._served.items():
            if other != where and served != model_id:
                refuse(
                    where,
                    f"serves {model_id!r}, but the one at {other} serves {served!r}",
                    "their scores cannot be compared: serve one model, or set rerank.model",
                )
        self._served[where] = model_id

    def leave(self, where: str) -> None:
        self._served.pop(where, None)


class RerankExaminer:
    """Examines a server by what it says of itself; its scores are nowhere stored."""

    def __init__(self, where: str, model: str | None, replicas: OneModel) -> None:
        """Expect `model` at the server `where`; None: whatever the other replicas serve."""
        self._where: Final = where
        self._model: Final = model
        self._replicas: Final = replicas

    async def examine(self, info: Info) -> None:
        """Refuse a server that does not rerank with the model.

        A folder's name says nothing of the model in it, nor does the name of a model server that
        embeds as well: it is that of its embedding model.

        Raises:
            UnsupportedServer: with what is wrong and the remedy.
        """
        if not info.reranks:
            refuse(
                self._where,
                f"serves {info.model_id!r}, which is no reranker ({info.kind})",
                "start it with a cross-encoder that has one score, or correct rerank.urls",
            )
        named = is_hub_id(info.model_id) and not info.embeds
        if self._model is not None and named and info.model_id != self._model:
            refuse(
                self._where,
                f"serves {info.model_id!r}, not {self._model!r}",
                "correct rerank.model or rerank.urls",
            )
        self._replicas.require(self._where, info.model_id)

    async def is_same(self) -> bool:
        """Say that a server which tells the same of itself is the same."""
        return True

    def forget(self) -> None:
        """The server is not asked any more."""
        self._replicas.leave(self._where)
