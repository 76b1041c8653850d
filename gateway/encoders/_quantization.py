"""Kinds of quantised weights as the names of served models tell them: `...-Q8_0.gguf` is `q8_0`."""

import re
from typing import Final

from gateway.errors import UnsupportedServer

_KIND: Final = re.compile(
    r"(?<![a-z0-9])(i?q[1-8]_(?:[01]|k(?:_[sml])?|nl|xxs|xs|s|m)|tq[12]_0|mxfp4|int[48]|fp8|awq|gptq)"
    r"(?![a-z0-9])"
)


def quantization_in(name: str) -> str:
    """Return the kind that a model's name tells, in lower case; empty where it tells none.

    llama.cpp's name is the whole path of the file, whose folders tell nothing.
    """
    found = _KIND.search(re.split(r"[/\\]", name.lower())[-1])
    return found[1] if found else ""


def require_quantization(where: str, name: str, declared: str) -> None:
    """Refuse a served model whose name tells other weights than declared: its space is another.

    Raises:
        UnsupportedServer: with the setting that names the space as it is.
    """
    told = quantization_in(name)
    if told and told != declared:
        expected = f"openai.quantization is {declared!r}" if declared else "none are declared"
        raise UnsupportedServer(
            f"the embedding server at {where} serves {name!r}, quantised weights ({told}), but "
            f"{expected}: set openai.quantization to {told!r}, which makes a space of its own, or "
            "serve the file in full precision"
        )
