"""Kinds of settings: addresses, secrets, what may be left empty, and what is never accepted."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr

from gateway.embedding.profile import FORBIDDEN_DTYPES


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def not_half(value: object) -> object:
    if isinstance(value, str) and value.lower() in FORBIDDEN_DTYPES:
        raise ValueError(
            f"{value!r} is refused: EmbeddingGemma overflows half precision without an error; "
            "use float32 or bfloat16"
        )
    return value


def _require_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no address; write http://host:port")
    if parts.username or parts.password:
        raise ValueError("carries a user or password; set api_key instead")
    return value


def _require_cache_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"redis", "rediss", "valkey", "valkeys"} or not parts.hostname:
        raise ValueError("is no address; write valkey://host:6379 (valkeys:// for TLS)")
    if parts.username or parts.password:
        raise ValueError("carries a user or password; set username and password instead")
    return value


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


Url = Annotated[str, AfterValidator(_require_url)]
Urls = Annotated[tuple[Url, ...], BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
OptionalStr = Annotated[str | None, BeforeValidator(_blank_is_none)]
OptionalUrl = Annotated[Url | None, BeforeValidator(_blank_is_none)]
OptionalCacheUrl = Annotated[
    Annotated[str, AfterValidator(_require_cache_url)] | None, BeforeValidator(_blank_is_none)
]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_none)]
OptionalPath = Annotated[Path | None, BeforeValidator(_blank_is_none)]
OptionalInt = Annotated[int | None, BeforeValidator(_blank_is_none)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
