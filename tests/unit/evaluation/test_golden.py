"""Golden sets: what is read, and what is refused with the file and the line."""

import gzip
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.domain.documents import Document
from gateway.errors import InvalidGoldenSet
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.qrels import HIGHEST
from gateway.evaluation.spans import GoldSpan
from gateway.evaluation.told import repeated_queries, warnings_of
from tests.support.golden_sets import DOCUMENTS, QRELS, QUERIES, write_set


def packed(folder: Path, target: Path) -> Path:
    """The same set with every file gzipped."""
    (target / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        with gzip.open(target / f"{name}.gz", "wb") as file:
            file.write((folder / name).read_bytes())
    return target


def zipped(folder: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def texts(golden: GoldenSet) -> dict[str, str]:
    return {item.id: item.text for item in golden.corpus() if isinstance(item, Document)}


def test_facts_of_a_set(tmp_path: Path) -> None:
    golden = GoldenSet.load(write_set(tmp_path / "little"))
    assert golden.name == "little"
    assert golden.queries == {key: QUERIES[key] for key in ("q1", "q2", "q3")}
    assert golden.qrels["q1"] == {"otters": 2, "bees": 0}
    assert golden.unjudged == ("q4",)
    assert (golden.documents, golden.empty, golden.judgments, golden.graded) == (6, 1, 4, True)


def test_an_empty_document_survives(tmp_path: Path) -> None:
    golden = GoldenSet.load(write_set(tmp_path))
    assert texts(golden) == DOCUMENTS


def test_a_query_without_a_relevant_document_is_left_out_and_told(tmp_path: Path) -> None:
    golden = GoldenSet.load(write_set(tmp_path, qrels=[*QRELS, ("q4", "bees", "0")]))
    assert (golden.unjudged, golden.hopeless) == ((), ("q4",))
    assert "q4" not in golden.queries


def test_folder_gzip_and_zip_are_the_same_set(tmp_path: Path) -> None:
    plain = write_set(tmp_path / "set")
    forms = [
        packed(plain, tmp_path / "gz"),
        zipped(plain, tmp_path / "flat.zip"),
        zipped(plain, tmp_path / "inside.zip", "scifact/"),
        zipped(packed(plain, tmp_path / "gz2"), tmp_path / "both.zip"),
    ]
    first = GoldenSet.load(plain)
    for form in forms:
        golden = GoldenSet.load(form)
        assert (golden.queries, golden.qrels) == (first.queries, first.qrels)
        assert golden.sha256 == first.sha256
        assert texts(golden) == texts(first) == DOCUMENTS


def test_the_digest_follows_every_file(tmp_path: Path) -> None:
    digests = {
        GoldenSet.load(write_set(tmp_path / "a")).sha256,
        GoldenSet.load(write_set(tmp_path / "b", qrels=QRELS[:-1])).sha256,
        GoldenSet.load(write_set(tmp_path / "c", queries={**QUERIES, "q1": "other"})).sha256,
        GoldenSet.load(write_set(tmp_path / "d", documents={**DOCUMENTS, "bees": "x"})).sha256,
    }
    assert len(digests) == 4


def test_without_a_header_the_first_line_is_a_judgment(tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    lines = (folder / "qrels/test.tsv").read_text("utf-8").splitlines(keepends=True)[1:]
    (folder / "qrels/test.tsv").write_text("".join(lines), "utf-8")
    assert GoldenSet.load(folder).qrels["q1"]["otters"] == 2


@pytest.mark.parametrize("grade", ["1_0", "+1", "٣", "²", "nan", "-inf", "1e3", "-", ""])
def test_a_first_line_with_a_wrong_grade_is_no_header(grade: str, tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    (folder / "qrels/test.tsv").write_text(f"q1\totters\t{grade}\nq2\tbees\t1\n", "utf-8")
    with pytest.raises(InvalidGoldenSet, match=r"line 1: grade .* is not a whole number"):
        GoldenSet.load(folder)


@pytest.mark.parametrize("title", ["score", "relevance (0-2)", '"grade"', "Note"])
def test_a_header_may_have_any_words(title: str, tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    lines = (folder / "qrels/test.tsv").read_text("utf-8").splitlines(keepends=True)[1:]
    (folder / "qrels/test.tsv").write_text(f"q\td\t{title}\n" + "".join(lines), "utf-8")
    assert GoldenSet.load(folder).judgments == 4


def test_grades_may_be_padded_and_reach_the_highest(tmp_path: Path) -> None:
    rows = [("q1", "otters", " 0010000 "), ("q1", "bees", "00"), ("q2", "bees", "1 ")]
    golden = GoldenSet.load(write_set(tmp_path, qrels=rows))
    assert golden.qrels == {"q1": {"otters": HIGHEST, "bees": 0}, "q2": {"bees": 1}}


def test_splits(tmp_path: Path) -> None:
    folder = write_set(tmp_path, split="dev")
    assert GoldenSet.load(folder).split == "dev"
    write_set(folder, qrels=QRELS[:2], split="test")
    assert len(GoldenSet.load(folder).queries) == 1
    assert len(GoldenSet.load(folder, split="dev").queries) == 3
    with pytest.raises(InvalidGoldenSet, match=r"no split 'train'; give --split: dev, test"):
        GoldenSet.load(folder, split="train")


def test_first_queries(tmp_path: Path) -> None:
    golden = GoldenSet.load(write_set(tmp_path))
    assert list(golden.first(2).queries) == list(golden.first(2).qrels) == ["q1", "q2"]
    assert golden.first(None) is golden
    with pytest.raises(InvalidGoldenSet, match="take 1 or more"):
        golden.first(0)


def test_spans(tmp_path: Path) -> None:
    row = {"query-id": "q1", "corpus-id": "otters", "char_spans": [[7, 12], [28, 38]]}
    golden = GoldenSet.load(write_set(tmp_path, spans=[row, row]))
    assert golden.spans == {"q1": (GoldSpan("otters", 7, 12), GoldSpan("otters", 28, 38))}


@pytest.mark.parametrize(
    ("place", "inside"),
    [((0, 5), False), ((5, 8), True), ((12, 20), False), ((8, 9), True), ((0, 99), True)],
)
def test_a_chunk_is_right_if_it_overlaps_a_span(place: tuple[int, int], inside: bool) -> None:
    span = GoldSpan("otters", 5, 12)
    assert span.overlaps("otters", *place) is inside
    assert not span.overlaps("bees", *place)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a query nobody asked": (
        lambda at: write_set(at, qrels=[*QRELS, ("q9", "bees", "1")]),
        r"qrels/test\.tsv line 6: query 'q9' is not in the set's queries",
    ),
    "an unknown document": (
        lambda at: write_set(at, qrels=[*QRELS, ("q1", "moles", "1"), ("q1", "voles", "1")]),
        r"line 6: document 'moles' is not in the corpus, nor are those of 1 other lines",
    ),
    "another corpus": (
        lambda at: write_set(at, qrels=[("q1", "moles", "1"), ("q2", "voles", "1")]),
        "judges another corpus: none of its 2 documents is in this one .*give the corpus",
    ),
    "a negative grade": (
        lambda at: write_set(at, qrels=[*QRELS, ("q4", "bees", "-1")]),
        r"line 6: grade -1 is negative; write 0",
    ),
    "a grade that is no whole number": (
        lambda at: write_set(at, qrels=[*QRELS, ("q4", "bees", "0.5")]),
        r"line 6: grade '0\.5' is not a whole number",
    ),
    "a grade that Python alone reads": (
        lambda at: write_set(at, qrels=[*QRELS, ("q4", "bees", "1_0")]),
        "line 6: grade '1_0' is not a whole number; write digits alone",
    ),
    "a grade with a sign": (
        lambda at: write_set(at, qrels=[*QRELS, ("q4", "bees", "+1")]),
        r"line 6: grade '\+1' is not a whole number",
    ),
    "a grade in other digits": (
        lambda at: write_set(at, qrels=[*QRELS, ("q4", "bees", "٣")]),
        "line 6: grade '٣' is not a whole number",
    ),
    "a grade that cannot be measured": (
        lambda at: write_set(at, qrels=[*QRELS, ("q4", "bees", "10001")]),
        "line 6: grade 10001 is above 10000, the highest .*; scale the grades down",
    ),
    "a grade of very many digits": (
        lambda at: write_set(at, qrels=[*QRELS, ("q4", "bees", "9" * 5_000)]),
        "line 6: grade 99999999999999999999 is above 10000",
    ),
    "a pair judged twice": (
        lambda at: write_set(at, qrels=[*QRELS, ("q1", "otters", "2")]),
        r"line 6: document 'otters' is judged twice for query 'q1'",
    ),
    "two fields": (
        lambda at: write_set(at, qrels=[("q1", "otters")]),
        r"line 2 has 2 fields separated by tabs, not 3",
    ),
    "no judgment": (lambda at: write_set(at, qrels=[]), "there is nothing to measure"),
    "nothing relevant": (
        lambda at: write_set(at, qrels=[("q1", "bees", "0")]),
        "measures nothing: no query of split 'test' has a relevant document",
    ),
    "no query": (lambda at: write_set(at, queries={}, qrels=QRELS), r"queries\.jsonl is empty"),
    "no document": (lambda at: write_set(at, documents={}), "has no document with text"),
    "only empty documents": (
        lambda at: write_set(at, documents={"otters": "", "bees": " ", "bread": ""}),
        "has no document with text",
    ),
    "a blank query": (
        lambda at: write_set(at, queries={**QUERIES, "q5": "  "}),
        r"queries\.jsonl line 5: query 'q5' is blank",
    ),
    "a span of an unknown query": (
        lambda at: write_set(
            at, spans=[{"query-id": "q9", "corpus-id": "bees", "char_spans": [[0, 1]]}]
        ),
        r"spans\.jsonl line 1: query 'q9'",
    ),
    "a span behind its document": (
        lambda at: write_set(
            at, spans=[{"query-id": "q1", "corpus-id": "bees", "char_spans": [[50, 90]]}]
        ),
        "span 50-90 ends behind document 'bees', which has 56 characters",
    ),
    "an empty span": (
        lambda at: write_set(
            at, spans=[{"query-id": "q1", "corpus-id": "bees", "char_spans": [[9, 9]]}]
        ),
        "span 9-9 holds no character",
    ),
    "a span without an end": (
        lambda at: write_set(
            at,
            spans=[
                {"query-id": "q1", "corpus-id": "bees", "char_spans": [[float("inf"), 2]]},
            ],
        ),
        "line 1 is not a span; write",
    ),
    "a span without places": (
        lambda at: write_set(at, spans=[{"query-id": "q1", "corpus-id": "bees"}]),
        "line 1 is not a span; write",
    ),
}


@pytest.mark.parametrize("place", [0.9, 5.0, "5", True, None, float("nan")])
def test_places_of_a_span_are_whole_numbers(place: object, tmp_path: Path) -> None:
    row = {"query-id": "q1", "corpus-id": "bees", "char_spans": [[0, 9], [place, 9]]}
    with pytest.raises(InvalidGoldenSet, match="line 1 is not a span; write whole numbers"):
        GoldenSet.load(write_set(tmp_path, spans=[row]))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused(case: str, tmp_path: Path) -> None:
    make, message = REFUSED[case]
    make(tmp_path)
    with pytest.raises(InvalidGoldenSet, match=message):
        GoldenSet.load(tmp_path)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_ids_that_come_twice_are_refused_by_line(name: str, tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write('{"_id": "q1", "text": "again"}\n{"_id": "q1", "text": "and again"}\n')
    lines = {"corpus.jsonl": 8, "queries.jsonl": 5}
    with pytest.raises(InvalidGoldenSet, match=f"{name} line {lines[name]}: .* 'q1' was there"):
        GoldenSet.load(folder)


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write("{'_id': 7}\n")
    with pytest.raises(InvalidGoldenSet, match=r"corpus\.jsonl line 7: not JSON"):
        GoldenSet.load(folder)


def test_files_that_are_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(InvalidGoldenSet, match="does not exist"):
        GoldenSet.load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("no set")
    with pytest.raises(InvalidGoldenSet, match="neither a folder nor a zip"):
        GoldenSet.load(tmp_path / "file")
    folder = packed(write_set(tmp_path / "plain"), tmp_path / "gz")
    whole = (folder / "corpus.jsonl.gz").read_bytes()
    (folder / "corpus.jsonl.gz").write_bytes(whole[:-20])
    with pytest.raises(InvalidGoldenSet, match=r"corpus\.jsonl\.gz cannot be read"):
        GoldenSet.load(folder)
    shutil.rmtree(tmp_path / "plain" / "qrels")
    with pytest.raises(InvalidGoldenSet, match="has no judgments"):
        GoldenSet.load(tmp_path / "plain")


def encrypted(data: bytes) -> bytes:
    """Set the flag of encryption in every header, local and central."""
    flagged = bytearray(data)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = flagged.find(mark)
        while at >= 0:
            flagged[at + place] |= 1
            at = flagged.find(mark, at + 4)
    return bytes(flagged)


DAMAGED: dict[str, tuple[int, Callable[[bytes], bytes], str]] = {
    "encrypted": (zipfile.ZIP_STORED, encrypted, "cannot be read: .* is encrypted, password"),
    "a broken directory": (
        zipfile.ZIP_STORED,
        lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x00"),
        "is a damaged zip archive: .*; pack it again",
    ),
    "a name that is no text": (
        zipfile.ZIP_STORED,
        lambda data: data.replace(b"ueries.json\xc3\xbc", b"ueries.json\xc3("),
        "is a damaged zip archive: .*; pack it again",
    ),
    "a part of it": (
        zipfile.ZIP_STORED,
        lambda data: data[: len(data) // 2],
        "is a damaged zip archive: its end is missing; give a folder or .zip",
    ),
    "broken data": (
        zipfile.ZIP_LZMA,
        lambda data: data[:70] + b"\xff" * 60 + data[130:],
        r"corpus\.jsonl cannot be read",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_archive_is_refused(case: str, tmp_path: Path) -> None:
    kind, damage, message = DAMAGED[case]
    folder = write_set(tmp_path / "plain")
    (folder / "queries.json\u00fc").write_text("")
    with zipfile.ZipFile(tmp_path / "set.zip", "w", kind) as archive:
        for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "queries.json\u00fc"):
            archive.write(folder / name, name)
    whole = (tmp_path / "set.zip").read_bytes()
    assert damage(whole) != whole
    (tmp_path / "set.zip").write_bytes(damage(whole))
    with pytest.raises(InvalidGoldenSet, match=message):
        GoldenSet.load(tmp_path / "set.zip")


def test_queries_that_ask_the_same_are_told(tmp_path: Path) -> None:
    alike = {**QUERIES, "q3": "Why do  otters hold hands?", "q4": "why do otters hold hands"}
    golden = GoldenSet.load(write_set(tmp_path, queries=alike))
    assert golden.repeated == ("q3",), "q4 is not measured"
    assert "1 query asks what an earlier one asks, such as 'q3'" in repeated_queries(golden)
    assert repeated_queries(golden) in warnings_of(golden, Counter(), ())
    assert repeated_queries(golden.first(2)) == ""


def test_a_set_may_have_no_corpus(tmp_path: Path) -> None:
    folder = write_set(tmp_path, qrels=[("q1", "somewhere else", "1")])
    (folder / "corpus.jsonl").unlink()
    golden = GoldenSet.load(folder)
    assert golden.documents is None
    with pytest.raises(InvalidGoldenSet, match=r"no corpus\.jsonl"):
        list(golden.corpus())
