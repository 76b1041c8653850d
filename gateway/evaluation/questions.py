"""Questions of golden sets: what is one, and how it is found in a language model's answer."""

import re
from typing import Final

from gateway.embedding.texts import require_text
from gateway.errors import InvalidRequest

LONGEST: Final = 300
"""Characters of a question."""

_THINKING: Final = r"think(?:ing)?|thought|reasoning"
_THOUGHT: Final = re.compile(rf"</(?:{_THINKING})\s*>", re.IGNORECASE)
_THINKS: Final = re.compile(rf"<(?:{_THINKING})\s*>", re.IGNORECASE)
_FENCE: Final = re.compile(r"\s*(?:`{3,}|~{3,})\s*[\w+-]*\s*")
_BOLD: Final = re.compile(r"\*\*(.+?)\*\*")
_MARKER: Final = re.compile(r"(?:[-*+•–—]|#{1,6}|>|\(?\d{1,3}[.)])(?:\s+|$)")
_LABEL: Final = re.compile(
    r"(?:(?:sure[,.!]?\s+)?here(?:['’]s| is)\b[^:?]{0,80}"
    r"|(?:search |user )?(?:question|query|q)\s*\d{0,3}\s*"
    r"|(?:frage|вопрос|pregunta|domanda|pergunta|问题|質問)\s*)[:：]\s*",
    re.IGNORECASE,
)
_TASK: Final = (
    r"(?:help|assist|comply)(?: you)?(?:(?: with| in)? (?:that|this|(?:your|the|such an?) request)\b|\s*[.,;!])"
    r"|fulfil+ (?:that|this|your|the|such an?)\b|do (?:that|this)\b"
    r"|answer(?: (?:that|this|(?:\w+ ){0,2}questions?)\b|\s*[.,;!])"
    r"|(?:write|create|generate|provide|produce|formulate|come up with|ask)"
    r"(?: you(?: with)?)? (?:(?:\w+ ){0,3}questions?\b|(?:\w+ ){0,2}search quer(?:y|ies)\b"
    r"|(?:\w+ ){0,2}quer(?:y|ies)(?: (?:for|from|about|based on) (?:this|that|the) (?:passage|text)\b|[.,;!])"
    r"|(?:information|guidance|instructions)(?: or \w+)? (?:on|about|for|that)\b|(?:\w+ )?content that\b"
    r"|(?:that|this|one)\s*(?:[.,;!]|$))"
)
"""What models say that they cannot do: their task, where people name something of their own."""
_REFUSAL: Final = re.compile(
    r"(?:i['’]m|i am)(?: very| so| really)? sorry(?:[,.]| but\b)|sorry, (?:but|i)\b|i apologi[sz]e\b"
    r"|(?:unfortunately,? |sorry,? )?i (?:can(?:no|['’])t|can not|won['’]t) " + f"(?:{_TASK})"
    r"|(?:unfortunately,? |sorry,? )?(?:i am|i['’]m) (?:unable|not able) to " + f"(?:{_TASK})"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model)"
    r"(?: language model| assistant| model)?(?: (?:developed|trained|created|made) by \w+)?,? (?:i|my)\b"
    r"|(?:es )?tut mir leid,|lo siento,|je suis désolée?,|извините,|抱歉，|对不起，",
    re.IGNORECASE,
)
"""How models begin where they do not do what they were asked."""
_AROUND: Final = ('""', "''", "``", "«»", "»«", "“”", "„“", "””", "‘’", "「」", "『』", "**", "__")


def require_question(text: str) -> str:
    """Return a question with single spaces between its words.

    Raises:
        InvalidRequest: it has no letter or digit, is too long, or is no text.
    """
    question = " ".join(text.split())
    if not _says_something(question):
        raise InvalidRequest("a question has a letter or a digit at least")
    if len(question) > LONGEST:
        raise InvalidRequest(f"a question has {LONGEST} characters at most, got {len(question)}")
    return require_text(question, field="question")


def find_question(answer: str) -> str:
    """Return the first line of an answer that may be a question, without what models put around it.

    That is thoughts, fences, list markers, bold, labels and quotes. Lines that end in a colon announce
    something. Empty where there is no such line, the thoughts do not end, or the model declines; cut
    between two words where it is too long.
    """
    said = _THOUGHT.split(answer)[-1]
    if _THINKS.search(said):
        return ""
    for line in said.replace("\x00", "").splitlines():
        text = "" if _FENCE.fullmatch(line) else _bare(" ".join(line.split()))
        if _says_something(text) and not text.endswith((":", "：")):
            return "" if _declines(text) else _cut(text)
    return ""


def gist(question: str) -> str:
    """Return what two questions share that ask the same: no case, blanks or marks at the end."""
    return " ".join(question.casefold().split()).rstrip(" .?!？！。")


def _declines(text: str) -> bool:
    """Tell a refusal; with a question mark it may be what somebody would ask."""
    return _REFUSAL.match(text) is not None and "?" not in text


def _bare(text: str) -> str:
    """Take off what stands around a question, layer by layer."""
    before = None
    while text != before:
        before = text
        text = _BOLD.sub(r"\1", text).removeprefix("**").removesuffix("**").strip()
        for begin in (_MARKER, _LABEL):
            found = begin.match(text)
            text = text[found.end() :] if found else text
        inner, ends = text[1:-1], text[:1] + text[-1:]
        text = inner if ends in _AROUND and not set(ends) & set(inner) else text
    return text


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    head, blank, _ = text[: LONGEST + 1].rpartition(" ")
    return head if blank else text[:LONGEST]


def _says_something(text: str) -> bool:
    return any(char.isalnum() for char in text)
