"""The models that are known, and those that an operator adds."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import gateway
from gateway.embedding.catalog import (
    ALL_MINILM_L6_V2,
    CATALOG,
    EMBEDDING_GEMMA_300M,
    GEMMA_CONFIGURED_PROMPTS,
    card_of,
    find_profile,
    load_profiles,
)
from gateway.embedding.profile import ModelProfile
from gateway.errors import ConfigurationError, UnknownModel

PACKAGE = Path(gateway.__file__).parent
PROMPT = re.compile(r"""["'][^"'\n]*(task: |title: )[^"'\n]*(\||query: |text: )""")
WHOLE = """
[e5-small]
model_id = "intfloat/multilingual-e5-small"
revision = "abc"
licence = "mit"
sizes = [384]
max_tokens = 512
dtypes = ["float32", "bfloat16"]
aliases = ["e5"]
languages = ["en", "ru"]
prompts = { query = "query: ", document = "passage: " }
title_rule = { before = "passage: ", after = "\\n" }
refused_encoders = { minilm = "another model" }
published = [{ benchmark = "MTEB", size = 384, score = 57.9 }]
"""
SHORT = """
[mine]
model_id = "me/mine"
sizes = [64, 32]
max_tokens = 128
prompts = { query = "", document = "" }
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "profiles.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_our_prompts_are_byte_for_byte_those_of_the_released_configuration() -> None:
    """The sha256 is that of `config_sentence_transformers.json` (997 bytes) of the pinned revision."""
    configuration = {
        "model_type": "SentenceTransformer",
        "__version__": {
            "sentence_transformers": "5.1.0",
            "transformers": "4.57.0.dev0",
            "pytorch": "2.8.0+cu128",
        },
        "prompts": dict(GEMMA_CONFIGURED_PROMPTS),
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }

    content = json.dumps(configuration, indent=2).encode()

    assert len(content) == 997
    assert hashlib.sha256(content).hexdigest() == (
        "8eadac15526f83d8950aa8d962a7f4f6e3d678bea71689960194561f33a5f64f"
    )


def test_prompt_literals_stand_in_the_catalogue_alone() -> None:
    holders = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if PROMPT.search(path.read_text(encoding="utf-8"))
    }

    assert holders == {"embedding/catalog.py"}


@pytest.mark.parametrize("profile", CATALOG.values(), ids=CATALOG)
def test_a_profile_is_found_by_its_name_and_by_each_alias(profile: ModelProfile) -> None:
    for name in (profile.name, *profile.aliases):
        assert find_profile(name) is profile


def test_published_figures_and_goldens_belong_to_sizes_of_the_model() -> None:
    for profile in CATALOG.values():
        assert {score.size for score in profile.published} <= set(profile.sizes)
        for golden in profile.goldens:
            assert golden.size in profile.sizes
            assert len(golden.documents) == len(golden.similarities)
    assert len(EMBEDDING_GEMMA_300M.published) == 12


def test_minilm_has_one_size_no_prompt_and_one_language() -> None:
    assert ALL_MINILM_L6_V2.sizes == (384,)
    assert set(ALL_MINILM_L6_V2.prompts.values()) == {""}
    assert ALL_MINILM_L6_V2.languages == ("en",)


def test_an_unknown_model_names_the_nearest_and_all() -> None:
    with pytest.raises(UnknownModel, match="did you mean 'embeddinggemma-300m'") as refused:
        find_profile("embedinggemma-300")

    assert refused.value.field == "model"
    with pytest.raises(UnknownModel, match="known: embeddinggemma-300m"):
        find_profile("zzz")


def test_a_whole_profile_of_a_file_joins_the_catalogue(tmp_path: Path) -> None:
    profiles = load_profiles(written(tmp_path, WHOLE))
    profile = find_profile("e5", profiles)

    assert profile.name == "e5-small"
    assert (profile.sizes, profile.default_size, profile.max_tokens) == ((384,), 384, 512)
    assert profile.render("query", "x") == "query: x"
    assert profile.render("document", "x", "T") == "passage: T\nx"
    assert profile.tasks == ("query", "document")
    assert profile.published[0].score == 57.9
    with pytest.raises(ConfigurationError, match="another model"):
        profile.require_encoder("minilm")
    assert set(profiles) == {*CATALOG, "e5-small"}


def test_a_short_profile_takes_plain_defaults(tmp_path: Path) -> None:
    profile = load_profiles(written(tmp_path, SHORT))["mine"]

    assert (profile.default_size, profile.dtypes, profile.pooling) == (64, ("float32",), "mean")
    assert (profile.revision, profile.licence, profile.title_rule) == (None, "unknown", None)
    assert profile.fingerprint() == load_profiles(written(tmp_path, SHORT))["mine"].fingerprint()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not toml at all [", "cannot read profiles"),
        ("x = 3", "'x' is not a table"),
        (SHORT.replace("mine]", "embeddinggemma-300m]"), "'embeddinggemma-300m' is built in"),
        (SHORT + 'prompt = "x"', "unknown key 'prompt'; did you mean 'prompts'"),
        (SHORT + 'name = "other"', "unknown key 'name'"),
        (SHORT + 'title_rule = { before = "", aftr = "" }', "'aftr'; did you mean 'after'"),
        (SHORT + 'title_rule = { before = "" }', "not usable"),
        (SHORT.replace('document = ""', 'dokument = ""'), "no prompt for 'document'"),
        (SHORT.replace("[64, 32]", "[32, 64]"), "sizes must start with the full size"),
        (SHORT.replace("[64, 32]", "[]"), "not usable"),
        (SHORT.replace("[64, 32]", "64"), "not usable"),
        (SHORT.replace("sizes = [64, 32]", ""), "not usable"),
        (SHORT.replace("128", '"many"'), "max_tokens"),
        (SHORT + 'dtypes = ["float16"]', "overflow half precision"),
        (SHORT + "default_size = 48", "default_size must be one of its sizes"),
    ],
    ids=lambda value: value.strip()[-40:],
)
def test_a_file_that_is_not_usable_says_where_and_why(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigurationError) as refused:
        load_profiles(path)

    assert told in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigurationError, match=re.escape(str(path))):
            load_profiles(path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=re.escape(str(binary))):
        load_profiles(binary)


def test_the_cards_examples_hold_for_ones_own_profile_of_the_model_too() -> None:
    own = replace(EMBEDDING_GEMMA_300M, name="mine", goldens=())
    assert card_of(own) is EMBEDDING_GEMMA_300M
    assert card_of(EMBEDDING_GEMMA_300M) is EMBEDDING_GEMMA_300M
    prompted = replace(own, prompts={**own.prompts, "query": "search: "})
    assert card_of(prompted) is prompted
    tuned = replace(own, model_id="me/embeddinggemma-tuned")
    assert card_of(tuned) is tuned
