"""Rows of the catalogue: what the model reads."""

from typing import Final

from tests.silent_faults.fault import BY_CANARY, READING, RECORDING, SERVERS, SilentFault

TEXTS: Final = (
    SilentFault(
        "missing-prompt",
        "No prompt before a text",
        "Most clients send texts as they are; TEI's OpenAI route cannot select a prompt",
        "LangChain, RAGFlow and R2R have no prompt at all; TEI router/src/http/server.rs",
        "Prompts are rendered here, a call without a task is refused (`task-required`); "
        "a server that drops them: " + RECORDING,
        BY_CANARY,
        READING,
    ),
    SilentFault(
        "query-prompt-on-documents",
        "The query's prompt before documents",
        "One embed function for both sides of a search",
        "langchain-huggingface: embed_query = embed_documents; RAGFlow: encode_queries = encode",
        "Ingest uses the document prompt whatever the operator's default task; " + RECORDING,
        BY_CANARY,
        READING,
    ),
    SilentFault(
        "quoted-none",
        'The document prompt with `"none"` in quotes',
        "The model card's grammar read to the letter",
        "Model card against the model's config_sentence_transformers.json (`title: none | text: `)",
        "Another prompt is another fingerprint (`space-mismatch`); " + RECORDING,
        BY_CANARY,
        READING,
    ),
    SilentFault(
        "double-prompt",
        "A prompt of the server before the gateway's",
        "TEI started with --default-prompt or --default-prompt-name",
        "TEI router/src/lib.rs: the default prompt is put before every text of every route",
        "Tokens of a one-letter probe; token ids of recorded texts",
        BY_CANARY,
        SERVERS,
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
        READING,
    ),
    SilentFault(
        "title-dropped",
        "The title of a document left out",
        "encode_document always writes `none`; prompt names cannot carry a title",
        "sentence-transformers encode_document; TEI's prompt_name",
        "Titles are rendered here and part of the fingerprint; a recorded text with a title",
        BY_CANARY,
        READING,
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
)
