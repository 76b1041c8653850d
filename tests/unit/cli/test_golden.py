"""`gateway golden` and `gateway collections tune`, run as processes over one collection."""

import json

import pytest

from tests.support.chat_stub import ChatStub
from tests.support.cli import Shell
from tests.support.terminal import Terminal

LINE = "is told at length in this passage so that there is enough to ask about, and more. "


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell whose collection `notes` holds thirty documents, with short vectors beside.

    Another collection, `odd`, holds a document whose id no judgment can hold, and one like it.
    """
    shell = Shell(tmp_path_factory.mktemp("golden"))
    for number in range(30):
        shell.write(f"docs/d{number:02}.txt", f"The story of subject{number} {LINE * 3}")
    made = shell.run("collections", "create", "notes", "--size", "768", "--coarse", "128")
    assert made.code == 0, made.err
    ran = shell.run("ingest", "docs", "-c", "notes", "--json")
    assert ran.code == 0, ran.err
    rows = [{"id": key, "text": f"The story of {key} {LINE * 3}"} for key in ("a\tb", "c")]
    shell.write("odd.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    ran = shell.run("ingest", "odd.jsonl", "-c", "odd", "--json")
    assert ran.code == 0, ran.err
    return shell


def test_a_language_model_asks_and_the_set_can_be_measured(shell: Shell) -> None:
    with ChatStub(key="k") as stub:
        llm = {"GATEWAY_LLM__URL": stub.url, "GATEWAY_LLM__MODEL": "m", "GATEWAY_LLM__API_KEY": "k"}
        made = shell.run("golden", "new", "-c", "notes", "-o", "set", "--queries", "5", **llm)
        assert made.code == 0, made.err
        assert "5 questions in 'set'" in made.out
        more = shell.run("golden", "new", "-c", "notes", "-o", "set", "--queries", "7", **llm)
        assert (more.code, len(stub.requests)) == (0, 7), "what is asked is not asked again"
        assert "6/7 " in more.err
        judged = shell.run(
            *("golden", "new", "-c", "notes", "-o", "set", "--queries", "8", "--judge", "2"), **llm
        )
        assert (judged.code, "add --by-hand" in judged.err) == (2, True)
    enough = shell.run("golden", "new", "-c", "notes", "-o", "set", "--queries", "3")
    assert (enough.code, "a larger --queries asks for more" in enough.err) == (0, True)
    facts = shell.run("golden", "check", "set", "--json").json
    assert (facts["queries"], facts["judgments"], facts["spans"]) == (7, 7, 7)
    measured = shell.run("eval", "set", "--collection", "notes", "--stages", "lexical", "--json")
    assert measured.code == 0, measured.err
    assert measured.json["runs"][0]["stage"] == "lexical"


def test_by_hand_every_answer_is_kept_and_q_ends(shell: Shell) -> None:
    typed = "What is the first?\n\nwhat is the first\nWhat is the third?\nq\n"
    ran = shell.run("golden", "new", "-c", "notes", "-o", "hand", "--queries", "6", stdin=typed)
    assert ran.code == 0, ran.err
    assert "2 questions in 'hand'" in ran.out
    assert "'what is the first' is asked already" in ran.err
    again = shell.run("golden", "new", "-c", "notes", "-o", "hand", "--queries", "6", stdin="Q\n")
    assert (again.code, "2 questions in 'hand'" in again.out) == (0, True), again.err
    assert "3 of 6" in again.out, "two were asked about, and what was skipped does not count"


def test_the_documents_found_can_be_judged_as_well(shell: Shell) -> None:
    ran = shell.run(
        *("golden", "new", "-c", "notes", "-o", "judged", "--queries", "1", "--judge", "3"),
        stdin="What is told at length?\ny\nn\ny\n",
    )
    assert ran.code == 0, ran.err
    assert shell.run("golden", "check", "judged", "--json").json["judgments"] >= 3
    assert "documents: no corpus.jsonl" in shell.run("golden", "check", "judged").out


def test_ids_that_judgments_cannot_hold_cost_their_chunks_alone(shell: Shell) -> None:
    ran = shell.run(
        *("golden", "new", "-c", "odd", "-o", "odd", "--judge", "3"), stdin="What is told?\n"
    )
    assert ran.code == 0, ran.err
    assert "chunks left out: 1, of documents such as 'a\\tb'" in ran.err
    assert "cannot hold the document id 'a\\tb'" in ran.err, "it was found, and not shown"
    assert "1 question in 'odd'" in ran.out
    assert "collection 'odd' has no other chunk to ask about" in ran.err
    facts = shell.run("golden", "check", "odd", "--json").json
    assert (facts["queries"], facts["judgments"]) == (1, 1)


def test_what_is_no_question_is_asked_again_and_each_judgment_is_kept(shell: Shell) -> None:
    ran = shell.run(
        *("golden", "new", "-c", "notes", "-o", "again", "--queries", "2", "--judge", "3"),
        stdin=f"...\n{'w' * 301}\nWhat is told at length?\ny\n",
    )
    assert "a letter or a digit" in ran.err
    assert "300 characters at most, got 301" in ran.err
    assert (ran.code, "the input ended; what was answered is kept" in ran.err) == (1, True)
    facts = shell.run("golden", "check", "again", "--json").json
    assert (facts["queries"], facts["judgments"]) == (1, 2)


def test_what_ends_in_the_middle_keeps_what_was_answered(shell: Shell) -> None:
    ran = shell.run(
        "golden", "new", "-c", "notes", "-o", "cut", "--queries", "6", stdin="What is it?\n"
    )
    assert ran.code != 0, "the input ended before the questions did"
    assert shell.run("golden", "check", "cut", "--json").json["queries"] == 1


def test_an_interrupt_at_the_question_ends_at_once_and_keeps_the_answers(shell: Shell) -> None:
    terminal = Terminal("golden", "new", "-c", "notes", "-o", "torn", "--queries", "6", at=shell)
    with terminal as asked:
        asked.expect("q: end")
        asked.type("What is told?")
        asked.expect("2 of 6")
        asked.expect("q: end")
        asked.interrupt()
        assert asked.code() == 130
        asked.expect("interrupted")
    assert shell.run("golden", "check", "torn", "--json").json["queries"] == 1


def test_mistakes_exit_2_with_the_remedy(shell: Shell) -> None:
    missing = shell.run("golden", "new", "-c", "nowhere", "-o", "x")
    assert missing.code != 0
    assert "'nowhere' does not exist" in missing.err
    assert not (shell.home / "x").exists()
    shell.write("other/golden.json", '{"collection": "odd", "seed": 0}')
    other = shell.run("golden", "new", "-c", "notes", "-o", "other")
    assert (other.code, "collection 'odd', not 'notes'; give another" in other.err) == (2, True)
    foreign = shell.run("golden", "new", "-c", "notes", "-o", "docs")
    assert (foreign.code, "it holds 'd00.txt'; mend or remove that" in foreign.err) == (2, True)
    nameless = shell.run(
        "golden", "new", "-c", "notes", "-o", "x", GATEWAY_LLM__URL="http://127.0.0.1:9/v1"
    )
    assert (nameless.code, "llm.model" in nameless.err) == (2, True)
    with ChatStub(key="k") as stub:
        llm = {"GATEWAY_LLM__URL": stub.url, "GATEWAY_LLM__MODEL": "m"}
        stranger = shell.run("golden", "new", "-c", "notes", "-o", "x", **llm)
        assert (stranger.code != 0, len(stub.requests)) == (True, 1), stranger.err
    assert not (shell.home / "x").exists(), "nothing was asked"
    empty = shell.run("golden", "check", "docs")
    assert (empty.code, "no judgments" in empty.err) == (2, True)


def test_tuning_prints_what_it_chose_from_and_keeps_the_choice(shell: Shell) -> None:
    dry = shell.run("collections", "tune", "notes", "-n", "3", "--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert dry.json["kept"] is False
    before = shell.run("collections", "show", "notes", "--json").json["tuning"]
    ran = shell.run("collections", "tune", "notes", "-n", "3", "--queries", "20")
    assert ran.code == 0, ran.err
    assert "recall@3 against exact search" in ran.out
    assert "chosen" in ran.out
    exact, chosen_ms = dry.json["exact_milliseconds"], dry.json["chosen"]["milliseconds"]
    assert dry.json["exact_is_as_fast"] == (exact <= chosen_ms)
    after = shell.run("collections", "show", "notes", "--json").json["tuning"]
    chosen = dry.json["chosen"]["tuning"]["coarse_oversampling"]
    assert (before["coarse_oversampling"], after["coarse_oversampling"]) == (10.0, chosen)
    names = [info["name"] for info in shell.run("collections", "list", "--json").json]
    assert names == ["notes", "odd"]
    assert shell.run("collections", "tune", "notes", "--recall", "2").code == 2
    few = shell.run("collections", "tune", "notes", "-n", "30")
    assert (few.code, "too few" in few.err) == (2, True)
    missing = shell.run("collections", "tune", "nope")
    assert (missing.code, "'nope'" in missing.err) == (2, True), "1 is a verdict"
