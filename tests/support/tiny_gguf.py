"""The tiny EmbeddingGemma as a GGUF file, as llama.cpp's own converter lays it out.

Written with the `gguf` package alone. Two facts are easily missed: llama.cpp multiplies by a norm's
weight where Gemma multiplies by one plus it, so one is added here; and the two Dense layers are
tensors of the file like any other, which a converter leaves out unless it is told not to.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import numpy as safetensors

from tests.support.tiny_gemma import WINDOW

Kind: TypeAlias = Literal["f32", "q8_0"]

_KINDS: Final = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_NAMES: Final = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_DENSE: Final = ("2_Dense", "3_Dense")
_Weights: TypeAlias = NDArray[np.float32]


def write_gguf(checkpoint: Path, path: Path, *, kind: Kind = "f32", dense: bool = True) -> Path:
    """Write a checkpoint whose vectors have its hidden size as the file `path` and return it.

    `kind` "q8_0" stores the matrices in blocks of int8; `dense=False` leaves the Dense layers out,
    as several published files do.
    """
    stored, file_type = _KINDS[kind]
    writer: Any = gguf.GGUFWriter(path, "gemma-embedding")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_architecture(writer, _read(checkpoint / "config.json"))
    _add_tokenizer(writer, _read(checkpoint / "tokenizer.json"))
    if dense:
        for name, weight in _dense(checkpoint):
            writer.add_dense_features_dims(name, weight.shape[1], weight.shape[0])
    for name, weight in _tensors(checkpoint, dense=dense):
        keeps = weight.ndim == 1 or weight.shape[-1] % 32
        into = gguf.GGMLQuantizationType.F32 if keeps else stored
        writer.add_tensor(name, gguf.quants.quantize(weight, into), raw_dtype=into)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_architecture(writer: Any, config: dict[str, Any]) -> None:
    writer.add_name("tiny-embeddinggemma")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_sliding_window(WINDOW)
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def _add_tokenizer(writer: Any, definition: dict[str, Any]) -> None:
    """Write the vocabulary as SentencePiece's: a token's score is minus the rank of its merge."""
    vocabulary: dict[str, int] = definition["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    ranks = {"".join(pair): rank for rank, pair in enumerate(definition["model"]["merges"])}
    specials = {token["content"] for token in definition["added_tokens"]}
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([-float(ranks.get(word, len(ranks))) for word in words])
    writer.add_token_types([_token_type(word, specials) for word in words])
    writer.add_bos_token_id(vocabulary["<bos>"])
    writer.add_eos_token_id(vocabulary["<eos>"])
    writer.add_unk_token_id(vocabulary["<unk>"])
    writer.add_pad_token_id(vocabulary["<pad>"])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_space_prefix(False)


def _token_type(word: str, specials: set[str]) -> gguf.TokenType:
    if word == "<unk>":
        return gguf.TokenType.UNKNOWN
    if word in specials:
        return gguf.TokenType.CONTROL
    byte = len(word) == 6 and word.startswith("<0x")
    return gguf.TokenType.BYTE if byte else gguf.TokenType.NORMAL


def _tensors(checkpoint: Path, *, dense: bool) -> Iterator[tuple[str, _Weights]]:
    weights = _load(checkpoint)
    yield "token_embd.weight", weights.pop("embed_tokens.weight")
    yield "output_norm.weight", weights.pop("norm.weight") + np.float32(1)
    for name, weight in weights.items():
        _, layer, part = name.removesuffix(".weight").split(".", 2)
        plus = np.float32(1 if "norm" in part else 0)
        yield f"blk.{layer}.{_NAMES[part]}.weight", weight + plus
    if dense:
        for name, weight in _dense(checkpoint):
            yield f"{name}.weight", weight


def _dense(checkpoint: Path) -> Iterator[tuple[str, _Weights]]:
    for folder in _DENSE:
        weights = _load(checkpoint / folder)
        yield f"dense_{folder[0]}", weights["linear.weight"]


def _load(folder: Path) -> dict[str, _Weights]:
    library: Any = safetensors
    return cast("dict[str, _Weights]", library.load_file(folder / "model.safetensors"))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
