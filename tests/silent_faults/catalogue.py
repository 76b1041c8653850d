"""The catalogue: every known way in which EmbeddingGemma goes wrong without an error.

docs/silent-faults.md is written from it. A fault is one that answers 200 with vectors of the right
shape in a wrong space; a control is what looks like one and must be accepted.
"""

from typing import Final

from tests.silent_faults.fault import SilentFault
from tests.silent_faults.rows_answers import ANSWERS
from tests.silent_faults.rows_controls import CONTROLS
from tests.silent_faults.rows_models import MODELS
from tests.silent_faults.rows_stored import STORED
from tests.silent_faults.rows_texts import TEXTS

CATALOGUE: Final[tuple[SilentFault, ...]] = (*TEXTS, *MODELS, *ANSWERS, *STORED, *CONTROLS)
