"""OpenAI's embeddings on the wire: read by msgspec, written as ready bytes. Hot: no pydantic here."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, Literal

import msgspec
import orjson

from gateway.api.bodies import malformed
from gateway.api.vectors_wire import WRITERS
from gateway.embedding.profile import ModelProfile
from gateway.embedding.results import Embeddings
from gateway.embedding.texts import Input
from gateway.errors import (
    InvalidRequest,
    TaskRequired,
    TokenIdsRefused,
    TooManyInputs,
    UnknownModel,
)


class EmbeddingsCall(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """A body of `POST /v1/embeddings`; `gateway.schemas.openai` documents its fields."""

    input: str | list[str | int | list[int]]
    model: str
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    input_type: str | None = None
    prompt_name: str | None = None
    titles: list[str | None] | None = None
    allow_prompted: bool | None = None
    truncate: bool | None = None


FIELDS: Final = EmbeddingsCall.__struct_fields__
_DECODER: Final = msgspec.json.Decoder(EmbeddingsCall)
_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<where>.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(.*)`")
_UNKNOWN: Final = re.compile(r"unknown field `(?P<name>.*)`")


def read_call(body: bytes) -> EmbeddingsCall:
    """Read a body.

    Raises:
        MalformedJSON: no JSON in UTF-8, or with a lone surrogate.
        InvalidRequest: an unknown field or a wrong type; `field` names the place.
    """
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as exc:
        raise _mistake(str(exc)) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise malformed(body, str(exc)) from exc


def texts_of(call: EmbeddingsCall, most: int) -> list[str]:
    """Return the texts of a call: at least one, at most `most`.

    Raises:
        TokenIdsRefused, TooManyInputs, InvalidRequest.
    """
    if isinstance(call.input, str):
        return [call.input]
    if not call.input:
        raise InvalidRequest("input is an empty list; send at least one text", field="input")
    texts = [item for item in call.input if isinstance(item, str)]
    if len(texts) != len(call.input):
        raise TokenIdsRefused(
            "input holds token ids; ids of another tokenizer decode to other words here, so they "
            "are refused: send texts (for LangChain set check_embedding_ctx_length=False)",
            field="input",
        )
    require_count(len(texts), most, field="input")
    return texts


def require_count(count: int, most: int, *, field: str) -> None:
    """Refuse more inputs than one request may hold."""
    if count > most:
        raise TooManyInputs(
            f"{count} inputs in one request, at most {most}; split the list", field=field
        )


def inputs_of(call: EmbeddingsCall, texts: Sequence[str]) -> list[Input]:
    """Join texts and titles.

    Raises:
        InvalidRequest: not one title for each input.
    """
    if call.titles is None:
        return [Input(text) for text in texts]
    if len(call.titles) != len(texts):
        raise InvalidRequest(
            f"{len(call.titles)} titles for {len(texts)} inputs; send one for each, null for none",
            field="titles",
        )
    return [Input(text, title) for text, title in zip(texts, call.titles, strict=True)]


def task_of(call: EmbeddingsCall, profile: ModelProfile, default: str | None) -> str:
    """Return the task of a call: by alias, `input_type` or `prompt_name`; else the default.

    Raises:
        UnknownModel: another model than the one being served.
        UnknownTask: no such task or prompt name.
        TaskRequired: nothing says whether the texts are queries or documents.
        InvalidRequest: two fields say different things.
    """
    alias = _alias_task(call.model, profile)
    named = {"model": alias, "input_type": call.input_type, "prompt_name": call.prompt_name}
    said = {field: task for field, task in named.items() if task is not None}
    if len(set(said.values())) > 1:
        pairs = ", ".join(f"{field} says {task!r}" for field, task in said.items())
        raise InvalidRequest(f"{pairs}: say it once", field=list(said)[-1])
    for field, task in said.items():
        return _known(profile, task, field)
    if default is not None:
        return default
    raise TaskRequired(
        f"model {call.model!r} does not say whether these are queries or documents; name one of "
        f"{', '.join(aliases(profile))}, or send input_type",
        field="model",
    )


def aliases(profile: ModelProfile) -> list[str]:
    """Model names that say the task."""
    return [f"{profile.name}:{task}" for task in profile.tasks]


def model_names(profile: ModelProfile) -> list[str]:
    """Every name a call may use, as `/v1/models` lists them."""
    return [profile.name, *aliases(profile), *profile.aliases]


def write_reply(model: str, found: Embeddings, encoding_format: str | None) -> bytes:
    """Write the reply as JSON bytes: OpenAI's shape, and `truncated` only where a text was cut."""
    write = WRITERS[encoding_format or "float"]
    items = [
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, write(row))
        for index, row in enumerate(found.vectors)
    ]
    usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (found.tokens, found.tokens)
    cut = b',"truncated":' + orjson.dumps(found.truncated) if found.truncated else b""
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b%b}' % (
        b",".join(items),
        orjson.dumps(model),
        usage,
        cut,
    )


def _alias_task(model: str, profile: ModelProfile) -> str | None:
    names = (profile.name, *profile.aliases)
    if model in names:
        return None
    base, separator, task = model.rpartition(":")
    if separator and base in names:
        return task
    close = get_close_matches(model, model_names(profile), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise UnknownModel(
        f"model {model!r} is not served here{hint} (served: {profile.name}; GET /v1/models lists "
        "all names)",
        field="model",
    )


def _known(profile: ModelProfile, task: str, field: str) -> str:
    try:
        profile.prompt(task)
    except InvalidRequest as exc:
        exc.field = field
        raise
    return task


def _mistake(message: str) -> InvalidRequest:
    found = _AT.match(message)
    what, where = (found["what"], found["where"]) if found else (message, None)
    unknown = _UNKNOWN.search(what)
    if unknown is None:
        missing = _MISSING.search(what)
        if missing is not None:
            return InvalidRequest(f"{missing[1]!r} is missing; send it", field=missing[1])
        return InvalidRequest(f"{where or 'the body'}: {what}", field=where)
    name = unknown["name"]
    close = get_close_matches(name, FIELDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(FIELDS)}"
    return InvalidRequest(f"no such field {name!r}; {hint}", field=name)
