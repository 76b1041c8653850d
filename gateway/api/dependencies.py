"""What handlers are given: parts of the runtime that the application's lifespan opened."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import FromPath

from gateway.bootstrap import Runtime
from gateway.domain.collections import require_name
from gateway.retrieval.collections import Collections
from gateway.retrieval.pipeline import Retriever


def runtime_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Runtime:
    """Return the runtime of the application that a connection belongs to."""
    return connection.app.state.runtime


def provide_runtime(state: State) -> Runtime:
    return state.runtime


def provide_collections(state: State) -> Collections:
    return state.runtime.collections


def provide_retriever(state: State) -> Retriever:
    return state.runtime.retriever


def provide_collection(name: FromPath[str]) -> str:
    """Return the collection that the path names, checked before any store sees it."""
    return require_name(name)


DEPENDENCIES = {
    "runtime": Provide(provide_runtime, sync_to_thread=False),
    "collections": Provide(provide_collections, sync_to_thread=False),
    "retriever": Provide(provide_retriever, sync_to_thread=False),
}
