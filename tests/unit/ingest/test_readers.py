"""Files, folders and standard input, with what is wrong in them."""

import codecs
import csv
import io
from pathlib import Path

import pytest

from gateway.domain.documents import Document
from gateway.errors import InvalidDocument, InvalidRequest
from gateway.ingest.items import ReadFailure, ReadItem
from gateway.ingest.readers import ReadLimits, Source


def one(path: Path, data: bytes, **options: str) -> ReadItem:
    path.write_bytes(data)
    (item,) = Source([path], **options)  # type: ignore[arg-type]
    return item


def document(path: Path, data: bytes) -> Document:
    item = one(path, data)
    assert isinstance(item, Document), item
    return item


def failure(path: Path, data: bytes) -> ReadFailure:
    item = one(path, data)
    assert isinstance(item, ReadFailure), item
    return item


def test_markdown_takes_title_and_metadata_from_its_front_matter(tmp_path: Path) -> None:
    found = document(
        tmp_path / "a.md",
        b"---\r\ntitle: Guide\r\ndate: 2024-05-06\r\ntags: [a, b]\r\n---\r\n# Heading\r\n\r\ntext \r\n",
    )
    assert (found.id, found.title, found.format) == ("a.md", "Guide", "markdown")
    assert dict(found.metadata) == {"date": "2024-05-06", "tags": ["a", "b"]}
    assert found.text == "# Heading\r\n\r\ntext \r\n"
    assert found.line is None


def test_markdown_without_front_matter_is_kept_whole_and_named_by_its_first_heading(
    tmp_path: Path,
) -> None:
    found = document(
        tmp_path / "a.markdown", b"```\n# code\n```\n\nThe *real* `one`\n===\n\ntext\n"
    )
    assert found.title == "The real one"
    assert found.text.startswith("```\n# code")


def test_the_file_name_is_the_last_resort_for_a_title(tmp_path: Path) -> None:
    assert document(tmp_path / "notes.md", b"no heading").title == "notes"
    assert document(tmp_path / "plain.txt", b"# text is not markdown").title == "plain"


@pytest.mark.parametrize(
    "data",
    [
        b"---\nnot a mapping\n---\ntext",
        b"---\n[" + b"[" * 3000 + b"\n---\ntext",
        b"---\nday: 2024-13-45\n---\ntext",
        b"---\na: b\n(never closed)",
        b"--- \n\ntext",
    ],
)
def test_what_only_looks_like_front_matter_stays_text(tmp_path: Path, data: bytes) -> None:
    assert document(tmp_path / "a.md", data).text == data.decode()


def test_a_title_that_is_no_string_stays_metadata(tmp_path: Path) -> None:
    found = document(tmp_path / "a.md", b"---\ntitle: 2024\n---\n# Real\n")
    assert (found.title, dict(found.metadata)) == ("Real", {"title": 2024})


