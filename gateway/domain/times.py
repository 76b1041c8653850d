"""Times as texts, as all stores read them: RFC 3339, in UTC, to the microsecond."""

import re
from datetime import UTC, datetime
from typing import Final

_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:([Tt ])(\d{2}:\d{2})(?::(\d{2})(?:\.(\d+))?(?: ?([Zz]|[+-]\d{2}(?::?[0-5]\d)?))?)?)?",
    re.ASCII,
)


def parse_time(text: str) -> datetime | None:
    """Return the instant of an RFC 3339 date-time, or of a bare date (its midnight in UTC).

    None when `text` is neither. Without an offset it is UTC; digits past the microsecond are cut.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    day, mark, minute, second, fraction, offset = found.groups()
    if mark == "t" and offset is None:
        return None
    micro = (fraction or "")[:6].ljust(6, "0")
    zone = "+00:00" if offset in (None, "Z", "z") else offset
    try:
        moment = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}.{micro}{zone}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_time(moment: datetime) -> str:
    """Write an instant in UTC as both engines read it; such texts sort as their instants do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
