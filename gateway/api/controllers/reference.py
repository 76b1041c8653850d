"""The API reference: the OpenAPI document, and a page over it that needs no network."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import orjson
from litestar import Controller, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from gateway.api.bodies import JSON, AnyRequest
from gateway.api.guards import PUBLIC
from gateway.api.openapi import describe

ASSETS: Final[Mapping[str, str]] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}
"""Media types of the files of the page; the framework adds the charset to `text/`."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The page may load nothing from elsewhere, whatever its scripts would like."""


class ReferenceController(Controller):
    path = "/"
    opt = {PUBLIC: True}  # noqa: RUF012

    @get("/openapi.json")
    async def openapi(self, request: AnyRequest) -> Response[bytes]:
        """Return this API as OpenAPI 3.1."""
        return Response(orjson.dumps(describe(request.app)), media_type=JSON)

    @get("/docs")
    async def page(self) -> Response[bytes]:
        """Show the API reference."""
        headers = {"content-security-policy": POLICY}
        return Response(_static("index.html"), media_type="text/html", headers=headers)

    @get("/docs/{asset:str}")
    async def asset(self, asset: FromPath[str]) -> Response[bytes]:
        """Return a script or style of the reference page."""
        if asset not in ASSETS:
            raise NotFoundException
        headers = {"cache-control": "public, max-age=3600"}
        return Response(_static(asset), media_type=ASSETS[asset], headers=headers)


def _static(name: str) -> bytes:
    return files("gateway.api").joinpath("static", name).read_bytes()
