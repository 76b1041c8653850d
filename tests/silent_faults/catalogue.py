"""The catalogue: every known way in which EmbeddingGemma goes wrong without an error.

docs/silent-faults.md is written from it. A fault is one that answers 200 with vectors of the right
shape in a wrong space; a control is what looks like one and must be accepted.
"""

from dataclasses import dataclass
from typing import Final

RECORDING: Final = "recorded texts must come out again"
EVERY_ANSWER: Final = "the same, in every answer"
BY_CANARY: Final = "the canary: now and then, and soon after a reconnect"
OPEN: Final = "looked at when a collection is first opened"


@dataclass(frozen=True, slots=True)
class SilentFault:
    """One row. `how` it happens in the field, by whose word (`source`), and what `check` stops it.

    `running` says who stops it when it begins later; `test` is `file.py::function` in
    tests/silent_faults/. A `control` must not be stopped; a `gap` says what still gets through, and has
    a test that is expected to fail.
    """

    id: str
    title: str
    how: str
    source: str
    check: str
    running: str
    test: str
    control: bool = False
    gap: str = ""


_SERVERS: Final = "test_servers.py::test_a_server_that_is_wrong_from_the_start_is_refused"
_READING: Final = "test_prompts.py::test_a_server_that_changes_what_the_model_reads_is_refused"

