"""A checkpoint of EmbeddingGemma's architecture, small enough to build in a second.

Seeded random weights behind the real module chain (Gemma3 text model with a sliding window and
bidirectional attention, mean pooling, two Dense layers, Normalize), the real 14 prompts, and a
tokenizer trained on a handful of sentences. No Gemma weights or vocabulary are involved. Two builds
are equal byte by byte, and the files have the layout that TEI reads.
"""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import Gemma3TextConfig, Gemma3TextModel, GemmaTokenizer

from gateway.embedding.catalog import EMBEDDING_GEMMA_300M, GEMMA_CONFIGURED_PROMPTS
from tests.support.tiny_corpus import SENTENCES

HIDDEN: Final = 96
MIDDLE: Final = 384
SIZE: Final = 768
MAX_TOKENS: Final = 2048
WINDOW: Final = 64
"""Tokens of the sliding window (512 in the real model), so that short texts go beyond it."""
VOCABULARY: Final = 2048
SPECIALS: Final = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
OVERFLOWING_NORM: Final = 30_000.0
"""A norm weight with which float16 overflows and float32 and bfloat16 do not, as the real model."""

TINY_PROFILE: Final = replace(
    EMBEDDING_GEMMA_300M,
    name="tiny-embeddinggemma",
    model_id="tests/tiny-embeddinggemma",
    revision="seed-20250904",
    licence="apache-2.0",
    heads=(f"dense {HIDDEN}->{MIDDLE}", f"dense {MIDDLE}->{SIZE}"),
    window=WINDOW // 2 + 1,
    aliases=(),
    published=(),
    goldens=(),
)
_SEED: Final = 20250904
_TYPES: Final = ("Transformer", "Pooling", "Dense", "Dense", "Normalize")
_MODULE: Final = "sentence_transformers.models.{}"
_POOLING_MODES: Final = (
    "cls_token",
    "mean_tokens",
    "max_tokens",
    "mean_sqrt_len_tokens",
    "weightedmean_tokens",
    "lasttoken",
)
_GEMMA_KEYS: Final = {
    "architectures": ["Gemma3TextModel"],
    "dtype": "float32",
    "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0,
    "rope_scaling": None,
    "_sliding_window_pattern": 6,
    "use_bidirectional_attention": True,
}
"""Keys of the released model's config.json that its readers need and transformers 5 no longer writes."""


def build_tiny_gemma(
    path: Path, *, sliding_window: int = WINDOW, overflowing: bool = False, size: int = SIZE
) -> Path:
    """Write the checkpoint into the folder `path` and return it.

    `overflowing` gives the variant whose activations leave the range of float16; `size` is that of
    the vectors (`HIDDEN` for engines that want it equal to the hidden size, as the real model's is).
    """
    path.mkdir(parents=True, exist_ok=True)
    base = path / "base"
    tokenizer: Any = _tokenizer()
    tokenizer.save_pretrained(base)
    model: Any = Gemma3TextModel(_config(sliding_window)).eval()
    dense = [_dense(HIDDEN, MIDDLE), _dense(MIDDLE, size)]
    _seed([model, *dense], overflowing=overflowing)
    model.save_pretrained(base)
    chain = SentenceTransformer(
        modules=[
            Transformer(str(base), max_seq_length=MAX_TOKENS),
            Pooling(HIDDEN, pooling_mode="mean"),
            *dense,
            Normalize(),
        ],
        prompts=dict(GEMMA_CONFIGURED_PROMPTS),
        similarity_fn_name="cosine",
        device="cpu",
    )
    chain.save_pretrained(str(path), create_model_card=False)
    for left in sorted(base.iterdir()):
        left.unlink()
    base.rmdir()
    _use_old_layout(path)
    return path


def digests(path: Path) -> dict[str, str]:
    """Map each file of a build to the sha256 of its bytes."""
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def _tokenizer() -> GemmaTokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIALS) - 256, min_frequency=1, show_progress=False
    )
    tokenizer.train_from_iterator([*SENTENCES, *GEMMA_CONFIGURED_PROMPTS.values()], trainer)
    learned: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    words = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    vocabulary = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    return GemmaTokenizer(
        vocab={word: index for index, word in enumerate(vocabulary)},
        merges=cast("list[str]", [tuple(pair) for pair in learned["merges"]]),
        add_bos_token=True,
        add_eos_token=True,
        padding_side="right",
        model_max_length=MAX_TOKENS,
    )


def _config(sliding_window: int) -> Gemma3TextConfig:
    return Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=144,
        num_hidden_layers=6,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=32,
        query_pre_attn_scalar=32,
        max_position_embeddings=MAX_TOKENS,
        sliding_window=sliding_window,
        use_bidirectional_attention=True,
        rope_parameters=None,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        use_cache=False,
    )


def _dense(width: int, out: int) -> Dense:
    return Dense(width, out, bias=False, activation_function=None)


@torch.no_grad()
def _seed(modules: list[torch.nn.Module], *, overflowing: bool) -> None:
    """Draw every matrix from N(0, 1/fan_in) in the order of names; norm weights 0 mean 1 in Gemma."""
    generator = torch.Generator().manual_seed(_SEED)
    for module in modules:
        for name, weight in sorted(module.named_parameters()):
            if weight.ndim == 1:
                big = overflowing and "post_feedforward_layernorm" in name
                weight.fill_(OVERFLOWING_NORM if big else 0.0)
            else:
                scale = 1 / math.sqrt(weight.shape[1])
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)


def _use_old_layout(path: Path) -> None:
    """Rewrite what sentence-transformers 6 and transformers 5 write in a form TEI cannot read."""
    folders = ("", *(f"{index}_{kind}" for index, kind in enumerate(_TYPES) if index))
    modules = [
        {"idx": index, "name": str(index), "path": folder, "type": _MODULE.format(kind)}
        for index, (folder, kind) in enumerate(zip(folders, _TYPES, strict=True))
    ]
    modes = {f"pooling_mode_{mode}": mode == "mean_tokens" for mode in _POOLING_MODES}
    _write(path / "modules.json", modules)
    _write(
        path / "1_Pooling" / "config.json",
        {"word_embedding_dimension": HIDDEN, **modes, "include_prompt": True},
    )
    _write(
        path / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False}
    )
    config: dict[str, Any] = json.loads((path / "config.json").read_text(encoding="utf-8"))
    del config["rope_parameters"]
    _write(path / "config.json", {**config, **_GEMMA_KEYS})


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
