"""How the words of a collection are weighed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gateway.errors import CollectionMismatch, InvalidRequest

AUTO = "auto"
LANGUAGES = (
    *(AUTO, "arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek"),
    *("hungarian", "italian", "norwegian", "portuguese", "romanian", "russian", "spanish"),
    *("swedish", "turkish"),
)
"""Languages with a Snowball stemmer in Qdrant; `auto` takes each word by its script."""


@dataclass(frozen=True, slots=True)
class Lexical:
    """How the words of a collection are weighed (BM25; Robertson and Zaragoza, 2009).

    `language` chooses stop words and Snowball stemmer; `auto` takes each word by its script. `k1`
    bounds what repeating a word is worth, `b` what the length of a chunk is, relative to
    `average_words`: the words of an average chunk, stop words not counted. With `folding` spellings
    that people mix are one word: ё and е, and in English accents and none (naïve and naive).
    """

    language: str = AUTO
    k1: float = 1.2
    b: float = 0.75
    average_words: float = 100.0
    folding: bool = True

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise InvalidRequest(
                f"language {self.language!r} has no stemmer; take one of {', '.join(LANGUAGES)}",
                field="lexical.language",
            )
        if not 0 <= self.k1 <= 10:
            raise InvalidRequest(f"k1 is {self.k1}; take 0-10, usually 0.9-2", field="lexical.k1")
        if not 0 <= self.b <= 1:
            raise InvalidRequest(f"b is {self.b}; take 0-1, usually 0.4-0.75", field="lexical.b")
        if not 1 <= self.average_words <= 100_000:
            raise InvalidRequest(
                f"average_words is {self.average_words}; take 1-100000",
                field="lexical.average_words",
            )

    def __str__(self) -> str:
        facts = ", ".join(f"{key} {value}" for key, value in asdict(self).items())
        return f"BM25 ({facts})"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Lexical":
        """Read what is stored with a collection; the first ones were made without folding.

        Raises:
            CollectionMismatch: it says what this gateway does not know.
        """
        if unknown := sorted(set(data) - {each.name for each in fields(cls)}):
            raise CollectionMismatch(
                f"it says {', '.join(unknown)} of its words, which this gateway does not know: a "
                "newer one made it; upgrade this one"
            )
        kept: dict[str, Any] = {"folding": False, **data}
        return cls(**kept)