CATALOGUE: Final = (
    SilentFault(
        "missing-prompt",
        "No prompt before a text",
        "Most clients send texts as they are; TEI's OpenAI route cannot select a prompt",
        "LangChain, RAGFlow and R2R have no prompt at all; TEI router/src/http/server.rs",
        "Prompts are rendered here, a call without a task is refused (`task-required`); "
        "a server that drops them: " + RECORDING,
        BY_CANARY,
        _READING,
    ),
    SilentFault(
        "query-prompt-on-documents",
        "The query's prompt before documents",
        "One embed function for both sides of a search",
        "langchain-huggingface: embed_query = embed_documents; RAGFlow: encode_queries = encode",
        "Ingest uses the document prompt whatever the operator's default task; " + RECORDING,
        BY_CANARY,
        _READING,
    ),
    SilentFault(
        "quoted-none",
        'The document prompt with `"none"` in quotes',
        "The model card's grammar read to the letter",
        "Model card against the model's config_sentence_transformers.json (`title: none | text: `)",
        "Another prompt is another fingerprint (`space-mismatch`); " + RECORDING,
        BY_CANARY,
        _READING,
    ),
    SilentFault(
        "double-prompt",
        "A prompt of the server before the gateway's",
        "TEI started with --default-prompt or --default-prompt-name",
        "TEI router/src/lib.rs: the default prompt is put before every text of every route",
        "Tokens of a one-letter probe; token ids of recorded texts",
        BY_CANARY,
        _SERVERS,
    ),
    SilentFault(
        "prompted-text",
        "A text that carries a prompt already",
        "Callers that were written for a bare server",
        "sentence-transformers users who prepend prompts by hand and call encode_query",
        "Texts that begin with a prompt, titles that hold its mark: refused (`double-prompt`)",
        "the same, in every call",
        "test_prompts.py::test_texts_and_titles_that_carry_a_prompt_are_refused_one_by_one",
    ),
    SilentFault(
        "whitespace-rewritten",
        "Line breaks or blanks rewritten",
        "A wrapper that replaces new lines by blanks before it embeds",
        'langchain-huggingface replaces "\\n" by " "',
        "Nothing is rewritten here; token ids and vectors of recorded texts with line breaks",
        BY_CANARY,
        _READING,
    ),
    SilentFault(
        "title-dropped",
        "The title of a document left out",
        "encode_document always writes `none`; prompt names cannot carry a title",
        "sentence-transformers encode_document; TEI's prompt_name",
        "Titles are rendered here and part of the fingerprint; a recorded text with a title",
        BY_CANARY,
        _READING,
    ),
    SilentFault(
        "server-cut",
        "A vector cut to a size and not renormalised, by a server or client",
        "truncate_dim without normalize_embeddings leaves norms of 0.58 at 256",
        "sentence-transformers truncate_dim",
        "The full size is asked for and cut here; another size of a probe is refused",
        EVERY_ANSWER,
        "test_lengths.py::test_a_server_that_cuts_and_does_not_renormalise_is_refused",
    ),
    SilentFault(
        "stored-cut",
        "A collection of vectors that were cut and not renormalised",
        "A script that makes a smaller collection out of a larger one",
        "Matryoshka advice without its second half (model card: cut and re-normalise)",
        "Norms of stored vectors, " + OPEN,
        "every vector that the gateway itself writes",
        "test_collections.py::"
        "test_a_collection_of_vectors_that_were_cut_and_not_renormalised_is_refused",
    ),
    SilentFault(
        "unnormalised",
        "Raw vectors",
        "normalize=false, or a server that never normalises; norms are in the hundreds",
        "TEI's own snapshot for this model (norm 718); Haystack's default normalize=False",
        "Norm of every vector",
        EVERY_ANSWER,
        _SERVERS,
    ),
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
        "float16-hidden",
        "float16 that a server does not tell",
        "An engine that casts on its own; activations overflow to NaN",
        "unsloth PR 4014 (overflow at about 800,000)",
        "Every vector must be finite and of unit length",
        EVERY_ANSWER,
        "test_dtypes.py::test_float16_that_is_not_told_is_refused_by_the_vectors_that_overflow",
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
        "ONNX and bitsandbytes builds under the model's name",
        RECORDING.capitalize() + " (at 0.9999 in float32)",
        BY_CANARY,
        _SERVERS,
    ),
    SilentFault(
        "causal",
        "Causal attention instead of bidirectional",
        "An engine that takes Gemma 3 for a decoder",
        "TEI's Python backend pins transformers 4.51, before use_bidirectional_attention (4.57)",
        RECORDING.capitalize(),
        BY_CANARY,
        _SERVERS,
    ),
    SilentFault(
        "no-window",
        "Sliding window skipped in a pass over texts of one length",
        "TEI, all releases: texts above 257 tokens get other vectors together than alone",
        "TEI issue 882, PR 883",
        "A request whose texts are of one length above the window is sent again with short texts "
        "in between",
        "the same, in every request; lone texts of two requests may still meet: keep chunks at 256",
        "test_lengths.py::test_texts_of_one_length_above_the_window_never_share_a_pass_alone",
    ),
    SilentFault(
        "other-model",
        "Another model of the same size",
        "768 numbers of unit length come from many models",
        "open-webui issue 11279, dify issue 12482",
        RECORDING.capitalize(),
        BY_CANARY,
        _SERVERS,
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
        _SERVERS,
    ),
    SilentFault(
        "exchanged-behind-a-collection",
        "Other weights under the name that a collection was written with",
        "A server restarted with another folder, and nothing was recorded",
        "dify issue 12482, llama_index issue 7110",
        "Stored texts are embedded again and compared, " + OPEN,
        BY_CANARY,
        "test_collections.py::"
        "test_a_collection_is_refused_when_other_weights_are_served_under_the_same_name",
    ),
    SilentFault(
        "token-ids",
        "Token ids of another tokenizer",
        "OpenAI clients that tokenise with tiktoken; TEI decodes ids and embeds the gibberish",
        "langchain-openai; TEI core/src/tokenization.rs",
        "Refused (`token-ids-refused`)",
        "the same, in every call",
        "test_prompts.py::test_token_ids_are_refused",
    ),
    SilentFault(
        "silent-truncation",
        "Long texts cut without a word",
        "auto_truncate (TEI's default from 1.9.0), or an engine with a shorter context",
        "Rapid-MLX issue 1381, ragflow issue 4683; TEI PR 829",
        "Truncation is forbidden per request; a recorded text of the model's whole context",
        BY_CANARY,
        _SERVERS,
    ),
    SilentFault(
        "null",
        "Nulls, or NaN bits in base64",
        "A forward pass that overflows, status 200",
        "TEI PR 896, issues 557 and 439",
        "Every vector must be finite",
        EVERY_ANSWER,
        _SERVERS,
    ),
    SilentFault(
        "zero",
        "A vector of zeros",
        "A failed pass or a padded row answered as a vector",
        "A user's report about a hosted service through an OpenAI client",
        "Norm of every vector",
        EVERY_ANSWER,
        _SERVERS,
    ),
    SilentFault(
        "wrong-size",
        "Vectors of another size",
        "`dimensions` ignored, or another model behind the address",
        "vLLM issue 15465; llama.cpp ignores `dimensions`",
        "Size of every vector",
        EVERY_ANSWER,
        _SERVERS,
    ),
    SilentFault(
        "missing",
        "A vector missing from an answer",
        "A server that drops an input",
        "Clients that zip texts with whatever came (pytei-client's batch path)",
        "As many vectors as texts, each index once",
        EVERY_ANSWER,
        _SERVERS,
    ),
    SilentFault(
        "same-index",
        "Every item says index 0",
        "A server of OpenAI's protocol that does not fill the index",
        "Clients that sort by index",
        "As many vectors as texts, each index once",
        EVERY_ANSWER,
        _SERVERS,
    ),
    SilentFault(
        "reordered",
        "Vectors in another order, indexes that deny it",
        "A batching layer that sorts by length and does not sort back",
        "Length-sorted batching in servers and proxies",
        RECORDING.capitalize() + ", many in one request",
        BY_CANARY,
        _SERVERS,
    ),
    SilentFault(
        "big-endian",
        "base64 with bytes in the wrong order",
        "A server that writes the numbers in its own or network order",
        "OpenAI's clients read little-endian float32 and nothing says so on the wire",
        "Norm of every vector",
        EVERY_ANSWER,
        _SERVERS,
    ),
    SilentFault(
        "cosine-collection",
        "A collection that compares by cosine",
        "The default of most integrations; it hides vectors that are not of unit length",
        "qdrant-client and LangChain defaults",
        "Distance of the engine's own description, at every look at it",
        "the same, every few seconds",
        "test_collections.py::test_a_collection_of_another_distance_is_refused",
    ),
    SilentFault(
        "euclid-collection",
        "A collection that compares by Euclidean distance",
        "Made by hand; best and worst change places under a threshold",
        "Qdrant's distances",
        "Distance of the engine's own description, at every look at it",
        "the same, every few seconds",
        "test_collections.py::test_a_collection_of_another_distance_is_refused",
    ),
    SilentFault(
        "collection-of-another-size",
        "A collection of another size than it says or than is asked for",
        "Re-made by a script, or another default size configured",
        "open-webui PR 13225",
        "Size of the engine's own description; a collection keeps its size (`collection-mismatch`)",
        "the same, every few seconds",
        "test_collections.py::test_a_collection_of_another_size_than_it_says_is_refused",
    ),
    SilentFault(
        "collection-of-another-space",
        "A collection of another model of the same size",
        "The model was changed and the collection kept",
        "open-webui issue 11279, nexus-rag issue 362",
        "Fingerprint of the collection (`space-mismatch`), both ways",
        "the same, at every write and search",
        "test_collections.py::"
        "test_a_collection_of_another_model_of_the_same_size_is_refused_both_ways",
    ),
    SilentFault(
        "mixed-spaces",
        "Points of two models in one collection",
        "Points copied from one collection into another by scroll and upsert",
        "Migrations by script",
        "Stored texts are embedded again and compared, " + OPEN,
        "every point that the gateway itself writes",
        "test_collections.py::test_points_copied_from_a_collection_of_another_model_are_never_hits",
        gap="a few copied points among many are noticed only when the sample meets them",
    ),
    SilentFault(
        "stale-cache",
        "Cached vectors of a former model",
        "A cache keyed by text alone, or by a name that stayed",
        "pytei-client caches what its batch path computed without the parameters",
        "Space, server, dtype, version and recording are in the key; the new model itself: "
        + RECORDING,
        "the same, in every key",
        "test_caches.py::test_a_cache_outlives_no_model",
    ),
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
