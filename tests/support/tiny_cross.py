"""A cross-encoder small enough to build in a second: seeded random weights, one score a pair.

Two builds are equal byte by byte.
"""

import math
import re
from pathlib import Path
from typing import Any, Final

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.support.tiny_corpus import SENTENCES

MAX_TOKENS: Final = 64
_SIZE: Final = 32
_SPECIALS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_SEED: Final = 20250906


def build_tiny_cross_encoder(path: Path, *, labels: int = 1) -> Path:
    """Write the checkpoint into the folder `path` and return it."""
    tokenizer = _tokenizer()
    config = _bert(tokenizer)
    config.num_labels = labels
    model: Any = BertForSequenceClassification(config).eval()
    _seed(model)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def build_tiny_modular_reranker(path: Path) -> Path:
    """Write a checkpoint whose head is modules of sentence-transformers, as ettin-reranker's is."""
    base: Any = BertModel(_bert(tokenizer := _tokenizer())).eval()
    _seed(base)
    base.save_pretrained(path / "base")
    tokenizer.save_pretrained(path / "base")
    transformer: Any = Transformer(str(path / "base"), transformer_task="feature-extraction")
    head: Any = Dense(
        _SIZE,
        1,
        activation_function=torch.nn.Identity(),
        module_input_name="sentence_embedding",
        module_output_name="scores",
    )
    _seed(head)
    model: Any = CrossEncoder(modules=[transformer, Pooling(_SIZE, "cls"), head], device="cpu")
    model.save_pretrained(str(path))
    return path


def build_tiny_causal_reranker(path: Path) -> Path:
    """Write a decoder that is asked for "yes" or "no", as Qwen3-Reranker is."""
    tokenizer = _tokenizer()
    tokenizer.add_tokens(["yes", "no"])
    config: Any = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=_SIZE,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=MAX_TOKENS,
    )
    model: Any = Qwen3ForCausalLM(config).eval()
    _seed(model)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _bert(tokenizer: Any) -> Any:
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=_SIZE,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
    )


@torch.no_grad()
def _seed(model: torch.nn.Module) -> None:
    """Draw every matrix from N(0, 4/fan_in) in the order of names: scores lie apart, few saturate.

    Biases are 0, and the weights of norms stay at 1.
    """
    generator = torch.Generator().manual_seed(_SEED)
    for name, weight in sorted(model.named_parameters()):
        if weight.ndim > 1:
            scale = 2 / math.sqrt(weight.shape[1])
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
        elif name.endswith("bias"):
            weight.zero_()


def _tokenizer() -> Any:
    tokenizer = Tokenizer(models.WordPiece(_vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_TOKENS,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def _vocabulary() -> dict[str, int]:
    """The words of the sentences and their characters, sorted: a trained one differs run by run."""
    words = {
        word for sentence in SENTENCES for word in re.findall(r"\w+|[^\w\s]", sentence.lower())
    }
    characters = sorted({character for word in words for character in word})
    pieces = [*characters, *(f"##{each}" for each in characters), *sorted(words)]
    return {piece: place for place, piece in enumerate(dict.fromkeys([*_SPECIALS, *pieces]))}
