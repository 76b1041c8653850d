"""Errors of an encoder, with the place that a text has for the caller."""

import pytest

from gateway.embedding.refusals import renamed
from gateway.errors import (
    CollectionNotFound,
    DegenerateVector,
    GatewayError,
    InputTooLong,
    InvalidText,
    UpstreamUnavailable,
)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputTooLong("input 3 has 9 tokens", index=3, field="text"), "input 70 has 9 tokens"),
        (InvalidText("input 0: no such word", index=0), "input 70: no such word"),
        (InvalidText("no such word"), "input 70: no such word"),
        (
            DegenerateVector("the vector of input 6 is flat", index=6),
            "the vector of input 70 is flat",
        ),
        (UpstreamUnavailable("out of memory", service="tei"), "input 70: out of memory"),
    ],
)
def test_an_input_is_named_by_its_place_among_all(error: GatewayError, message: str) -> None:
    found = renamed(error, 70)

    assert type(found) is type(error)
    assert str(found) == message
    assert getattr(found, "index", 70) == 70
    assert getattr(found, "field", None) == getattr(error, "field", None)
    assert getattr(found, "service", None) == getattr(error, "service", None)
    assert found.__cause__ is error


def test_an_error_that_names_no_input_is_kept() -> None:
    error = CollectionNotFound("a")

    assert renamed(error, 70) is error
