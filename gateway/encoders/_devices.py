"""Where a checkpoint runs, and in what, when nobody says; and that it is loaded quietly."""

import sys
from collections.abc import Generator
from contextlib import contextmanager


def usual_device() -> str:
    """A GPU where there is one: CUDA's, or Apple's; loads torch."""
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usual_dtype(device: str) -> str:
    """bfloat16 on a CUDA device that computes in it, float32 elsewhere; loads torch."""
    import torch  # noqa: PLC0415

    on_cuda = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if on_cuda else "float32"


@contextmanager
def quiet_unless_watched() -> Generator[None, None, None]:
    """Keep the bars of transformers out of a standard error that no terminal shows."""
    from transformers.utils import logging  # noqa: PLC0415

    if sys.stderr.isatty() or not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
