"""A cross-encoder small enough to build in a second: seeded random weights, one score a pair."""

from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from tests.support.tiny_corpus import SENTENCES

MAX_TOKENS: Final = 64
_SPECIALS: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_SEED: Final = 20250905


def build_tiny_cross_encoder(path: Path) -> Path:
    """Write the checkpoint into the folder `path` and return it."""
    tokenizer = _tokenizer()
    config: Any = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=MAX_TOKENS,
    )
    config.num_labels = 1
    model: Any = BertForSequenceClassification(config).eval()
    _seed(model)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@torch.no_grad()
def _seed(model: torch.nn.Module) -> None:
    """Draw every matrix wide, in the order of names, so that scores lie apart."""
    generator = torch.Generator().manual_seed(_SEED)
    for _, weight in sorted(model.named_parameters()):
        if weight.ndim > 1:
            weight.copy_(torch.randn(weight.shape, generator=generator))


def _tokenizer() -> Any:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=list(_SPECIALS), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
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
