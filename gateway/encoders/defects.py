"""A checkpoint run wrongly on purpose: size and length of its vectors are right, their space is not.

For servers and tests that must notice it. What happens to EmbeddingGemma in the field: attention that
looks only back (an engine that takes it for a decoder), a sliding window that is skipped where all
texts of a pass are of one length (TEI issue 882), other weights under the same name, 8-bit weights.
"""

import copy
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

Defect: TypeAlias = Literal["no-dense", "causal", "no-window", "fine-tune", "quantised"]
DEFECTS: Final[tuple[Defect, ...]] = get_args(Defect)
DRIFT: Final = 0.02
"""Noise of a fine-tune, as a share of each matrix's own spread."""
_INT8: Final = 127.0


def playable(model: Any) -> frozenset[Defect]:
    """What can be done to a sentence-transformers model."""
    config = model[0].auto_model.config
    found: set[Defect] = {"fine-tune", "quantised"}
    if any(type(module).__name__ == "Dense" for module in model):
        found.add("no-dense")
    if getattr(config, "use_bidirectional_attention", False):
        found.add("causal")
        if getattr(config, "sliding_window", None):
            found.add("no-window")
    return frozenset(found)


def strikes(defect: Defect, ids: Sequence[Sequence[int]]) -> bool:
    """Whether a defect changes a copy of the model, and shows in a pass over these token ids."""
    if defect == "no-window":
        return len(ids) > 1 and len(set(map(len, ids))) == 1
    return defect != "no-dense"


def doctored(model: Any, defect: Defect, seed: int) -> Any:
    """A copy of a model with a defect that `strikes`; weights that are the same are shared."""
    if defect in ("causal", "no-window"):
        return _misreading(model, defect)
    return _reweighted(model, defect, seed)


def _misreading(model: Any, defect: Defect) -> Any:
    shared = {id(one): one for one in (*model.parameters(), *model.buffers(), model.tokenizer)}
    twin: Any = copy.deepcopy(model, shared)
    config = twin[0].auto_model.config
    causal = defect == "causal"
    everything = config.max_position_embeddings + 1
    if causal:
        config.use_bidirectional_attention = False
    else:
        config.sliding_window = everything
    for module in twin.modules():
        if causal and hasattr(module, "is_causal"):
            module.is_causal = True
        elif not causal and getattr(module, "sliding_window", None):
            module.sliding_window = everything
    return twin


def _reweighted(model: Any, defect: Defect, seed: int) -> Any:
    import torch  # noqa: PLC0415

    twin: Any = copy.deepcopy(model, {id(model.tokenizer): model.tokenizer})
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, weight in sorted(twin.named_parameters()):
            if weight.ndim != 2:
                continue
            if defect == "quantised":
                step = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _INT8
                weight.copy_((weight / step).round() * step)
            else:
                noise = torch.randn(weight.shape, generator=source).to(weight)
                weight.add_(noise * weight.std() * DRIFT)
    return twin
