"""The application: routes, what is around them, and the runtime that lives as long as they do."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from litestar import Litestar

from gateway.api.controllers.collections import CollectionsController
from gateway.api.controllers.documents import DocumentsController
from gateway.api.controllers.embed import EmbedController
from gateway.api.controllers.openai import OpenAIController
from gateway.api.controllers.reference import ReferenceController
from gateway.api.controllers.search import SearchController
from gateway.api.controllers.service import ServiceController
from gateway.api.conversation import Conversation
from gateway.api.deadline import Deadline
from gateway.api.dependencies import DEPENDENCIES
from gateway.api.drain import Drain
from gateway.api.guards import RequireKey
from gateway.api.openai_errors import by_path
from gateway.bootstrap import Runtime, open_runtime
from gateway.doctor.readiness import ReadinessProbe
from gateway.settings import Settings

OpenRuntime = Callable[[Settings], AbstractAsyncContextManager[Runtime]]

CONTROLLERS: Final = (
    OpenAIController,
    EmbedController,
    CollectionsController,
    DocumentsController,
    SearchController,
    ServiceController,
    ReferenceController,
)


def create_app(settings: Settings, *, open_runtime: OpenRuntime = open_runtime) -> Litestar:
    """Build the ASGI application. Its lifespan opens the runtime; tests pass their own opener.

    Opening raises `ConfigurationError` for an unusable setting; nothing is opened before.
    """

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None, None]:
        async with open_runtime(settings) as runtime:
            app.state.runtime = runtime
            app.state.readiness = ReadinessProbe(runtime)
            yield

    app = Litestar(
        route_handlers=CONTROLLERS,
        lifespan=[lifespan],
        dependencies=DEPENDENCIES,
        middleware=[RequireKey, Deadline],
        exception_handlers={Exception: by_path},
        request_max_body_size=settings.server.max_body_bytes,
        openapi_config=None,
        logging_config=None,
    )
    app.state.settings = settings
    app.state.drain = Drain()
    app.asgi_handler = Conversation(app.asgi_handler)
    return app
