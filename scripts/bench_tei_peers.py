"""Other clients of TEI beside the gateway's: one line of JSON each, by the Python that has them.

python scripts/bench_tei_peers.py --peer "openai, tuned" --port PORT --texts 2000

"as it comes" is the shortest program that its documentation suggests, "tuned" uses what it offers for
speed. Every vector is checked as the gateway's are.
"""

import argparse
import asyncio
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import numpy as np
from bench_rows import corpus, require_rows

BATCH = 32
IN_FLIGHT = 16
MODEL = "google/embeddinggemma-300m"

Vectors = Sequence[Any]
Peer = Callable[[str, list[str]], Coroutine[Any, Any, Vectors]]


def parts(texts: list[str]) -> list[list[str]]:
    return [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]


async def spread(texts: list[str], embed: Callable[[list[str]], Awaitable[Vectors]]) -> Vectors:
    """Batches of 32, 16 at once: what a careful user writes around a client."""
    limit = asyncio.Semaphore(IN_FLIGHT)

    async def one(batch: list[str]) -> Vectors:
        async with limit:
            return await embed(batch)

    answers = await asyncio.gather(*map(one, parts(texts)))
    return [vector for answer in answers for vector in answer]


async def openai_as_it_comes(url: str, texts: list[str]) -> Vectors:
    client = importlib.import_module("openai").OpenAI(base_url=f"{url}/v1", api_key="-")
    found: list[Any] = []
    for batch in parts(texts):
        answer = client.embeddings.create(model=MODEL, input=batch)
        found += [item.embedding for item in answer.data]
    return found


async def openai_tuned(url: str, texts: list[str]) -> Vectors:
    openai = importlib.import_module("openai")
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="-", max_retries=20)

    async def embed(batch: list[str]) -> Vectors:
        answer = await client.embeddings.create(model=MODEL, input=batch)
        return [item.embedding for item in answer.data]

    return await spread(texts, embed)


def langchain(url: str) -> Any:
    return importlib.import_module("langchain_openai").OpenAIEmbeddings(
        model=MODEL, base_url=f"{url}/v1", api_key="-", chunk_size=BATCH,
        check_embedding_ctx_length=False,
    )  # fmt: skip


async def langchain_as_it_comes(url: str, texts: list[str]) -> Vectors:
    return langchain(url).embed_documents(texts)


async def langchain_tuned(url: str, texts: list[str]) -> Vectors:
    return await spread(texts, langchain(url).aembed_documents)


def llama_index(url: str, **options: Any) -> Any:
    package = importlib.import_module("llama_index.embeddings.text_embeddings_inference")
    return package.TextEmbeddingsInference(
        model_name=MODEL, base_url=url, text_instruction="", **options
    )


async def llama_index_as_it_comes(url: str, texts: list[str]) -> Vectors:
    return llama_index(url).get_text_embedding_batch(texts)


async def llama_index_tuned(url: str, texts: list[str]) -> Vectors:
    model = llama_index(url, embed_batch_size=BATCH)
    return await spread(texts, model.aget_text_embedding_batch)


def haystack(url: str, texts: list[str], **options: Any) -> tuple[Any, list[Any]]:
    package = "haystack_integrations.components.embedders.huggingface_api"
    embedder = importlib.import_module(package).HuggingFaceAPIDocumentEmbedder(
        api_type="text_embeddings_inference", api_params={"url": url}, progress_bar=False, **options
    )
    document = importlib.import_module("haystack").Document
    return embedder, [document(content=text) for text in texts]


async def haystack_as_it_comes(url: str, texts: list[str]) -> Vectors:
    embedder, documents = haystack(url, texts)
    return [document.embedding for document in embedder.run(documents)["documents"]]


async def haystack_tuned(url: str, texts: list[str]) -> Vectors:
    embedder, documents = haystack(url, texts, concurrency_limit=IN_FLIGHT)
    return [document.embedding for document in (await embedder.run_async(documents))["documents"]]


def tei_client(url: str) -> Any:
    return importlib.import_module("tei_client").HttpClient(url, timeout=60)


async def tei_client_as_it_comes(url: str, texts: list[str]) -> Vectors:
    client = tei_client(url)
    return [vector for batch in parts(texts) for vector in client.embed(batch)]


async def tei_client_tuned(url: str, texts: list[str]) -> Vectors:
    return await spread(texts, tei_client(url).async_embed)


PEERS: dict[str, Peer] = {
    "openai, as it comes": openai_as_it_comes,
    "openai, tuned": openai_tuned,
    "langchain-openai, as it comes": langchain_as_it_comes,
    "langchain-openai, tuned": langchain_tuned,
    "llama-index TEI, as it comes": llama_index_as_it_comes,
    "llama-index TEI, tuned": llama_index_tuned,
    "haystack, as it comes": haystack_as_it_comes,
    "haystack, tuned": haystack_tuned,
    "tei-client, as it comes": tei_client_as_it_comes,
    "tei-client, tuned": tei_client_tuned,
}


def measure(peer: Peer, url: str, texts: list[str]) -> dict[str, float | str]:
    """Seconds of a run, or why there is no result: any error of a peer is a finding, not ours."""
    try:
        asyncio.run(peer(url, texts[:BATCH]))
    except ImportError:
        return {"lost": "not installed"}
    except Exception as exc:  # noqa: BLE001
        return {"lost": type(exc).__name__}
    cpu, started = time.process_time(), time.perf_counter()
    try:
        vectors = asyncio.run(peer(url, texts))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        require_rows(texts, np.array(vectors, np.float32))
    except Exception as exc:  # noqa: BLE001
        return {"lost": type(exc).__name__}
    return {"seconds": seconds, "cpu": cpu}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=sorted(PEERS), required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--texts", type=int, default=2_000)
    options = parser.parse_args()
    os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # noqa: TID251
    url = f"http://127.0.0.1:{options.port}"
    print(json.dumps(measure(PEERS[options.peer], url, corpus(options.texts))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
