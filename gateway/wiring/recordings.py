"""The recording that the settings name: read, and known by a mark."""

from hashlib import blake2b

from gateway.domain.recording import Recording
from gateway.embedding.profile import ModelProfile
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.wiring.consistency import served_space


def load_recording(settings: Settings, profile: ModelProfile) -> Recording | None:
    """Read the recording that the settings name.

    Raises:
        ConfigurationError: it cannot be read, or is of another space than the encoder's.
    """
    if settings.recording is None:
        return None
    recording = Recording.load(settings.recording)
    served = served_space(settings, profile)
    if recording.space != served:
        raise ConfigurationError(
            f"recording {str(settings.recording)!r} is of space {recording.space!r}, but encoder "
            f"{settings.encoder_kind!r} serves profile {profile.name!r} in space {served!r}: "
            + _remedy(recording.space, profile)
        )
    return recording


def _remedy(recorded: str, profile: ModelProfile) -> str:
    if recorded != profile.fingerprint():
        return "record the reference of that profile, or configure the model that was recorded"
    return (
        "it is of the model's full precision, and this encoder's weights are quantised or made up; "
        "leave `recording` out, and compare with gateway parity --recording, which has bars for such"
    )


def recorded_mark(settings: Settings, profile: ModelProfile) -> str:
    """What tells cached vectors of one recording from those of another; "" without one.

    Raises:
        ConfigurationError: as `load_recording`.
    """
    if settings.recording is None or load_recording(settings, profile) is None:
        return ""
    return "@" + blake2b(settings.recording.read_bytes(), digest_size=8).hexdigest()
