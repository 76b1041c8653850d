"""What is right: sentence-transformers asked as its own users ask it, none of our code between.

The same answers make the recording that servers are held against.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from gateway.domain.recording import Recorded, Recording
from gateway.domain.vectors import Matrix
from gateway.embedding.profile import ModelProfile
from tests.support.tiny_corpus import ENGLISH, RUSSIAN
from tests.support.tiny_gemma import MAX_TOKENS

Exact: TypeAlias = NDArray[np.float64]
LONG: Final = " ".join(ENGLISH[:12])
"""About 200 tokens: beyond the tiny model's window of 64, within one chunk."""
SPACED: Final = "two  blanks,\na new line\n\n\tand a tab\r\n"
_RECORDED: Final = (
    ("query", "Which planet is red?", None),
    ("query", ENGLISH[3], None),
    ("query", RUSSIAN[1], None),
    ("document", ENGLISH[1], None),
    ("document", ENGLISH[2], "The largest one"),
    ("document", SPACED, None),
    ("document", "🚀 naïve café — 火星", None),
    ("document", LONG, None),
)


class Reference:
    """One checkpoint in sentence-transformers."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = SentenceTransformer(str(folder), device="cpu")
        self._known: dict[str, Exact] = {}

    def query(self, text: str, size: int) -> Exact:
        return self._cut(self._once("query", text, self.model.encode_query), size)

    def document(self, text: str, title: str | None, size: int) -> Exact:
        """A title has no place in `encode_document`: the model card's form is written out here."""
        if title is None:
            return self._cut(self._once("document", text, self.model.encode_document), size)
        return self._cut(self._once("", f"title: {title} | text: {text}", self.plain), size)

    def plain(self, text: str) -> Exact:
        """Without any prompt, full size."""
        return self.model.encode(text, prompt="", normalize_embeddings=True)

    def ids(self, rendered: str) -> tuple[int, ...]:
        return tuple(self.model.tokenizer.backend_tokenizer.encode(rendered).ids)

    def whole_context(self, prompt: str) -> str:
        """Sentences, then one word again and again, to the model's last token."""
        text = " ".join([*ENGLISH, *RUSSIAN])[:4500]
        room = MAX_TOKENS - len(self.ids(prompt + text))
        assert room > 0
        return text + " the" * room

    def record(self, profile: ModelProfile) -> Recording:
        """What `profile` must get from a server, texts of every kind and length."""
        prompts = profile.prompts
        inputs = [*_RECORDED, ("document", self.whole_context(prompts["document"]), None)]
        items = [self._recorded(task, text, title, prompts[task]) for task, text, title in inputs]
        size = profile.full_size
        return Recording(profile.fingerprint(), profile.model_id, size, {"dtype": "float32"}, items)

    def _recorded(self, task: str, text: str, title: str | None, prompt: str) -> Recorded:
        rendered = prompt + text if title is None else f"title: {title} | text: {text}"
        row = np.asarray(self.plain(rendered), np.float32)
        return Recorded(task, text, title, rendered, self.ids(rendered), row)

    def _once(self, way: str, text: str, encode: Any) -> Exact:
        key = f"{way}\0{text}"
        if key not in self._known:
            self._known[key] = np.asarray(encode(text), np.float64)
        return self._known[key]

    @staticmethod
    def _cut(row: Exact, size: int) -> Exact:
        return row[:size] / np.linalg.norm(row[:size])


def cosines(rows: Matrix, right: Sequence[Exact]) -> Exact:
    """Cosine of each row to what is right, and less where a row is not of unit length."""
    return 1 - np.sum((np.asarray(rows, np.float64) - np.stack(right)) ** 2, axis=1) / 2


def profile_toml(profile: ModelProfile) -> str:
    """A profile as an operator writes it into the file that `profiles_file` names."""
    rule = profile.title_rule
    lines = [
        f"[{profile.name}]",
        f"model_id = {json.dumps(profile.model_id)}",
        f"revision = {json.dumps(profile.revision)}",
        f"sizes = {list(profile.sizes)}",
        f"default_size = {profile.default_size}",
        f"max_tokens = {profile.max_tokens}",
        f"window = {profile.window}",
        f"dtypes = {json.dumps(list(profile.dtypes))}",
        f"heads = {json.dumps(list(profile.heads))}",
        f"[{profile.name}.prompts]",
        *(f"{json.dumps(name)} = {json.dumps(text)}" for name, text in profile.prompts.items()),
    ]
    if rule is not None:
        lines += [f"[{profile.name}.title_rule]", f"before = {json.dumps(rule.before)}"]
        lines += [f"after = {json.dumps(rule.after)}", f"separator = {json.dumps(rule.separator)}"]
    return "\n".join(lines) + "\n"
