"""A profile written down as operators write theirs: a TOML table."""

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.embedding.profile import ModelProfile


def write_profile(profile: ModelProfile, path: Path) -> Path:
    """Write a profile without model-card examples into the file `path` and return it."""
    plain = {
        "model_id": profile.model_id,
        "revision": profile.revision,
        "licence": profile.licence,
        "sizes": list(profile.sizes),
        "default_size": profile.default_size,
        "max_tokens": profile.max_tokens,
        "dtypes": list(profile.dtypes),
        "pooling": profile.pooling,
        "heads": list(profile.heads),
    }
    rule = profile.title_rule
    assert rule is not None
    title = {"before": rule.before, "after": rule.after, "separator": rule.separator}
    lines = [f"[{profile.name}]", *_lines(plain)]
    lines += [f"[{profile.name}.prompts]", *_lines(dict(profile.prompts))]
    lines += [f"[{profile.name}.title_rule]", *_lines(title)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _lines(table: Mapping[str, object]) -> list[str]:
    return [
        f"{json.dumps(key)} = {json.dumps(value)}"
        for key, value in table.items()
        if value is not None
    ]
