"""The models this gateway knows: the only file with embedding prompt strings.

Prompt strings are those of the models' own `config_sentence_transformers.json` plus the two tasks
that only the EmbeddingGemma card names (question answering, fact checking). The untitled document
prompt is `title: none | text: `, without quotes: so the configuration, so sentence-transformers.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from gateway.embedding.profile import Golden, ModelProfile, PublishedScore, Task, TitleRule
from gateway.errors import ConfigurationError, GatewayError, UnknownModel

_QUERY = "task: search result | query: "
_DOCUMENT = "title: none | text: "
_CLUSTERING = "task: clustering | query: "
_CLASSIFICATION = "task: classification | query: "
_SIMILARITY = "task: sentence similarity | query: "
_CODE = "task: code retrieval | query: "
_SUMMARIZATION = "task: summarization | query: "

GEMMA_CONFIGURED_PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "query": _QUERY,
        "document": _DOCUMENT,
        "BitextMining": _QUERY,
        "Clustering": _CLUSTERING,
        "Classification": _CLASSIFICATION,
        "InstructionRetrieval": _CODE,
        "MultilabelClassification": _CLASSIFICATION,
        "PairClassification": _SIMILARITY,
        "Reranking": _QUERY,
        "Retrieval": _QUERY,
        "Retrieval-query": _QUERY,
        "Retrieval-document": _DOCUMENT,
        "STS": _SIMILARITY,
        "Summarization": _SUMMARIZATION,
    }
)
"""The 14 prompt names of EmbeddingGemma's configuration, in its order."""

_GEMMA_TASKS = {
    Task.QUERY: _QUERY,
    Task.DOCUMENT: _DOCUMENT,
    Task.QUESTION_ANSWERING: "task: question answering | query: ",
    Task.FACT_CHECKING: "task: fact checking | query: ",
    Task.CLASSIFICATION: _CLASSIFICATION,
    Task.CLUSTERING: _CLUSTERING,
    Task.SIMILARITY: _SIMILARITY,
    Task.CODE_RETRIEVAL: _CODE,
    Task.SUMMARIZATION: _SUMMARIZATION,
}
_GEMMA_PROMPTS = {**GEMMA_CONFIGURED_PROMPTS, **{k.value: v for k, v in _GEMMA_TASKS.items()}}
_GEMMA_TITLE = TitleRule(before="title: ", after=" | text: ", separator=" | text: ")

_PLANETS = (
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Jupiter, the largest planet in our solar system, has a prominent red spot.",
    "Saturn, famous for its rings, is sometimes mistaken for the Red Planet.",
)


def _planets(size: int, similarities: tuple[float, ...]) -> Golden:
    return Golden(
        query_task=Task.QUERY,
        query="Which planet is known as the Red Planet?",
        document_task=Task.DOCUMENT,
        documents=_PLANETS,
        size=size,
        similarities=similarities,
    )


def _scores(table: Mapping[str, tuple[float, ...]]) -> tuple[PublishedScore, ...]:
    sizes = (768, 512, 256, 128)
    return tuple(
        PublishedScore(benchmark, size, score)
        for benchmark, row in table.items()
        for size, score in zip(sizes, row, strict=True)
    )


EMBEDDING_GEMMA_300M = ModelProfile(
    name="embeddinggemma-300m",
    model_id="google/embeddinggemma-300m",
    revision="64614b0b8b64f0c6c1e52b07e4e9a4e8fe4d2da2",
    licence="gemma",
    sizes=(768, 512, 256, 128),
    default_size=512,
    max_tokens=2048,
    dtypes=("float32", "bfloat16"),
    pooling="mean",
    heads=("dense 768->3072", "dense 3072->768"),
    window=257,  # transformers and TEI: |i - j| <= 512 / 2
    prompts=MappingProxyType(_GEMMA_PROMPTS),
    title_rule=_GEMMA_TITLE,
    aliases=("google/embeddinggemma-300m", "onnx-community/embeddinggemma-300m-ONNX"),
    published=_scores(
        {
            "MTEB multilingual v2, mean(task)": (61.15, 60.71, 59.68, 58.23),
            "MTEB English v2, mean(task)": (69.67, 69.18, 68.37, 66.66),
            "MTEB code v1, mean(task)": (68.76, 68.48, 66.74, 62.96),
        }
    ),
    goldens=(
        _planets(768, (0.3011, 0.6359, 0.4930, 0.4889)),
        _planets(256, (0.4016, 0.6715, 0.5283, 0.5261)),
    ),
)

