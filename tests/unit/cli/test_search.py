"""`gateway search` and `gateway collections create`: stages, their explanation, and bad input."""

import pytest

from tests.support.cli import Shell, ids

DOCUMENTS = [
    ("mars", "Mars is the red planet.", 2024),
    ("venus", "Venus is the hottest planet.", 2020),
    ("disk", "Error E1234 means the disk is full.", 2025),
]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell with two collections: `c` with short vectors and words, `plain` without either."""
    shell = Shell(tmp_path_factory.mktemp("cli"))
    rows = [
        f'{{"_id": "{key}", "text": "{text}", "year": {year}}}' for key, text, year in DOCUMENTS
    ]
    made = shell.run(
        *("collections", "create", "c", "--size", "768", "--coarse", "128"),
        *("--language", "english", "--field", "year:integer", "--json"),
        *("--k1", "0.9", "--b", "0.4", "--average-words", "40"),
    )
    assert made.code == 0, made.err
    assert (made.json["coarse"], made.json["lexical"]["language"]) == (128, "english")
    assert made.json["filter_fields"] == {"year": "integer"}
    plain = shell.run("collections", "create", "plain", "--no-lexical", "--json")
    assert plain.json["lexical"] is None
    ran = shell.run("ingest", "-", "--format", "jsonl", "-c", "c", "--json", stdin="\n".join(rows))
    assert ran.code == 0, ran.err
    return shell


def test_words_find_what_has_them_and_the_explanation_is_a_table(shell: Shell) -> None:
    own = ("--coarse-size", "128", "--rrf-k", "7")
    ran = shell.run("search", "E1234", "-c", "c", "--explain", *own)
    assert ran.code == 0, ran.err
    assert "disk" in ran.out.splitlines()[0]
    for told in ("mode hybrid", "fusion rrf k=7", "first pass over 128", "trace "):
        assert told in ran.out
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line.strip()}
    assert rows["hybrid"][:2] == ["4", "3"], "three by meaning and one by words"
    assert rows["coarse"][0] == rows["dense"][0] == "3"
    assert rows["page"][:2] == ["3", "3"]


def test_stages_are_options(shell: Shell) -> None:
    ran = shell.run(
        *("search", "red planet", "-c", "c", "--json", "--explain", "--by-document"),
        *("--group-size", "2", "--mmr", "0.5", "--neighbours", "1", "--no-coarse", "--no-rerank"),
        *("--also", "hottest", "--filter", '{"range": {"metadata.year": {"lt": 2025}}}'),
    )
    assert ran.code == 0, ran.err
    assert set(ids(ran.json["hits"])) == {"mars", "venus"}
    stages = [stage["stage"] for stage in ran.json["explanation"]["stages"]]
    assert stages == ["hybrid", "mmr", "group", "page", "neighbours"]
    assert ran.json["explanation"]["coarse_size"] is None


def test_a_collection_is_shown_in_words(shell: Shell) -> None:
    lines = shell.run("collections", "show", "c").out.splitlines()
    shown = dict(line.split(": ", 1) for line in lines)
    assert shown["lexical"].startswith("language english, k1 0.9, b 0.4, average_words 40")
    assert shown["tuning"].startswith("quantization int8, oversampling 2.0")
    assert (shown["coarse"], shown["calibrated"]) == ("128", "none")
    assert shown["filter_fields"] == "year integer"


def test_a_field_declared_as_filters_name_it_is_refused_before_anything_is_made(
    shell: Shell,
) -> None:
    ran = shell.run("collections", "create", "d", "--field", "metadata.year:integer")
    assert ran.code == 2
    assert "declare the field as 'year'" in ran.err
    assert shell.run("collections", "show", "d").code == 2


MISTAKES = [
    (("c", "--mode", "semantic"), "'lexical'"),
    (("c", "--limit", "0"), "limit must be 1-1000"),
    (("c", "--limit", "1000000"), "limit must be 1-1000"),
    (("c", "--filter", '{"eq": {"metadata.colour": "red"}}'), "declared: metadata.year"),
    (("c", "--filter", '{"eq": {"metadata.year": "2024"}}'), "of type integer"),
    (("c", "--filter", ""), "--filter is not JSON"),
    (("c", "--rerank"), "no reranker is configured"),
    (("c", "--rerank-candidates", "9"), "no reranker is configured"),
    (("c", "--coarse-size", "256"), "it has those of size 128"),
    (("c", "--mmr", "2"), "mmr must be 0-1"),
    (("plain", "--coarse"), "no short vectors"),
    (("plain", "--mode", "lexical"), "search it by mode dense"),
]


@pytest.mark.parametrize(("arguments", "remedy"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_bad_search_exits_2_and_says_what_would_do(
    shell: Shell, arguments: tuple[str, ...], remedy: str
) -> None:
    ran = shell.run("search", "planet", "-c", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert remedy in " ".join(ran.err.split())


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("--size", "256", "--coarse", "512"), "coarse"),
        (("--coarse", "999"), "coarse: model"),
        (("--language", "klingon"), "russian"),
        (("--field", "year"), "NAME:TYPE"),
    ],
)
def test_a_bad_collection_exits_2_and_nothing_is_made(
    shell: Shell, arguments: tuple[str, ...], remedy: str
) -> None:
    ran = shell.run("collections", "create", "bad", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert remedy in ran.err
    assert "bad" not in shell.run("collections", "list").out
