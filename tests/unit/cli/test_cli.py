"""The commands, run as processes: what they print, what they store, how they exit."""

import json
import subprocess
import sys
import time

import httpx
import pytest

from tests.support.cli import Shell, ids
from tests.support.ports import free_port


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A shell whose collection `notes` holds two documents."""
    shell = Shell(tmp_path_factory.mktemp("cli"))
    shell.write("docs/mars.md", "# Mars\n\nThe red planet.\n\n## Moons\n\nPhobos and Deimos.\n")
    shell.write("docs/bread.txt", "Bread is baked from flour and water.")
    ran = shell.run("ingest", "docs", "-c", "notes", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["added"], ran.json["failed"], ran.json["truncated_tokens"]) == (2, 0, 0)
    return shell


def test_ingesting_again_changes_nothing(shell: Shell) -> None:
    report = shell.run("ingest", "docs", "-c", "notes", "--json").json
    assert (report["unchanged"], report["added"], report["updated"]) == (2, 0, 0)


def test_search_prints_score_document_heading_and_snippet(shell: Shell) -> None:
    ran = shell.run("search", "Phobos and Deimos", "-c", "notes")
    assert ran.code == 0
    first = ran.out.splitlines()[0]
    assert first.startswith("1. ")
    assert "mars.md" in first
    assert "Mars" in first
    assert "Phobos" in ran.out


def test_search_as_json_has_the_shape_of_the_api(shell: Shell) -> None:
    ran = shell.run("search", "flour and water", "-c", "notes", "--json", "--explain")
    hits = ran.json["hits"]
    assert ids(hits)[0] == "bread.txt"
    assert hits[0]["text"] == "Bread is baked from flour and water."
    assert hits[0]["span"] == [0, len(hits[0]["text"])]
    assert ran.json["explanation"]["prompt"].endswith("query: ")


def test_filters_are_json_and_a_bad_one_exits_2(shell: Shell) -> None:
    only = '{"eq": {"document_id": "bread.txt"}}'
    hits = shell.run("search", "planet", "-c", "notes", "--json", "--filter", only).json["hits"]
    assert set(ids(hits)) == {"bread.txt"}
    bad = shell.run("search", "planet", "-c", "notes", "--filter", '{"equals": {}}')
    assert bad.code == 2
    assert "invalid-filter" in bad.err
    assert shell.run("search", "planet", "-c", "notes", "--filter", "{").code == 2


def test_a_missing_collection_exits_2_and_is_named(shell: Shell) -> None:
    ran = shell.run("search", "x", "-c", "nowhere")
    assert ran.code == 2
    assert "'nowhere'" in ran.err
    assert ran.out == ""


def test_an_error_in_a_pipe_has_no_colours(shell: Shell) -> None:
    dead = shell.run(
        *("embed", "hello", "--task", "query"),
        GATEWAY_ENCODER="tei",
        GATEWAY_TEI__URLS="http://127.0.0.1:9",
    )
    assert dead.code == 1
    assert "left out" in dead.err, "else nothing was logged"
    assert "\x1b" not in dead.err


def test_a_misspelt_setting_exits_2_and_names_the_nearest(shell: Shell) -> None:
    ran = shell.run("search", "x", "-c", "notes", GATEWAY_TEI__URL="http://x")
    assert ran.code == 2
    assert "GATEWAY_TEI__URLS" in ran.err
    ran = shell.run("config", "check", "--set", "server.prot=1")
    assert ran.code == 2
    assert "server.port" in ran.err


def test_one_bad_document_fails_alone_and_the_exit_code_says_so(shell: Shell) -> None:
    lines = [
        json.dumps({"_id": "a", "title": "A", "text": "first good line"}),
        "{not json",
        json.dumps({"_id": "b", "text": "second good line"}),
    ]
    path = shell.write("three.jsonl", "\n".join(lines))
    ran = shell.run("ingest", str(path), "-c", "lines", "--json")
    assert ran.code == 1
    assert (ran.json["added"], ran.json["failed"]) == (2, 1)
    assert "2" in json.dumps(ran.json["failures"][0])


def test_documents_come_from_standard_input_too(shell: Shell) -> None:
    line = json.dumps({"_id": "s", "text": "from standard input"}) + "\n"
    ran = shell.run("ingest", "-", "--format", "jsonl", "-c", "stdin", "--json", stdin=line)
    assert ran.code == 0, ran.err
    assert ran.json["added"] == 1


def test_collections_are_listed_shown_and_deleted(shell: Shell) -> None:
    shell.write("one.txt", "one")
    assert shell.run("ingest", "one.txt", "-c", "gone", "--size", "128").code == 0
    shown = shell.run("collections", "show", "gone", "--json").json
    assert (shown["size"], shown["chunks"], shown["distance"]) == (128, 1, "dot")
    names = [c["name"] for c in shell.run("collections", "list", "--json").json]
    assert {"gone", "notes"} <= set(names)
    assert shell.run("collections", "delete", "gone", "--json").code == 2
    assert shell.run("collections", "delete", "gone", "--yes").code == 0
    assert shell.run("collections", "show", "gone").code == 2


def test_a_table_shortens_nothing_however_narrow_the_reader(shell: Shell) -> None:
    name = "a-long-name-" * 7 + "end"
    assert shell.run("collections", "create", name).code == 0
    listed = shell.run("collections", "list", COLUMNS="40").out
    shown = shell.run("collections", "show", name, "--json").json
    (line,) = [line for line in listed.splitlines() if name in line]
    assert shown["space"] in line
    assert shell.run("collections", "delete", name, "--yes").code == 0


def test_embed_needs_a_task_and_prints_unit_vectors(shell: Shell) -> None:
    assert shell.run("embed", "hello").code == 2
    found = shell.run("embed", "a b", "c", "--task", "document", "--size", "128", "--json").json
    assert [len(row) for row in found["vectors"]] == [128, 128]
    assert sum(x * x for x in found["vectors"][0]) == pytest.approx(1, abs=1e-5)
    assert shell.run("embed", "x", "--task", "query", "--size", "300").code == 2


def test_a_long_text_is_refused_or_cut_and_reported(shell: Shell) -> None:
    long = " ".join(["word"] * 2_100)
    refused = shell.run("embed", "a", long, "--task", "query")
    assert refused.code == 2
    assert "input 1 has 2109 tokens" in refused.err
    cut = shell.run("embed", "a", long, "--task", "query", "--truncate", "--json")
    assert cut.json["truncated"] == [{"index": 1, "tokens": 2048, "lost": 61}]
    assert len(cut.json["vectors"]) == 2
    shown = shell.run("embed", long, "--task", "query", "--truncate")
    assert "input 0 was cut: 2048 tokens read, 61 lost" in shown.err
    found = shell.run("search", long, "-c", "notes", "--truncate", "--json")
    assert "the query was cut" in found.err


def test_profiles_show_the_exact_prompts(shell: Shell) -> None:
    listed = shell.run("profile", "list", "--json").json
    assert [p["name"] for p in listed][:2] == ["embeddinggemma-300m", "embeddinggemma-2"]
    shown = shell.run("profile", "show", "embeddinggemma-300m", "--json").json
    assert shown["prompts"]["document"] == "title: none" + " | text: "
    assert shown["space"].startswith("embeddinggemma-300m:")
    assert "embeddinggemma-300m" in shell.run("profile", "list").out
    assert "…" not in shell.run("profile", "list", COLUMNS="80").out, "a cut space is of no use"
    unknown = shell.run("profile", "show", "embeddinggema-300m")
    assert unknown.code == 2
    assert "did you mean 'embeddinggemma-300m'" in unknown.err


def test_config_names_value_source_and_hides_secrets(shell: Shell) -> None:
    ran = shell.run("config", "show", "--json", GATEWAY_SERVER__API_KEYS="sesame")
    assert ran.json["server.api_keys"] == {"value": ["********"], "source": "environment"}
    assert ran.json["server.port"] == {"value": 8080, "source": "default"}
    assert "sesame" not in shell.run("config", "show", GATEWAY_SERVER__API_KEYS="sesame").out
    open_ = shell.run("config", "show", "--no-redact", "--json", GATEWAY_SERVER__API_KEYS="sesame")
    assert open_.json["server.api_keys"]["value"] == ["sesame"]
    checked = shell.run("config", "check", "--json").json
    assert checked == {
        "ok": True,
        "profile": "embeddinggemma-300m",
        "encoder": "fake",
        "store": "edge",
    }


def test_doctor_finds_a_healthy_gateway_well_and_a_dead_server_ill(shell: Shell) -> None:
    ran = shell.run("doctor", "--json")
    assert ran.code == 0, ran.out
    by_check = {finding["check"]: finding["status"] for finding in ran.json}
    assert by_check["prompts"] == "ok"
    assert by_check["goldens"] == "skip"
    dead = shell.run("doctor", GATEWAY_ENCODER="tei", GATEWAY_TEI__URLS="http://127.0.0.1:9")
    assert dead.code == 1
    assert "encoder-reachable" in dead.out
    assert shell.run("doctor", GATEWAY_PROFILE="nope").code == 2


def test_help_is_for_people(shell: Shell) -> None:
    ran = shell.run("--help")
    assert ran.code == 0
    for command in (
        "serve",
        "ingest",
        "search",
        "embed",
        "collections",
        "profile",
        "doctor",
        "config",
    ):
        assert command in ran.out
    assert "Example" in shell.run("ingest", "--help").out
    assert shell.run("--version").out.strip() == "0.1.0"


def test_a_second_writer_is_told_who_holds_the_store(shell: Shell) -> None:
    port = str(free_port())
    server = subprocess.Popen(
        [sys.executable, "-m", "gateway", "serve", "--port", port],
        env=shell.environment(GATEWAY_LOG__LEVEL="error"),
        cwd=shell.home,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_alive(f"http://127.0.0.1:{port}/livez")
        ran = shell.run("collections", "list")
        assert ran.code == 2
        assert "store-locked" in ran.err
    finally:
        server.terminate()
        server.wait(30)
    assert shell.run("collections", "list").code == 0


def wait_until_alive(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the gateway did not start"
            time.sleep(0.1)


def test_a_gateway_that_cannot_open_says_why_and_exits_2(shell: Shell) -> None:
    ran = shell.run("serve", "--port", "0", "--set", "size=300")
    assert ran.code == 2
    assert "unsupported-size" in ran.err
    ran = shell.run("serve", "--host", "0.0.0.0", "--port", "0")
    assert ran.code == 2
    assert "API keys" in ran.err


def test_checking_finds_settings_that_would_refuse_to_run(shell: Shell) -> None:
    for environment in ({"GATEWAY_SIZE": "300"}, {"GATEWAY_ENCODER": "tei"}):
        assert shell.run("config", "check", **environment).code == 2
    assert shell.run("config", "check", GATEWAY_SIZE="256").code == 0


def test_a_prompted_text_is_refused_until_it_is_meant(shell: Shell) -> None:
    prompted = "task: search result" + " | query: x"
    refused = shell.run("embed", prompted, "--task", "query")
    assert refused.code == 2
    assert "double-prompt" in refused.err
    assert shell.run("embed", prompted, "--task", "query", "--allow-prompted").code == 0
    assert shell.run("search", prompted, "-c", "notes", "--allow-prompted").code == 0


def test_a_terminated_server_finishes_and_exits_0(shell: Shell) -> None:
    port = str(free_port())
    environment = shell.environment(GATEWAY_LOG__LEVEL="error", GATEWAY_STORE="memory")
    command = [sys.executable, "-m", "gateway", "serve", "--port", port]
    server = subprocess.Popen(command, env=environment, cwd=shell.home)
    try:
        wait_until_alive(f"http://127.0.0.1:{port}/livez")
    finally:
        server.terminate()
    assert server.wait(30) == 0
