"""What a profile refuses, renders and is identified by."""

from dataclasses import replace
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
from gateway.embedding.language import script_warning
from gateway.embedding.profile import ModelProfile, Task
from gateway.errors import (
    ConfigurationError,
    DoublePrompt,
    InvalidRequest,
    UnknownTask,
    UnsupportedDtype,
    UnsupportedSize,
)

GEMMA = EMBEDDING_GEMMA_300M
PROFILES = pytest.mark.parametrize("profile", CATALOG.values(), ids=CATALOG)


@pytest.mark.parametrize(
    ("task", "prompt"),
    [
        ("query", "task: search result | query: "),
        ("document", "title: none | text: "),
        ("question_answering", "task: question answering | query: "),
        ("fact_checking", "task: fact checking | query: "),
        ("classification", "task: classification | query: "),
        ("clustering", "task: clustering | query: "),
        ("similarity", "task: sentence similarity | query: "),
        ("code_retrieval", "task: code retrieval | query: "),
        ("summarization", "task: summarization | query: "),
    ],
)
def test_gemma_writes_the_prompt_of_each_task(task: str, prompt: str) -> None:
    assert GEMMA.render(task, " text\n") == prompt + " text\n"


@PROFILES
def test_every_profile_has_a_prompt_for_every_task(profile: ModelProfile) -> None:
    assert profile.tasks == tuple(task.value for task in Task)


@given(text=st.text(min_size=1), title=st.text(min_size=1))
def test_titles_and_texts_are_passed_as_they_are(text: str, title: str) -> None:
    assert GEMMA.render("document", text, title) == f"title: {title} | text: {text}"
    assert GEMMA.render("query", text) == "task: search result | query: " + text
    assert ALL_MINILM_L6_V2.render("document", text, title) == f"{title} {text}"


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UnknownTask, match="'clusterin'; did you mean 'clustering'") as refused:
        GEMMA.render("clusterin", "x")

    assert refused.value.field == "task"


@pytest.mark.parametrize("task", ["query", "clustering", "Retrieval-query", "STS"])
def test_only_documents_take_a_title(task: str) -> None:
    with pytest.raises(InvalidRequest, match="only documents do"):
        GEMMA.render(task, "text", "title")


@pytest.mark.parametrize("task", ["document", "Retrieval-document"])
def test_both_names_of_the_document_task_take_a_title(task: str) -> None:
    assert GEMMA.render(task, "b", "a") == "title: a | text: b"


def test_a_profile_without_a_title_rule_takes_no_titles() -> None:
    with pytest.raises(InvalidRequest, match="takes no titles"):
        replace(GEMMA, title_rule=None).render("document", "b", "a")


@pytest.mark.parametrize("prompt", sorted(set(GEMMA.prompts.values())))
def test_a_text_that_begins_with_any_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(DoublePrompt, match="already begins with the prompt") as refused:
        GEMMA.refuse_prompted(prompt + "x", None, index=3)

    assert refused.value.index == 3
    assert prompt in str(refused.value)


@pytest.mark.parametrize(
    ("text", "title", "told", "field"),
    [
        ("title: Mars | text: red", None, "form of a titled document", "text"),
        ("red", "Mars | text: planets", "contains the mark .*; send the bare title", "title"),
        ("red", "Mars | text:", "contains the mark", "title"),
    ],
    ids=["titled form", "mark inside", "mark completed by ours"],
)
def test_a_title_whose_end_the_model_could_not_see_is_refused(
    text: str, title: str | None, told: str, field: str
) -> None:
    with pytest.raises(DoublePrompt, match=told) as refused:
        GEMMA.refuse_prompted(text, title, index=2)
    assert (refused.value.field, refused.value.index) == (field, 2)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("the prompt is 'task: search result | query: ' here", None),
        (" title: none | text: x", None),
        ("title: of a book without a mark", None),
        ("Task: search result | query: x", None),
        ("red | text: blue", "Mars | the planet"),
        ("title", "none"),
    ],
)
def test_texts_that_only_mention_a_prompt_pass(text: str, title: str | None) -> None:
    GEMMA.refuse_prompted(text, title)


@given(st.text(), st.text())
def test_a_model_without_prompts_refuses_no_text(text: str, title: str) -> None:
    ALL_MINILM_L6_V2.refuse_prompted(text, title)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_document_that_passes_can_be_read_back_from_what_the_model_reads(
    title: str, text: str
) -> None:
    try:
        GEMMA.refuse_prompted(text, title)
    except DoublePrompt:
        return
    rendered = GEMMA.render("document", text, title)

    head, _, tail = rendered.removeprefix("title: ").partition(" | text: ")

    assert (head, tail) == (title, text)


@PROFILES
def test_sizes_are_the_trained_ones_alone(profile: ModelProfile) -> None:
    assert [profile.require_size(size) for size in profile.sizes] == [*profile.sizes]
    for size in (0, -1, 1, 300, 769, 100_000):
        with pytest.raises(UnsupportedSize, match=f"no size {size}"):
            profile.require_size(size)


def test_gemma_has_four_sizes_and_takes_512_when_none_is_said() -> None:
    assert GEMMA.sizes == (768, 512, 256, 128)
    assert GEMMA.default_size == 512


@PROFILES
@pytest.mark.parametrize("dtype", ["float16", "fp16", "f16", "half", "FLOAT16", "Half"])
def test_no_profile_runs_in_float16(profile: ModelProfile, dtype: str) -> None:
    with pytest.raises(UnsupportedDtype, match="overflow half precision"):
        profile.require_dtype(dtype)
    with pytest.raises(UnsupportedDtype):
        replace(profile, dtypes=("float32", dtype))


def test_other_dtypes_are_those_of_the_profile() -> None:
    assert [GEMMA.require_dtype(dtype) for dtype in ("float32", "bfloat16")]
    with pytest.raises(UnsupportedDtype, match="does not run in 'int8'; use float32 or bfloat16"):
        GEMMA.require_dtype("int8")
    assert ALL_MINILM_L6_V2.require_dtype("int8") == "int8"


def test_tei_cannot_serve_embeddinggemma_2_and_says_who_can() -> None:
    with pytest.raises(ConfigurationError, match=r"embedding_gemma2.*'local'"):
        EMBEDDING_GEMMA_2.require_encoder("tei")
    assert EMBEDDING_GEMMA_2.require_encoder("local") == "local"
    assert GEMMA.require_encoder("tei") == "tei"


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": ()},
        {"sizes": (512, 768)},
        {"sizes": (512, 0)},
        {"default_size": 300},
        {"max_tokens": 0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_profile_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="embeddinggemma-300m"):
        replace(GEMMA, **change)


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("Which planet is red?", False),
        ("naïve café, Ærø", False),
        ("Какая планета красная?", True),
        ("火星は赤い", True),
        ("Mars и Венера and Earth", False),
        ("12345 !?", False),
        ("", False),
    ],
)
def test_an_english_model_warns_of_other_scripts(text: str, warned: bool) -> None:
    warning = script_warning(ALL_MINILM_L6_V2, text)

    assert (warning is not None) == warned
    assert warning is None or "embeddinggemma-300m" in warning


def test_a_multilingual_model_warns_of_nothing() -> None:
    assert script_warning(GEMMA, "Какая планета красная?") is None
