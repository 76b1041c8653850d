"""The texts that parity is proved on: short and long, in several scripts, for every task prompt.

They are fixed, so that two recordings of one model are of the same texts. Texts of an exact length are
made with the model's own tokenizer.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.recording import Recorded
from gateway.embedding.profile import ModelProfile, Task
from gateway.ports import Encoder

PASSAGES: Final = (
    "Mars looks red because iron in its soil has rusted over a very long time.",
    "Venus is sometimes called the twin of the Earth because both are of similar size.",
    "The rings of Saturn consist of countless pieces of ice and rock.",
    "A comet grows a bright tail when it comes close to the sun.",
    "Bread dough must rest in a warm place until it has doubled in volume.",
    "Add a pinch of salt and stir the soup slowly over a low flame.",
    "Green tea should be brewed with water that does not quite boil.",
    "A violin has four strings that are played with a bow of horsehair.",
    "Jazz grew out of blues and marching bands in the southern states.",
    "The central bank raised interest rates to slow down inflation.",
    "Investors sold their shares when the company reported a heavy loss.",
    "Doctors advise us to sleep eight hours and to walk every day.",
    "The vaccine protects most people against the disease for many years.",
    "Oak trees can live for more than five hundred years.",
    "Bees visit thousands of flowers to produce one spoon of honey.",
    "Ancient Romans built straight roads, bridges and long aqueducts.",
    "The train to the coast leaves from platform seven at noon.",
    "A database index makes reading faster and writing a little slower.",
    "Марс называют красной планетой из-за цвета его поверхности.",
    "Зелёный чай заваривают водой, которая ещё не кипит.",
    "Центральный банк повысил ставку, чтобы снизить инфляцию.",
    "火星は赤い惑星として知られています。",
    "緑茶は沸騰していないお湯で淹れます。",
    "def area(radius: float) -> float:\n    return 3.14159 * radius**2",
    "SELECT name, count(*)\nFROM planets\nGROUP BY name;",
)
QUERIES: Final = (
    "Which planet is known for its red colour?",
    "How do I make bread rise?",
    "How hot should the water for green tea be?",
    "Why did the price of money go up?",
    "Which insects make honey?",
    "How is the area of a circle computed in Python?",
    "Какую планету называют красной?",
    "赤い惑星はどれですか。",
)
SPECIALS: Final = (
    "a",
    "🚀 👩‍🚀🇪🇺 to Mars 🔴🪐",
    "a <bos> in the text, an <eos> and a <pad>",
    "  two blanks before,\n\nan empty line,\ta tab, and a break at the end \r\n",
    "I ♥ naïve café — ½ ﬁ",
)
TITLES: Final = ("Mars", "  Ода к радости  ", "none", "緑茶")
LENGTHS: Final = (16, 32, 64, 128, 256, 512, 1024)
"""Tokens of the texts that show how a difference grows with length, prompt and specials included."""
EQUAL_TOKENS: Final = 300
"""Above 257, where TEI leaves the sliding window out of a batch of equal lengths (its issue 882)."""
EQUAL_TEXTS: Final = 4
SLIDING: Final = 257
_ENDS: Final = (" a", " the", ".", "1", "x", "é")


@dataclass(frozen=True, slots=True)
class Draft:
    """A text of the corpus and the task it is embedded for."""

    task: str
    text: str
    title: str | None = None


async def draft_corpus(
    profile: ModelProfile, encoder: Encoder, *, brief: bool = False
) -> list[Draft]:
    """Every text of the corpus for a profile; `encoder` counts tokens and cuts to exact lengths.

    `brief` leaves out the texts of an exact length: what is left has some tens of tokens each.
    """
    limit = min(profile.max_tokens, encoder.info.max_tokens)
    exact = _Exact(profile, encoder)
    drafts = [Draft(Task.DOCUMENT, text) for text in PASSAGES]
    drafts += [Draft(Task.QUERY, text) for text in QUERIES]
    drafts += [Draft(task, text) for task in profile.tasks for text in (QUERIES[0], PASSAGES[18])]
    drafts += [Draft(Task.QUERY, text) for text in SPECIALS]
    if profile.title_rule is not None:
        drafts += [Draft(Task.DOCUMENT, PASSAGES[0], title) for title in TITLES]
    if brief:
        return list(dict.fromkeys(drafts))
    drafts += [await exact.draft(count, start=7) for count in LENGTHS if count < limit]
    equal = min(EQUAL_TOKENS, limit)
    drafts += [await exact.draft(equal, start=start) for start in range(EQUAL_TEXTS)]
    drafts.append(await exact.draft(limit, start=11))
    return list(dict.fromkeys(drafts))


def too_long(items: Sequence[Recorded], limit: int) -> Draft:
    """A text over `limit` tokens: the longest of a corpus, and as many words as it needs and one more.

    A word is one token at least, so that a text of exactly the limit grows by one.
    """
    longest = max(items, key=lambda item: len(item.token_ids))
    words = max(0, limit - len(longest.token_ids)) + 1
    return Draft(longest.task, longest.text + " a" * words, longest.title)


def corpus_fingerprint(items: Sequence[Recorded]) -> str:
    """Sha256 of the texts, titles, tasks and final strings, in order."""
    parts = [[item.task, item.text, item.title, item.rendered] for item in items]
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


class _Exact:
    """Makes documents of an exact number of tokens, prompt and specials included."""

    def __init__(self, profile: ModelProfile, encoder: Encoder) -> None:
        self._prompt = profile.prompt(Task.DOCUMENT)
        self._encoder = encoder

    async def draft(self, tokens: int, *, start: int) -> Draft:
        """A document of `tokens` tokens that begins with the passage `start`."""
        words = " ".join((*PASSAGES[start:18], *PASSAGES[:start]))
        repeats = 1 + tokens * 8 // len(words)
        filled = self._prompt + " ".join([words] * repeats)
        text = await self._grown(await self._encoder.cut(filled, tokens), tokens)
        return Draft(Task.DOCUMENT, text.removeprefix(self._prompt))

    async def _grown(self, text: str, tokens: int) -> str:
        """Add single tokens to a text that is short of `tokens`; as near as the tokenizer allows."""
        missing = tokens - (await self._encoder.count_tokens([text]))[0]
        for _ in range(missing):
            longer = [text + end for end in _ENDS]
            counts = await self._encoder.count_tokens(longer)
            now = (await self._encoder.count_tokens([text]))[0]
            if now >= tokens or now + 1 not in counts:
                break
            text = longer[counts.index(now + 1)]
        return text
