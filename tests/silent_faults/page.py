"""Writes docs/silent-faults.md from the catalogue, or says (`--check`) whether it is current."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.silent_faults.catalogue import CATALOGUE
from tests.silent_faults.fault import SilentFault

PAGE: Final = Path(__file__).parents[2] / "docs" / "silent-faults.md"
HERE: Final = "../tests/silent_faults/"
INTRODUCTION: Final = """\
# Silent faults

Generated from the catalogue in `tests/silent_faults/` by `make silent-faults`.

EmbeddingGemma goes wrong without an error: status 200, 768 numbers, unit length, and a space in which
nothing can be compared. Each row below is one way. Each is injected for real by a test - into a model
server, a checkpoint, a proxy, a collection, a cache - under a gateway opened and used as its users do
it; then every stored vector and the score of every hit is held against sentence-transformers. A fault
is *caught* when nothing wrong is stored or answered and the reason was told, or when it did no harm.

```sh
make silent-faults
```

prints one number, silent faults caught / tried, and fails when one is let through. In this version:
**{caught} / {tried}**, and {controls} controls that must be accepted are.

Most checks of a server need a recording of the reference (the setting `recording`): what its vectors
must be cannot be known otherwise. Without one, a server is still held against the worked examples of
the model card, the other replicas, its own `/info`, and the collections that were written before. What
a check of a few texts or points cannot see is a fault that spares just these; what each row leaves to
be noticed later is in the column *Begun later*. Nor is a coarser dtype seen that a server does not tell
while nothing in it overflows: float16 then differs from float32 by less than engines do, and bfloat16 by
little more.
"""


def page(faults: Sequence[SilentFault] = CATALOGUE) -> str:
    controls = [fault for fault in faults if fault.control]
    tried = [fault for fault in faults if not fault.control]
    known = len([fault for fault in tried if not fault.gap])
    return "\n".join(
        [
            INTRODUCTION.format(caught=known, tried=len(tried), controls=len(controls)),
            "| Fault | How it happens | Source | Stopped by | Begun later | Test |",
            "|---|---|---|---|---|---|",
            *map(_row, tried),
            "",
            "## Controls",
            "",
            "What looks like a fault and is none; stopping it would be a false alarm.",
            "",
            "| Control | What it is | Source | Outcome | Test |",
            "|---|---|---|---|---|",
            *map(_control, controls),
            "",
        ]
    )


def _row(fault: SilentFault) -> str:
    check = f"{fault.check}. **Gap:** {fault.gap}" if fault.gap else fault.check
    cells = (f"**{fault.title}** (`{fault.id}`)", fault.how, fault.source, check)
    return _cells(*cells, fault.running, _link(fault.test))


def _control(fault: SilentFault) -> str:
    return _cells(f"**{fault.title}**", fault.how, fault.source, fault.check, _link(fault.test))


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}]({HERE}{file})"


def main() -> int:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    return 0 if PAGE.read_text(encoding="utf-8") == page() else 1


if __name__ == "__main__":
    sys.exit(main())
