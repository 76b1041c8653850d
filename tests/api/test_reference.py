import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from gateway.api.controllers.reference import ASSETS, ReferenceController
from gateway.api.openapi import describe, routes
from tests.api.apps import fake_app

ROOT = Path(__file__).parents[2]


def test_the_page_and_its_files_come_from_here_alone(client: TestClient[Litestar]) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//""", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.headers["content-security-policy"]
    linked = re.findall(r"""(?:src|href)="(docs/[^"]+)\"""", page.text)
    assert {name.removeprefix("docs/") for name in linked} == set(ASSETS)
    for path in linked:
        asset = client.get("/" + path)
        assert asset.status_code == 200
        assert len(asset.content) > 100
        assert asset.headers["content-type"] == f"{ASSETS[path[5:]]}; charset=utf-8"
    assert "openapi.json" in client.get("/docs/start.js").text


def test_styles_load_nothing_from_elsewhere(client: TestClient[Litestar]) -> None:
    css = client.get("/docs/swagger-ui.css").text
    assert not re.findall(r"url\(\s*[\"']?(?:https?:)?//", css)
    assert "@import" not in css


def test_files_beside_the_vendored_ones_are_not_served(client: TestClient[Litestar]) -> None:
    for name in ("README.md", "index.html", "..%2Fapp.py", "%2e%2e"):
        assert client.get(f"/docs/{name}").status_code == 404


def test_the_vendored_files_carry_their_licence() -> None:
    static = ROOT / "gateway" / "api" / "static"
    assert "Apache License" in (static / "swagger-ui.LICENSE").read_text()
    assert (static / "swagger-ui-bundle.js.LICENSE.txt").is_file()
    assert sum(path.stat().st_size for path in static.iterdir()) < 2_100_000


def test_every_route_is_described() -> None:
    app = fake_app()
    described = {(path, method) for path, method, _, _ in routes(app)}
    own = {handler.fn.__name__ for handler in ReferenceController(app).get_route_handlers()}
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        for handler in route.route_handlers:
            if handler.fn.__name__ in own or handler.http_methods == {"OPTIONS"}:
                continue
            path = re.sub(r":\w+\}", "}", route.path)
            assert {(path, str(method)) for method in handler.http_methods} <= described


def test_the_document_is_sound(client: TestClient[Litestar]) -> None:
    document = client.get("/openapi.json").json()
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(set(ids)) == len(ids)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def schema_of(document: dict[str, Any], name: str) -> Any:
    """Return a validator for one component of the document."""
    return Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


def test_bodies_and_errors_are_described_as_they_are(client: TestClient[Litestar]) -> None:
    document = client.get("/openapi.json").json()
    search = schema_of(document, "SearchRequest")
    good = {"query": "x", "filter": {"and": [{"eq": {"metadata.a": 1}}, {"exists": "title"}]}}
    assert search.is_valid(good)
    assert not search.is_valid({"query": ""})
    assert not search.is_valid({"query": "x", "limits": 3})
    assert not search.is_valid({"query": "x", "filter": {"eq": {"a": 1}, "in": {"b": [1]}}})
    refused = client.post("/api/v1/collections/missing/search", json=good)
    schema_of(document, "Problem").validate(refused.json())
    schema_of(document, "OpenAIError").validate(client.post("/v1/embeddings", json={}).json())
    operation = document["paths"]["/api/v1/collections/{name}/documents"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/x-ndjson"}
    assert set(operation["responses"]["404"]["content"]) == {"application/problem+json"}


def test_answers_match_their_description(client: TestClient[Litestar]) -> None:
    document = client.get("/openapi.json").json()
    body = {"task": "query", "inputs": [{"text": "a"}], "size": 128}
    schema_of(document, "EmbedResponse").validate(client.post("/api/v1/embed", json=body).json())
    call = {"model": "embeddinggemma-300m:query", "input": ["a"], "encoding_format": "base64"}
    schema_of(document, "EmbeddingsResponse").validate(
        client.post("/v1/embeddings", json=call).json()
    )
    schema_of(document, "Info").validate(client.get("/info").json())
    schema_of(document, "Readiness").validate(client.get("/readyz?verbose").json())
    schema_of(document, "ModelList").validate(client.get("/v1/models").json())


def test_the_document_is_the_same_every_time() -> None:
    assert json.dumps(describe(fake_app())) == json.dumps(describe(fake_app()))


def test_the_committed_document_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/export_openapi.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
