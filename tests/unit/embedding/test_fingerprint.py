"""What a space is named by: pinned values, what moves them and what must not."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.embedding.catalog import (
    ALL_MINILM_L6_V2,
    CATALOG,
    EMBEDDING_GEMMA_2,
    EMBEDDING_GEMMA_300M,
)
from gateway.embedding.fingerprint import fingerprint, ingredients, prompt_set, space_of
from gateway.embedding.profile import Golden, ModelProfile, PublishedScore, TitleRule
from gateway.encoders.fake import FakeEncoder
from gateway.encoders.minilm import MODEL_FILE
from gateway.errors import ConfigurationError
from gateway.ports import EncoderInfo

GEMMA = EMBEDDING_GEMMA_300M
WORDS = st.text(min_size=1, max_size=12)
HEX = "0123456789abcdef" * 4

MOVES: dict[str, st.SearchStrategy[Any]] = {
    "model_id": WORDS,
    "revision": st.none() | WORDS,
    "pooling": WORDS,
    "heads": st.lists(WORDS, max_size=3).map(tuple),
    "prompts": st.dictionaries(st.sampled_from([*GEMMA.prompts, "new"]), st.text(), max_size=4),
    "title_rule": st.none() | st.builds(TitleRule, st.text(), st.text()),
    "max_tokens": st.integers(1, 10_000),
    "weights_sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
}
STAYS: dict[str, st.SearchStrategy[Any]] = {
    "name": WORDS,
    "licence": WORDS,
    "window": st.integers(0, 4096),
    "default_size": st.sampled_from(GEMMA.sizes),
    "dtypes": st.sampled_from([("float32",), ("bfloat16",), ()]),
    "aliases": st.lists(WORDS, max_size=3).map(tuple),
    "languages": st.lists(WORDS, max_size=3).map(tuple),
    "published": st.lists(st.builds(PublishedScore, WORDS, st.just(768), st.floats(0, 1))).map(
        tuple
    ),
    "goldens": st.just((Golden("query", "a", "document", ("b",), 768, (0.5,)),)),
    "refused_encoders": st.dictionaries(WORDS, WORDS, max_size=2),
}


@pytest.mark.parametrize(
    ("profile", "marks", "pinned"),
    [
        (GEMMA, {}, "embeddinggemma-300m:6eb5cdcd03008f93"),
        (GEMMA, {"quantization": "q8_0"}, "embeddinggemma-300m+q8_0:39bf33ebd6423c48"),
        (EMBEDDING_GEMMA_2, {}, "embeddinggemma-2:98c08310352e3c65"),
        (ALL_MINILM_L6_V2, {}, "all-minilm-l6-v2:007c9838d0e2cf2a"),
        (ALL_MINILM_L6_V2, {"quantization": "int8"}, "all-minilm-l6-v2+int8:7525f5a4abeabd30"),
    ],
    ids=["300m", "300m q8_0", "2", "minilm", "minilm int8"],
)
def test_fingerprints_never_change(
    profile: ModelProfile, marks: dict[str, str], pinned: str
) -> None:
    """Stored collections carry them: a change here orphans every one of them."""
    assert fingerprint(profile, **marks) == profile.fingerprint(**marks) == pinned


def test_every_field_of_a_profile_either_moves_the_fingerprint_or_does_not() -> None:
    """A field that is new must be put into one of the two tables, and `sizes` is in both."""
    assert {f.name for f in fields(ModelProfile)} == {*MOVES, *STAYS, "sizes"}
    assert not MOVES.keys() & STAYS.keys()


@pytest.mark.parametrize("name", MOVES)
@given(data=st.data())
def test_what_moves_vectors_moves_the_fingerprint(name: str, data: st.DataObject) -> None:
    value = data.draw(MOVES[name])
    changed = replace(GEMMA, **{name: value})

    same = _plain(value) == _plain(getattr(GEMMA, name))

    assert (_digest(changed) == _digest(GEMMA)) == same


@pytest.mark.parametrize("name", STAYS)
@given(data=st.data())
def test_what_moves_no_vector_leaves_the_fingerprint(name: str, data: st.DataObject) -> None:
    changed = replace(GEMMA, **{name: data.draw(STAYS[name])})

    assert changed.fingerprint() == GEMMA.fingerprint()


def test_one_space_serves_every_matryoshka_size_and_another_full_size_is_another_space() -> None:
    cut = replace(GEMMA, sizes=(768, 64), default_size=64)
    wider = replace(GEMMA, sizes=(1024, *GEMMA.sizes))

    assert cut.fingerprint() == GEMMA.fingerprint() != wider.fingerprint()


def test_the_order_of_prompts_and_the_mark_of_titles_leave_the_fingerprint() -> None:
    reordered = replace(GEMMA, prompts=dict(reversed([*GEMMA.prompts.items()])))
    unmarked = replace(GEMMA, title_rule=TitleRule("title: ", " | text: "))

    assert reordered.fingerprint() == unmarked.fingerprint() == GEMMA.fingerprint()


def test_both_gemmas_share_their_prompts_and_size_but_no_space() -> None:
    assert prompt_set(GEMMA) == prompt_set(EMBEDDING_GEMMA_2) != prompt_set(ALL_MINILM_L6_V2)
    assert GEMMA.full_size == EMBEDDING_GEMMA_2.full_size
    assert _digest(GEMMA) != _digest(EMBEDDING_GEMMA_2)


def test_marks_make_spaces_of_their_own() -> None:
    spaces = [
        profile.fingerprint(variant, quantization)
        for profile in CATALOG.values()
        for variant in ("", "fake")
        for quantization in ("", "int8", "q8_0")
    ]

    assert len({space.rpartition(":")[2] for space in spaces}) == len(spaces)
    assert GEMMA.fingerprint("fake").startswith("embeddinggemma-300m+fake:")


def test_an_encoder_says_whether_its_vectors_are_made_up_or_quantised() -> None:
    q8 = EncoderInfo("openai", GEMMA.model_id, 768, 2048, quantization="q8_0")

    assert space_of(GEMMA, FakeEncoder().info) == GEMMA.fingerprint("fake")
    assert space_of(GEMMA, q8) == GEMMA.fingerprint(quantization="q8_0")
    bfloat16 = EncoderInfo("tei", GEMMA.model_id, 768, 2048, dtype="bfloat16")
    assert space_of(GEMMA, bfloat16) == GEMMA.fingerprint()


@given(st.text())
def test_a_fingerprint_can_be_sent_in_a_header(model_id: str) -> None:
    label, _, digest = replace(GEMMA, model_id=model_id).fingerprint().rpartition(":")

    assert label.isascii()
    assert label.isprintable()
    assert label.strip()
    assert len(digest) == 16


def test_nothing_is_said_of_weights_and_quantisation_where_nothing_is_known() -> None:
    assert not {"weights_sha256", "quantization"} & ingredients(GEMMA).keys()
    known = ingredients(replace(GEMMA, weights_sha256=HEX), quantization="q8_0")
    assert (known["weights_sha256"], known["quantization"]) == (HEX, "q8_0")


@pytest.mark.parametrize("digest", ["", "sha256:" + HEX, HEX.upper(), HEX[1:]])
def test_weights_are_named_by_64_hex_digits(digest: str) -> None:
    with pytest.raises(ConfigurationError, match="weights_sha256"):
        replace(GEMMA, weights_sha256=digest)


def _digest(profile: ModelProfile) -> str:
    return profile.fingerprint().rpartition(":")[2]


def _plain(value: object) -> object:
    """What of a value counts: a title's mark decides nothing."""
    return (value.before, value.after) if isinstance(value, TitleRule) else value


def test_the_weights_of_the_embedded_model_are_part_of_its_space() -> None:
    info = EncoderInfo("minilm", ALL_MINILM_L6_V2.model_id, 384, 256, quantization="int8")
    known = replace(info, weights_sha256=MODEL_FILE.sha256)
    assert space_of(ALL_MINILM_L6_V2, known) == "all-minilm-l6-v2+int8:3d9b3b63f5f265b6"
    other = replace(info, weights_sha256="0" * 64)
    assert len({space_of(ALL_MINILM_L6_V2, each) for each in (info, known, other)}) == 3
