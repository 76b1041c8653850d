"""A word of warning when a text is in a script the model never learned."""

import unicodedata

from gateway.embedding.profile import ModelProfile

LATIN_LANGUAGES = frozenset(
    {"en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "pl", "cs"}
)


def script_warning(profile: ModelProfile, text: str) -> str | None:
    """Return a warning when most letters of `text` are not Latin and the model knows Latin only."""
    if not profile.languages or not LATIN_LANGUAGES.issuperset(profile.languages):
        return None
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return None
    latin = sum(unicodedata.name(char, "").startswith("LATIN") for char in letters)
    if latin * 2 >= len(letters):
        return None
    return (
        f"model {profile.name!r} knows {', '.join(profile.languages)} only and this text is mostly in "
        "another script: expect ranking close to chance; serve a multilingual model such as "
        "embeddinggemma-300m"
    )
