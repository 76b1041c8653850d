"""Golden sets in the making: what is asked is kept at once, and work goes on where it ended."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from gateway.domain.documents import Chunk, StoredChunk
from gateway.errors import ConfigurationError, InvalidRequest, UpstreamError, UpstreamUnavailable
from gateway.evaluation.draft import Draft, query_id
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.making import write_questions

pytestmark = pytest.mark.anyio


KEY = "q-0000000000000001"


def stored(number: int, text: str = "a long passage " * 10, document_id: str = "") -> StoredChunk:
    chunk = Chunk(document_id or f"d{number}", 0, text, 5, 5 + len(text), 9, 1, "hash")
    return StoredChunk(UUID(int=number << 64), chunk, "2026-01-01T00:00:00Z")


def made(folder: Path, collection: str = "c", seed: int | None = None) -> Draft:
    draft = Draft(folder, collection, seed)
    draft.make()
    return draft


async def each_of(*chunks: StoredChunk) -> AsyncIterator[StoredChunk]:
    for chunk in chunks:
        yield chunk


class Model:
    """Asks about a passage, and fails at the n-th."""

    model_id = "scripted"

    def __init__(self, answers: Sequence[str], fail_at: int = 99) -> None:
        self.answers = list(answers)
        self.fail_at = fail_at

    async def complete(self, request: str) -> str:
        self.fail_at -= 1
        if self.fail_at < 0:
            raise UpstreamUnavailable("it is gone", service="llm")
        return self.answers.pop(0)

    async def aclose(self) -> None:
        """Nothing is held open."""


def test_a_draft_is_a_golden_set_after_every_answer(tmp_path: Path) -> None:
    draft = made(tmp_path)
    draft.add(stored(1), " What is\nred? ")
    found = GoldenSet.load(tmp_path)
    (key,) = found.queries
    assert found.queries[key] == "What is red?"
    assert found.qrels[key] == {"d1": 1}
    assert [(span.document_id, span.start) for span in found.spans[key]] == [("d1", 5)]
    draft.add(stored(2), "Second?")
    draft.grade(stored(2), "d7", 0)
    draft.grade(stored(2), "d8", 1)
    assert GoldenSet.load(tmp_path).qrels["q-0000000000000002"] == {"d7": 0, "d8": 1, "d2": 1}


def test_work_goes_on_where_it_ended(tmp_path: Path) -> None:
    chunks = [stored(number) for number in range(1, 5)]
    draft = made(tmp_path)
    draft.add(chunks[0], "First?")
    draft.skip(chunks[1])
    again = made(tmp_path)
    assert len(again) == 1
    assert [again.knows(chunk) for chunk in chunks] == [True, True, False, False]


def test_a_kill_between_two_files_leaves_a_set_that_can_be_read(tmp_path: Path) -> None:
    draft = made(tmp_path)
    draft.add(stored(1), "First?")
    with (tmp_path / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q-half", "text": "Half?"}\n')
    found = GoldenSet.load(tmp_path)
    assert (len(found.queries), found.unjudged) == (1, ("q-half",))


async def test_a_model_that_fails_keeps_what_it_asked_before(tmp_path: Path) -> None:
    chunks = each_of(*map(stored, range(1, 5)))
    asked: list[str] = []
    model = Model(["Question: What?", " ", "x"], fail_at=2)
    draft = made(tmp_path)
    with pytest.raises(UpstreamUnavailable):  # noqa: PT012  what came before is looked at
        async for _, question in write_questions(model, chunks, draft):
            asked.append(question)
    assert asked == ["What?", ""]
    again = made(tmp_path)
    assert [again.knows(stored(number)) for number in range(1, 5)] == [True, False, False, False]
    assert len(GoldenSet.load(tmp_path).queries) == 1


async def test_what_a_model_does_not_ask_about_is_skipped_once_it_asks_again(
    tmp_path: Path,
) -> None:
    chunks = [stored(number) for number in range(1, 4)]
    draft = made(tmp_path)
    questions = write_questions(Model(["-", "<think>hm", "How?"]), each_of(*chunks), draft)
    assert [(await anext(questions))[1], draft.knows(chunks[0])] == ["", False]
    assert [question async for _, question in questions] == ["", "How?"]
    assert all(Draft(tmp_path, "c").knows(chunk) for chunk in chunks)
    assert len(draft) == 1


async def test_a_model_that_never_asks_is_refused_and_spoils_no_chunk(tmp_path: Path) -> None:
    chunks = [stored(number) for number in range(1, 30)]
    answers = ["What?", *["<think>so long"] * 20]
    asked: list[str] = []
    with pytest.raises(UpstreamError, match=r"asked nothing new in 8 answers.* '<think>so long'"):  # noqa: PT012
        async for _, question in write_questions(Model(answers), each_of(*chunks), made(tmp_path)):
            asked.append(question)
    assert asked == ["What?", *[""] * 8]
    assert [Draft(tmp_path, "c").knows(chunk) for chunk in chunks[:3]] == [True, False, False]


async def test_a_model_that_asks_about_no_chunk_of_few_is_refused_too(tmp_path: Path) -> None:
    questions = write_questions(Model(["", "..."]), each_of(stored(1), stored(2)), made(tmp_path))
    with pytest.raises(UpstreamError, match=r"asked nothing new in 2 answers.* '\.\.\.'"):
        assert [question async for _, question in questions] == []


async def test_a_model_that_asks_the_same_of_every_chunk_is_refused(tmp_path: Path) -> None:
    chunks = [stored(number) for number in range(1, 30)]
    answers = ["What is this about?", *["what is this  about"] * 20]
    questions = write_questions(Model(answers), each_of(*chunks), made(tmp_path))
    with pytest.raises(UpstreamError, match=r"asked nothing new in 8 answers.* 'what is this"):
        assert [question async for _, question in questions] == []
    assert len(GoldenSet.load(tmp_path).queries) == 1
    assert not Draft(tmp_path, "c").knows(chunks[1]), "it is no fault of the chunk"


async def test_what_was_asked_before_is_no_question_again(tmp_path: Path) -> None:
    made(tmp_path).add(stored(1), "What is red?")
    questions = write_questions(
        Model(["What is red?", "What is blue?"]), each_of(stored(2), stored(3)), made(tmp_path)
    )
    assert [question async for _, question in questions] == ["", "What is blue?"]
    with pytest.raises(InvalidRequest, match=r"'what is blue' is asked already, .*this one alone"):
        made(tmp_path).add(stored(4), "what is blue")


@pytest.mark.parametrize("question", [" ", "...?", "x" * 301, "a\x00b", "a\ud800b"])
def test_what_is_no_question_is_refused_and_nothing_is_written(
    tmp_path: Path, question: str
) -> None:
    with pytest.raises(InvalidRequest, match="question"):
        made(tmp_path).add(stored(1), question)
    assert not (tmp_path / "queries.jsonl").exists()


@pytest.mark.parametrize("odd", ["a\tb", "a\nb", "a\rb", " a", "a\u00a0", "\x1fa"])
def test_an_id_that_judgments_cannot_hold_is_refused_and_nothing_is_written(
    tmp_path: Path, odd: str
) -> None:
    draft = made(tmp_path)
    draft.add(stored(1), "First?")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InvalidRequest, match="cannot hold the document id"):
        draft.add(stored(2, document_id=odd), "Second?")
    with pytest.raises(InvalidRequest, match="cannot hold the document id"):
        draft.grade(stored(1), odd, 1)
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_id_with_any_other_characters_comes_back(tmp_path: Path) -> None:
    odd = "a b/ü\u2028\x0b\x85\"'#\ufeff?"
    made(tmp_path).add(stored(1, document_id=odd), "What?")
    found = GoldenSet.load(tmp_path)
    assert list(found.qrels.values()) == [{odd: 1}]
    assert [spans[0].document_id for spans in found.spans.values()] == [odd]


def test_what_was_edited_by_hand_goes_on(tmp_path: Path) -> None:
    made(tmp_path).add(stored(1), "First?")
    for path in (tmp_path / "queries.jsonl", tmp_path / "qrels/test.tsv", tmp_path / "spans.jsonl"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().rstrip())
    again = made(tmp_path)
    again.add(stored(2), "Second?")
    assert len(again) == len(GoldenSet.load(tmp_path).queries) == 2


@pytest.mark.parametrize(
    ("name", "torn", "why"),
    [
        ("queries.jsonl", '{"_id": "q-', "queries.jsonl line 2: not JSON"),
        ("queries.jsonl", '{"_id": "q", "text": null}\n', "queries.jsonl line 2: 'text' must be"),
        ("spans.jsonl", '{"query-id": "q-', "spans.jsonl line 2 is not JSON"),
        ("spans.jsonl", "[]\n", "spans.jsonl line 2 is not a span"),
        (
            "spans.jsonl",
            f'{{"query-id": "{KEY}", "corpus-id": "d1", "char_spans": null}}\n',
            "not a s",
        ),
        ("qrels/test.tsv", "q-00\td", "qrels/test.tsv line 3 has 2 fields"),
        ("qrels/test.tsv", f"{KEY}\td2\t", "qrels/test.tsv line 3: grade '' is not"),
        ("qrels/test.tsv", f"{KEY}\td2\tx", "qrels/test.tsv line 3: grade 'x' is not"),
    ],
)
def test_a_line_that_was_torn_is_told_before_another_joins_it(
    tmp_path: Path, name: str, torn: str, why: str
) -> None:
    made(tmp_path).add(stored(1), "What?")
    with (tmp_path / name).open("a") as file:
        file.write(torn)
    with pytest.raises(ConfigurationError, match=f"{why}.*; mend or remove that"):
        Draft(tmp_path, "c")
    assert (tmp_path / name).read_text().endswith(torn)


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_question_that_never_got_its_judgment_is_asked_anew(tmp_path: Path, end: str) -> None:
    """A kill came between the two files."""
    draft = made(tmp_path)
    draft.add(stored(1), "First?")
    with (tmp_path / "queries.jsonl").open("a") as file:
        file.write(f'{{"_id": "{query_id(stored(2))}", "text": "Second?"}}{end}')
    again = made(tmp_path)
    assert (len(again), again.knows(stored(1)), again.knows(stored(2))) == (1, True, False)
    again.add(stored(3), "Third?")
    again.add(stored(2), "Second?")
    found = GoldenSet.load(tmp_path)
    assert (list(found.queries.values()), found.unjudged) == (["First?", "Third?", "Second?"], ())
    assert len(made(tmp_path)) == 3


def test_the_first_question_may_lack_its_judgment_too(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "queries.jsonl").write_text(f'{{"_id": "{KEY}", "text": "First?"}}\n')
    again = Draft(tmp_path, "c")
    assert len(again) == 0
    again.add(stored(1), "Better?")
    assert list(GoldenSet.load(tmp_path).queries.values()) == ["Better?"]


@pytest.mark.parametrize("left", ["", "query-id\tcorpus-id\tscore\n"])
def test_questions_beside_an_empty_file_of_judgments_are_refused(tmp_path: Path, left: str) -> None:
    for number in (1, 2):
        made(tmp_path).add(stored(number), f"What of {number}?")
    (tmp_path / "qrels/test.tsv").write_text(left)
    with pytest.raises(ConfigurationError, match=r"it has questions, and .* judgments is missing"):
        Draft(tmp_path, "c")


def test_questions_whose_judgments_are_gone_are_refused(tmp_path: Path) -> None:
    made(tmp_path).add(stored(1), "What?")
    (tmp_path / "qrels/test.tsv").unlink()
    with pytest.raises(
        ConfigurationError, match=r"qrels/test\.tsv with their judgments is missing"
    ):
        Draft(tmp_path, "c")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("queries.jsonl", "no json\n", "queries.jsonl line 1"),
        ("queries.jsonl", '{"_id": "q", "text": "t"}\n{"text": "no id"}\n', "queries.jsonl line 2"),
        ("queries.jsonl", "[1]\n", "queries.jsonl line 1"),
        ("queries.jsonl", "[" * 100_000, "queries.jsonl line 1"),
        ("corpus.jsonl", '{"_id": "d", "text": "t"}\n', "it holds 'corpus.jsonl'"),
        ("letter.txt", "Dear Ann", "it holds 'letter.txt'"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    tmp_path: Path, name: str, content: str, why: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(
        ConfigurationError, match=f"no golden set in the making: .*{why}.*; .*--out"
    ):
        Draft(tmp_path, "c")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_whole_set_is_refused_and_a_draft_with_files_of_its_user_is_not(tmp_path: Path) -> None:
    made(tmp_path).add(stored(1), "First?")
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "corpus.jsonl").write_text("")
    assert len(Draft(tmp_path, "c")) == 1
    (tmp_path / "golden.json").unlink()
    with pytest.raises(ConfigurationError, match=r"it holds 'corpus\.jsonl'"):
        Draft(tmp_path, "c")
    (tmp_path / "corpus.jsonl").unlink()
    assert len(Draft(tmp_path, "c")) == 1


@pytest.mark.parametrize("skip", [True, False])
def test_nothing_is_written_before_the_first_record(tmp_path: Path, skip: bool) -> None:
    draft = Draft(tmp_path / "deep" / "set", "c")
    draft.require_writable()
    with pytest.raises(InvalidRequest, match="cannot hold the document id"):
        draft.add(stored(1, document_id="a\tb"), "What?")
    assert list(tmp_path.iterdir()) == []
    draft.skip(stored(1)) if skip else draft.add(stored(1), "What?")
    assert Draft(tmp_path / "deep" / "set", "c").knows(stored(1))
    assert (tmp_path / "deep/set/qrels/test.tsv").exists()


def test_a_folder_that_cannot_be_written_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigurationError, match="--out"):
        Draft(tmp_path / "file", "c")
    draft = Draft(tmp_path / "set", "c")
    (tmp_path / "set").write_text("came between")
    for write in (draft.require_writable, draft.make, lambda: draft.skip(stored(1))):
        with pytest.raises(ConfigurationError, match=r"cannot be written: .*; mend that.*--out"):
            write()


def test_a_draft_remembers_its_collection_and_seed(tmp_path: Path) -> None:
    made(tmp_path, "docs", 7).add(stored(1), "What?")
    assert Draft(tmp_path, "docs").seed == 7
    assert Draft(tmp_path, "docs", 8).seed == 8
    assert Draft(tmp_path, "docs").seed == 7, "nothing was made"
    made(tmp_path, "docs", 8)
    assert Draft(tmp_path, "docs").seed == 8
    with pytest.raises(ConfigurationError, match=r"about collection 'docs', not 'notes'; .*--out"):
        Draft(tmp_path, "notes")


def test_what_a_draft_remembers_is_no_part_of_the_set(tmp_path: Path) -> None:
    made(tmp_path).add(stored(1), "What?")
    before = GoldenSet.load(tmp_path)
    (tmp_path / "golden.json").unlink()
    assert GoldenSet.load(tmp_path).sha256 == before.sha256


def test_an_older_draft_goes_on_and_is_told_its_collection(tmp_path: Path) -> None:
    made(tmp_path).add(stored(1), "What?")
    (tmp_path / "golden.json").unlink()
    assert len(made(tmp_path, "docs", 3)) == 1
    assert json.loads((tmp_path / "golden.json").read_text()) == {"collection": "docs", "seed": 3}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"collection": "c"}',
        '{"collection": 1, "seed": "x"}',
        '{"collection": "c", "seed": 1e400}',
    ],
)
def test_a_memory_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    made(tmp_path)
    (tmp_path / "golden.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"golden\.json names no collection and seed"):
        Draft(tmp_path, "c")
