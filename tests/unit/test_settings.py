"""Settings: precedence, errors that name the nearest, secrets that stay secret."""

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import known_paths, load_settings, variable_name


def test_defaults_are_embedded_and_need_no_environment() -> None:
    settings = load_settings(environ={})
    assert (settings.encoder_kind, settings.store_kind) == ("minilm", "edge")
    assert settings.profile_name == "all-minilm-l6-v2"


def test_two_urls_turn_the_same_program_to_servers() -> None:
    settings = load_settings(
        environ={"GATEWAY_TEI__URLS": "http://a:80, http://b:80", "GATEWAY_QDRANT__URL": "http://q"}
    )
    assert settings.tei.urls == ("http://a:80", "http://b:80")
    assert (settings.encoder_kind, settings.store_kind) == ("tei", "qdrant")
    assert settings.profile_name == "embeddinggemma-300m"


def test_an_address_of_an_openai_server_chooses_it_unless_tei_is_set() -> None:
    urls = {"GATEWAY_OPENAI__URL": "http://a:8081/v1"}
    assert load_settings(environ=urls).encoder_kind == "openai"
    assert load_settings(environ=urls).profile_name == "embeddinggemma-300m"
    both = load_settings(environ=urls | {"GATEWAY_TEI__URLS": "http://b"})
    assert both.encoder_kind == "tei"


def test_flags_beat_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("threads = 2\n[server]\nport = 1\nhost = 'file'\n[log]\nlevel = 'debug'\n")
    settings = load_settings(
        {"server": {"port": 3}},
        environ={"GATEWAY_SERVER__PORT": "2", "GATEWAY_SERVER__HOST": "env"},
        config_file=file,
    )
    assert (settings.server.port, settings.server.host) == (3, "env")
    assert (settings.log.level, settings.threads) == ("debug", 2)


def test_the_config_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("threads = 7\n")
    assert load_settings(environ={"GATEWAY_CONFIG": str(file)}).threads == 7


@pytest.mark.parametrize(
    ("environ", "nearest"),
    [
        ({"GATEWAY_TEI__URL": "http://a"}, "GATEWAY_TEI__URLS"),
        ({"GATEWAY_QDRANT_URL": "http://a"}, "GATEWAY_QDRANT__URL"),
        ({"GATEWAY_DATADIR": "/x"}, "GATEWAY_DATA_DIR"),
    ],
)
def test_a_misspelt_variable_names_the_nearest(environ: dict[str, str], nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=nearest):
        load_settings(environ=environ)


def test_a_misspelt_key_of_the_file_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[server]\nprot = 1\n")
    with pytest.raises(ConfigurationError, match=r"server\.prot.*server\.port"):
        load_settings(environ={}, config_file=file)


def test_an_unusable_value_names_setting_and_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"server\.port.*GATEWAY_SERVER__PORT"):
        load_settings(environ={"GATEWAY_SERVER__PORT": "eighty"})


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        load_settings(environ={}, config_file=tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[server\n")
    with pytest.raises(ConfigurationError, match=r"broken\.toml"):
        load_settings(environ={}, config_file=broken)


@pytest.mark.parametrize("dtype", ["float16", "fp16", "half", "Float16"])
def test_float16_is_refused_with_the_reason(dtype: str) -> None:
    with pytest.raises(ConfigurationError, match="overflows half precision"):
        load_settings(environ={"GATEWAY_LOCAL__DTYPE": dtype})


def test_secrets_do_not_print() -> None:
    settings = load_settings(
        environ={"GATEWAY_SERVER__API_KEYS": "sesame,open", "GATEWAY_TEI__API_KEY": "hush"}
    )
    assert [key.get_secret_value() for key in settings.server.api_keys] == ["sesame", "open"]
    shown = repr(settings) + settings.model_dump_json()
    assert "sesame" not in shown
    assert "hush" not in shown


def test_every_setting_can_be_set_by_its_variable() -> None:
    paths = known_paths()
    assert len(paths) == len({variable_name(path) for path in paths})
    assert "tei.urls" in paths
    assert variable_name("server.max_body_bytes") == "GATEWAY_SERVER__MAX_BODY_BYTES"


def test_an_empty_optional_variable_means_unset() -> None:
    settings = load_settings(environ={"GATEWAY_QDRANT__URL": "", "GATEWAY_TEI__URLS": ""})
    assert (settings.encoder_kind, settings.store_kind) == ("minilm", "edge")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GATEWAY_QDRANT__URL": "notaurl"}, "write http://host:port"),
        ({"GATEWAY_TEI__URLS": "http://a,b"}, "write http://host:port"),
        ({"GATEWAY_QDRANT__URL": "http://u:secretpw@h:6333"}, "api_key instead"),
    ],
)
def test_addresses_are_checked_and_never_carry_a_password(
    environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_settings(environ=environ)
    assert "secretpw" not in str(caught.value)


def test_a_misspelt_section_names_the_nearest_and_a_value_for_one_is_explained(
    tmp_path: Path,
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[teii]\nurls = []\n")
    with pytest.raises(ConfigurationError, match="did you mean 'tei'"):
        load_settings(environ={}, config_file=file)
    file.write_text("tei = 5\n")
    with pytest.raises(ConfigurationError, match=r"write \[tei\]"):
        load_settings(environ={}, config_file=file)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GATEWAY_CACHE__KIND": "ram"}, "cache.kind"),
        ({"GATEWAY_CACHE__MAX_BYTES": "10"}, "cache.max_bytes"),
        ({"GATEWAY_CACHE__TTL_SECONDS": "0"}, "cache.ttl_seconds"),
        ({"GATEWAY_CACHE__URL": "http://host"}, "valkey://host:6379"),
        ({"GATEWAY_CACHE__URL": "redis://:secret@host"}, "username and password"),
    ],
)
def test_a_cache_that_cannot_be_is_refused_by_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        load_settings(environ=environ)
    assert "secret" not in str(refused.value)


def test_a_cache_is_off_by_default_and_its_password_is_not_printed() -> None:
    given = {
        "GATEWAY_CACHE__KIND": "valkey",
        "GATEWAY_CACHE__URL": "valkeys://cache:6380/1",
        "GATEWAY_CACHE__PASSWORD": "open sesame",
        "GATEWAY_CACHE__TTL_SECONDS": "",
    }
    assert load_settings(environ={}).cache.kind == "none"
    cache = load_settings(environ=given).cache
    assert (cache.kind, cache.ttl_seconds) == ("valkey", None)
    assert "sesame" not in repr(cache)
