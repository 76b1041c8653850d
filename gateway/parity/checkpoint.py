"""Is the reference the model of the profile? A recording is trusted, so its maker must be proved."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gateway.domain.vectors import Matrix, shorten
from gateway.embedding.catalog import card_of
from gateway.embedding.profile import Golden, ModelProfile
from gateway.errors import ConfigurationError
from gateway.parity.bars import bars_for
from gateway.parity.layers.goldens import compare_goldens

if TYPE_CHECKING:
    from gateway.encoders.local import LocalEncoder


async def require_model(reference: "LocalEncoder", profile: ModelProfile) -> None:
    """Refuse a checkpoint of another model: its size, its weights, the examples of the model card.

    Equal size alone proves nothing: every fine-tune has it. Weights are compared where the profile
    names their digest, the examples where the card prints some.

    Raises:
        ConfigurationError: with what differs.
        IntegrityError: it has other weights than the profile names.
    """
    info = reference.info
    if info.size != profile.full_size:
        _refuse(
            reference,
            profile,
            f"it makes vectors of size {info.size}, the profile's have {profile.full_size}",
        )
    if profile.weights_sha256:
        from gateway.encoders._weights import require_weights  # noqa: PLC0415

        await asyncio.to_thread(require_weights, Path(info.model_id), profile.weights_sha256)
    examples = card_of(profile).goldens
    found = compare_goldens(examples, [await _rows(reference, profile, one) for one in examples])
    bar = bars_for(info.dtype).golden
    for size, off in found.off.items():
        if not off <= bar:
            _refuse(
                reference,
                profile,
                f"on the worked example of the model card its similarities at size {size} are off by "
                f"{off:.3f}, at most {bar:g} is right",
            )


def require_prompts(known: Mapping[str, str], profile: ModelProfile) -> None:
    """Refuse to record with prompts that are not those of the checkpoint, by name.

    Raises:
        ConfigurationError: with the names.
    """
    other = [name for name, text in known.items() if profile.prompts.get(name) != text]
    if other:
        raise ConfigurationError(
            f"the checkpoint's prompts for {', '.join(other)} are not those of profile "
            f"{profile.name!r}: give the profile of that checkpoint, or give it one of its own with "
            "its prompts (profiles_file)"
        )


def weights_of(reference: "LocalEncoder") -> dict[str, str]:
    """The digest of a folder's weights, by the name it has in a recording; a hub id has none."""
    folder = Path(reference.info.model_id)
    if not folder.is_dir():
        return {}
    from gateway.encoders._weights import weights_sha256  # noqa: PLC0415

    return {"weights_sha256": weights_sha256(folder)}


async def _rows(reference: "LocalEncoder", profile: ModelProfile, golden: Golden) -> Matrix:
    """Unit rows of a worked example at its size: the query, then the documents."""
    finals = [profile.render(golden.query_task, golden.query)]
    finals += [profile.render(golden.document_task, text) for text in golden.documents]
    return shorten((await reference.encode(finals)).vectors, golden.size)


def _refuse(reference: "LocalEncoder", profile: ModelProfile, differs: str) -> NoReturn:
    raise ConfigurationError(
        f"reference {reference.info.model_id!r} is not model {profile.model_id!r} of profile "
        f"{profile.name!r}: {differs}; give the checkpoint of the profile, or set the profile of this "
        "checkpoint (a fine-tune needs one of its own, in profiles_file)"
    )