def test_front_matter_that_explodes_is_a_failure(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    found = failure(tmp_path / "a.md", f"---\n{chr(10).join(lines)}\n---\ntext".encode())
    assert "over the bounds" in found.reason


@pytest.mark.parametrize(
    ("bom", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_a_byte_order_mark_says_the_encoding_and_is_no_text(
    tmp_path: Path, bom: bytes, encoding: str
) -> None:
    assert document(tmp_path / "a.txt", bom + "größer".encode(encoding)).text == "größer"


def test_a_file_that_cannot_be_decoded_is_a_failure_with_the_byte(tmp_path: Path) -> None:
    found = failure(tmp_path / "a.txt", b"abc\xff")
    assert "not utf-8 at byte 3" in found.reason
    assert found.source.endswith("a.txt")


def test_html_becomes_text_with_markdown_headings(tmp_path: Path) -> None:
    page = """<html><head><title> The
      page </title><style>p{}</style></head><body><h1>Main <i>head</i></h1><p>One
      two<br>three <b>bold</b>.</p><script>no()</script><ul><li>first</li><li>second</li></ul>
      <table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>
      <h2>Code</h2><pre>
  # keep
    this</pre><!-- no --><p> tail </p></body></html>"""
    found = document(tmp_path / "a.html", page.encode())
    assert found.title == "The page"
    assert found.format == "markdown"
    assert found.text == (
        "# Main head\n\nOne two\nthree bold.\n\n- first\n- second\n\na b\nc\n\n## Code\n\n"
        "```\n  # keep\n    this\n```\n\ntail"
    )


def test_html_without_a_title_takes_its_first_h1_then_the_file_name(tmp_path: Path) -> None:
    assert document(tmp_path / "a.htm", b"<h2>x</h2><h1>Top</h1>").title == "Top"
    assert document(tmp_path / "b.htm", b"<p>x").title == "b"


def test_html_says_its_own_encoding(tmp_path: Path) -> None:
    data = '<meta charset="windows-1251"><p>слово'.encode("cp1251")
    assert document(tmp_path / "a.html", data).text == "слово"


def test_html_may_nest_deeper_than_the_stack(tmp_path: Path) -> None:
    assert document(tmp_path / "a.html", b"<div>" * 20_000 + b"deep").text == "deep"


def test_jsonl_goes_on_after_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"_id":"1","text":"a"}\n{broken\n{"_id":"2","text":"b","k":1}\n')
    first, broken, last = Source([path])
    assert isinstance(broken, ReadFailure)
    assert (broken.line, broken.source) == (2, path.as_posix())
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert (first.id, last.id, dict(last.metadata)) == ("1", "2", {"k": 1})
    assert (first.line, last.line) == (1, 3)


def read_csv(path: Path, data: bytes, limit: int = 1000) -> list[ReadItem]:
    path.write_bytes(data)
    return list(Source([path], limits=ReadLimits(line_bytes=limit)))


def test_csv_rows_are_documents_and_other_columns_metadata(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfid,title,text,lang\r\n1,T,"a, ""b""\r\nc ",en\r\n2,,x,de\r\n'
    first, second = read_csv(tmp_path / "a.csv", data)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert (first.text, first.title, dict(first.metadata)) == ('a, "b"\r\nc ', "T", {"lang": "en"})
    assert (second.id, second.title) == ("2", None)
    assert (first.line, second.line) == (2, 4)  # the first row has two lines


def test_a_bad_csv_row_costs_itself_alone(tmp_path: Path) -> None:
    data = b"_id,text\n1,a\n2,b,c\n3,\xff\n,d\n4," + b"x" * 2000 + b"\n5,e\n"
    items = read_csv(tmp_path / "a.csv", data)
    assert [item.id for item in items if isinstance(item, Document)] == ["1", "5"]
    reasons = {item.line: item.reason for item in items if isinstance(item, ReadFailure)}
    assert list(reasons) == [3, 4, 5, 6]
    assert "3 fields and the header 2" in reasons[3]
    assert "UTF-8" in reasons[4]
    assert "over 1000 bytes" in reasons[6]


def test_an_open_quote_ends_in_a_named_failure(tmp_path: Path) -> None:
    items = read_csv(tmp_path / "a.csv", b'id,text\n1,a\n2,"open\n3,b\n')
    assert isinstance(items[0], Document)
    assert isinstance(items[-1], ReadFailure)
    assert items[-1].line == 3


@pytest.mark.parametrize("data", [b"name,text\n1,a\n", b"id,body\n1,a\n", b'"id,text\n'])
def test_csv_needs_a_header_with_id_and_text(tmp_path: Path, data: bytes) -> None:
    (item,) = read_csv(tmp_path / "a.csv", data)
    assert isinstance(item, ReadFailure)
    assert item.line == 1


def test_an_empty_csv_has_no_documents(tmp_path: Path) -> None:
    assert read_csv(tmp_path / "a.csv", b"") == []


def test_long_csv_fields_pass_up_to_the_limit(tmp_path: Path) -> None:
    (item,) = read_csv(tmp_path / "a.csv", b"id,text\n1," + b"x" * 200_000, limit=300_000)
    assert isinstance(item, Document)
    assert csv.field_size_limit() >= 300_000


def make_tree(root: Path) -> None:
    for name, data in {
        "b.md": "b",
        "a.txt": "a",
        "sub/z.md": "z",
        "sub/a.JSONL": '{"_id": "line", "text": "x"}',
        "image.png": "x",
        ".hidden.md": "h",
        ".git/x.md": "h",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data)


def test_a_folder_is_read_in_order_by_relative_path_without_hidden_files(tmp_path: Path) -> None:
    make_tree(tmp_path)
    items = list(Source([tmp_path]))
    ids = [item.id for item in items if isinstance(item, Document)]
    assert ids == ["a.txt", "b.md", "line", "sub/z.md"]
    (skipped,) = [item for item in items if isinstance(item, ReadFailure)]
    assert skipped.skipped
    assert skipped.source.endswith("image.png")


def test_a_file_of_unknown_kind_that_was_named_is_a_failure(tmp_path: Path) -> None:
    assert not failure(tmp_path / "a.pdf", b"x").skipped


def test_a_format_can_be_said_for_a_named_file(tmp_path: Path) -> None:
    item = one(tmp_path / "a.log", b"# T", format="markdown")
    assert isinstance(item, Document)
    assert item.title == "T"


def test_two_roots_never_share_an_id_silently(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("inner")
    (tmp_path / "README.md").write_text("outer")
    first, second = Source([tmp_path / "docs", tmp_path / "README.md"])
    assert isinstance(first, Document)
    assert isinstance(second, ReadFailure)
    assert "docs/README.md" in second.reason


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 11)
    (item,) = Source([path], limits=ReadLimits(file_bytes=10))
    assert isinstance(item, ReadFailure)
    assert "over 10 bytes" in item.reason


def test_standard_input_is_read_in_the_format_given() -> None:
    stream = io.BytesIO(b'{"_id": "1", "text": "a"}\n')
    (item,) = Source(["-"], format="jsonl", stdin=stream)
    assert isinstance(item, Document)
    (text,) = Source(["-"], format="text", stdin=io.BytesIO(b"hello"))
    assert isinstance(text, Document)
    assert (text.id, text.title, text.source) == ("stdin", None, "stdin")


def test_standard_input_needs_a_format() -> None:
    with pytest.raises(InvalidRequest, match="needs a format"):
        Source(["-"])


def test_a_missing_path_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="does not exist"):
        Source([tmp_path / "none"])
    with pytest.raises(InvalidRequest, match="unknown format 'pdf'"):
        Source([tmp_path], format="pdf")
    with pytest.raises(InvalidRequest, match="nothing to read"):
        Source([])


def test_bytes_are_counted_for_a_progress_bar(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "t.csv").write_bytes(b"id,text\n1,a\n")
    source = Source([tmp_path])
    total = source.total_bytes()
    assert list(source)
    assert source.bytes_read == total == 3 + 28 + 12
    assert Source(["-"], format="text").total_bytes() is None