EMBEDDING_GEMMA_2 = ModelProfile(
    name="embeddinggemma-2",
    model_id="google/embeddinggemma-2",
    revision=None,
    licence="apache-2.0",
    sizes=(768, 512, 256, 128),
    default_size=512,
    max_tokens=8192,
    dtypes=("float32", "bfloat16"),
    pooling="mean",
    heads=("projection 512->768",),
    prompts=MappingProxyType(_GEMMA_PROMPTS),
    title_rule=_GEMMA_TITLE,
    aliases=("google/embeddinggemma-2",),
    published=_scores(
        {
            "MTEB multilingual v2, mean(task)": (61.36, 61.17, 60.41, 57.89),
            "MTEB English v2, mean(task)": (68.46, 68.41, 67.78, 65.68),
            "MTEB code v1, mean(task)": (78.68, 77.24, 76.18, 71.41),
        }
    ),
    refused_encoders=MappingProxyType(
        {
            "tei": "no release of TEI knows the architecture 'embedding_gemma2'; "
            "use the encoder 'local' (sentence-transformers), text only"
        }
    ),
)

ALL_MINILM_L6_V2 = ModelProfile(
    name="all-minilm-l6-v2",
    model_id="sentence-transformers/all-MiniLM-L6-v2",
    revision=None,
    licence="apache-2.0",
    sizes=(384,),
    default_size=384,
    max_tokens=256,
    dtypes=("float32", "bfloat16", "int8"),
    pooling="mean",
    prompts=MappingProxyType({task.value: "" for task in Task}),
    title_rule=TitleRule(before="", after=" "),
    aliases=("sentence-transformers/all-MiniLM-L6-v2",),
    languages=("en",),
)

CATALOG: Mapping[str, ModelProfile] = MappingProxyType(
    {p.name: p for p in (EMBEDDING_GEMMA_300M, EMBEDDING_GEMMA_2, ALL_MINILM_L6_V2)}
)


def find_profile(name: str, catalog: Mapping[str, ModelProfile] = CATALOG) -> ModelProfile:
    """Return a profile by its name or one of its aliases (a hub id), or raise `UnknownModel`."""
    for profile in catalog.values():
        if name == profile.name or name in profile.aliases:
            return profile
    close = get_close_matches(name, catalog, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UnknownModel(f"no model {name!r}{hint} (known: {', '.join(catalog)})", field="model")


def card_of(profile: ModelProfile) -> ModelProfile:
    """Return the profile whose worked examples hold for a profile: itself, or the catalogue's.

    A profile of one's own for a model of the catalogue, with its prompts, need not repeat them: they
    hold for whatever serves that model.
    """
    if profile.goldens:
        return profile
    for known in CATALOG.values():
        same = known.model_id == profile.model_id and known.sizes[0] == profile.sizes[0]
        if same and all(profile.prompts.get(k) == v for k, v in known.prompts.items()):
            return known
    return profile


def load_profiles(path: Path) -> dict[str, ModelProfile]:
    """Return the catalogue with the profiles of a TOML file added, one `[name]` table each.

    Keys are the fields of `ModelProfile`; `prompts`, `title_rule` and `refused_encoders` are tables,
    `published` and `goldens` arrays of tables. A profile of the catalogue cannot be redefined: its
    name stands for one space everywhere.

    Raises:
        ConfigurationError: the file, a key or a value is not usable; names it.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(f"cannot read profiles from {str(path)!r}: {exc}") from exc
    found = dict(CATALOG)
    for name, table in tables.items():
        if name in CATALOG:
            raise ConfigurationError(f"{path}: {name!r} is built in; choose another name")
        found[name] = _parse(name, table, path)
    return found


def _parse(name: str, table: object, path: Path) -> ModelProfile:
    where = f"{path}: profile {name!r}"
    if not isinstance(table, dict):
        raise ConfigurationError(f"{where} is not a table; write [{name}] and its keys below")
    given = cast("dict[str, Any]", table)
    _require_known(given, ModelProfile, where, without=("name",))
    _require_known(given.get("title_rule"), TitleRule, f"{where}: title_rule")
    values = {"revision": None, "licence": "unknown", "pooling": "mean", "dtypes": ["float32"]}
    values |= given
    if isinstance(sizes := values.get("sizes"), list) and sizes:
        values.setdefault("default_size", cast("list[Any]", sizes)[0])
    try:
        profile = TypeAdapter(ModelProfile).validate_python({"name": name, **values})
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise ConfigurationError(f"{where} is not usable: {wrong}") from exc
    except GatewayError as exc:
        raise ConfigurationError(f"{where} is not usable: {exc}") from exc
    for task in (Task.QUERY, Task.DOCUMENT):
        if task not in profile.prompts:
            raise ConfigurationError(
                f'{where} has no prompt for {task.value!r}; write {task.value} = "" under '
                "prompts if the model takes the bare text"
            )
    return profile


def _require_known(table: object, of: type, where: str, *, without: Sequence[str] = ()) -> None:
    """Refuse a table with a key that is not a field of the dataclass `of`, naming the nearest one."""
    if not isinstance(table, dict):
        return
    known = {f.name for f in fields(of)}.difference(without)
    for key in cast("dict[str, Any]", table):
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigurationError(f"{where} has an unknown key {key!r}{hint}")
