"""Rows of the catalogue: what a server runs."""

from typing import Final

from tests.silent_faults.fault import BY_CANARY, RECORDING, SERVERS, SilentFault

MODELS: Final = (
    SilentFault(
        "float16-told",
        "float16, as the server says",
        "--dtype float16, the default of TEI for other models",
        "Model card: activations do not support float16",
        "dtype of /info; settings refuse it",
        BY_CANARY,
        "test_dtypes.py::test_float16_is_refused_where_it_is_told",
    ),
    SilentFault(
        "no-dense",
        "Dense layers skipped",
        "TEI before 1.8.3 over a local folder; checkpoints saved by sentence-transformers 5.4+",
        "TEI issue 732; backends/src/lib.rs (unknown module types are a warning)",
        "Version with a folder; size of a probe; " + RECORDING,
        BY_CANARY,
        "test_files.py::test_a_server_without_the_dense_layers_is_refused",
    ),
    SilentFault(
        "gguf-without-dense",
        "A GGUF without the Dense layers",
        "llama.cpp's converter leaves them out unless told; several published files lack them",
        "llama.cpp issue 18677",
        "OpenAI servers: " + RECORDING,
        BY_CANARY,
        "test_files.py::test_a_gguf_other_than_the_recorded_model_is_refused",
    ),
    SilentFault(
        "gguf-quantised",
        "A quantised GGUF where full precision was recorded",
        "The file was exchanged for a smaller one; OpenAI's protocol does not tell",
        "ggml-org and unsloth publish Q8_0 and Q4_0 under the model's name",
        "OpenAI servers: " + RECORDING,
        BY_CANARY,
        "test_files.py::test_a_gguf_other_than_the_recorded_model_is_refused",
    ),
    SilentFault(
        "quantised",
        "Weights rounded to 8 bits where full precision was recorded",
        "A quantised file served as float32 (cosines of 0.9996)",
        "Measured: a small model in int8 against float32, cosines 0.9994 to 0.9996",
        RECORDING.capitalize() + " (at 0.9999 in float32)",
        BY_CANARY,
        SERVERS,
    ),
    SilentFault(
        "causal",
        "Causal attention instead of bidirectional",
        "An engine that takes Gemma 3 for a decoder",
        "TEI's Python backend pins transformers 4.51, before use_bidirectional_attention (4.57)",
        RECORDING.capitalize(),
        BY_CANARY,
        SERVERS,
    ),
    SilentFault(
        "no-window",
        "Sliding window skipped in a pass over texts of one length",
        "TEI, all releases: texts above 257 tokens get other vectors together than alone",
        "TEI issue 882, PR 883",
        "A request whose texts are of one length above the window is sent again with short texts "
        "in between",
        "the same, in every request; what other clients of a TEI send may meet ours: keep chunks at 256",
        "test_lengths.py::test_texts_of_one_length_above_the_window_never_share_a_pass_alone",
    ),
    SilentFault(
        "other-model",
        "Another model of the same size",
        "768 numbers of unit length come from many models",
        "open-webui issue 11279, dify issue 12482",
        RECORDING.capitalize(),
        BY_CANARY,
        SERVERS,
    ),
    SilentFault(
        "another-id",
        "EmbeddingGemma 2 in the place of the first, by its name",
        "Same size, same prompts, other vectors",
        "Model card of google/embeddinggemma-2",
        "Model id of /info",
        BY_CANARY,
        "test_servers.py::test_a_server_of_another_model_of_the_same_size_is_refused_by_its_name",
    ),
    SilentFault(
        "fine-tune",
        "Another revision, or a fine-tune",
        "A folder exchanged under the same name; /info tells no weights",
        "TEI's model_sha only echoes --revision",
        RECORDING.capitalize() + " (at 0.9999 in float32; small changes hide in bfloat16)",
        BY_CANARY,
        SERVERS,
    ),
)
