"""Rows of the catalogue: what looks like a fault and must be accepted."""

from typing import Final

from tests.silent_faults.fault import SilentFault

CONTROLS: Final = (
    SilentFault(
        "bfloat16",
        "bfloat16, told by the server",
        "Drifts by less than 0.01 from float32",
        "Model card: float32 or bfloat16",
        "Accepted at 0.99",
        "",
        "test_dtypes.py::test_bfloat16_drifts_within_bounds_and_is_accepted",
        control=True,
    ),
    SilentFault(
        "items-in-another-order",
        "Items in another order, each with its right index",
        "Allowed by OpenAI's protocol",
        "OpenAI API reference",
        "Accepted, sorted by index",
        "",
        "test_servers.py::test_items_in_another_order_that_say_their_places_are_accepted",
        control=True,
    ),
    SilentFault(
        "gguf",
        "The recorded model in another engine, in full precision",
        "A GGUF in float32 in llama.cpp",
        "llama.cpp",
        "Accepted at 0.9999",
        "",
        "test_files.py::test_a_gguf_of_the_recorded_model_in_full_precision_is_accepted",
        control=True,
    ),
)
