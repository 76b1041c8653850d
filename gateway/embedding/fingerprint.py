"""The fingerprint of a vector space: a digest over all that decides what its vectors mean.

A new ingredient must be left out where it has nothing to say, or every stored collection is orphaned.
"""

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from gateway.ports import EncoderInfo

if TYPE_CHECKING:  # a profile gives its own fingerprint by this module
    from gateway.embedding.profile import ModelProfile

_UNPRINTED: Final = re.compile(r"[^a-z0-9._-]+")


def ingredients(
    profile: "ModelProfile",
    *,
    variant: str = "",
    quantization: str = "",
    weights_sha256: str = "",
) -> dict[str, Any]:
    """Return what the digest is taken over, as JSON values by name.

    Not in it: the stored size and the distance, since one space serves every size, and whatever moves
    no vector (names, licence, scores, goldens, defaults). float32 and bfloat16 of the same weights are
    one space; quantised weights are others.
    """
    rule = profile.title_rule
    parts: dict[str, Any] = {
        "model_id": profile.model_id,
        "revision": profile.revision,
        "pooling": profile.pooling,
        "heads": list(profile.heads),
        "prompts": dict(profile.prompts),
        "title_rule": None if rule is None else [rule.before, rule.after],
        "max_tokens": profile.max_tokens,
        "full_size": profile.full_size,
        "normalized": True,
        "variant": variant,
    }
    weights = weights_sha256 or profile.weights_sha256
    known = {"weights_sha256": weights, "quantization": quantization}
    return parts | {name: value for name, value in known.items() if value}


def fingerprint(
    profile: "ModelProfile",
    *,
    variant: str = "",
    quantization: str = "",
    weights_sha256: str = "",
) -> str:
    """Name a space: the model, its marks, and 64 bits of sha256 over the ingredients.

    `weights_sha256` is what an encoder knows of its weights; the profile's own otherwise.
    """
    parts = ingredients(
        profile, variant=variant, quantization=quantization, weights_sha256=weights_sha256
    )
    marks = [mark for mark in (variant, quantization) if mark]
    return f"{'+'.join([_label(profile.model_id), *marks])}:{_digest(parts)}"


def space_of(profile: "ModelProfile", info: EncoderInfo) -> str:
    """Name the space of the vectors that an encoder makes for a profile."""
    return fingerprint(
        profile,
        variant=info.variant,
        quantization=info.quantization,
        weights_sha256=info.weights_sha256,
    )


def prompt_set(profile: "ModelProfile") -> str:
    """Digest every rendered prompt, the titled form included: two models may well share it."""
    parts = ingredients(profile)
    return _digest({name: parts[name] for name in ("prompts", "title_rule")})


def _digest(parts: dict[str, Any]) -> str:
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _label(model_id: str) -> str:
    """The model's own name in letters that an HTTP header may carry; a profile's is a free choice."""
    name = model_id.rstrip("/").rpartition("/")[2].lower()
    return _UNPRINTED.sub("-", name).strip("-") or "model"
