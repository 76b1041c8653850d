"""What all public JSON has in common."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """What a caller sends: unknown fields and near-miss types are refused, never guessed at."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Reply(BaseModel):
    """What the gateway answers."""

    model_config = ConfigDict(frozen=True)
