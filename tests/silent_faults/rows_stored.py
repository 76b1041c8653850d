"""Rows of the catalogue: what is kept: collections and caches."""

from typing import Final

from tests.silent_faults.fault import BY_CANARY, OPEN, RECORDING, SilentFault

STORED: Final = (
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
        "cosine-collection",
        "A collection that compares by cosine",
        "The default of most integrations; it hides vectors that are not of unit length",
        "LangChain's default for Qdrant",
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
        "Every point says its space; stored texts are embedded again, " + OPEN,
        "every point that the gateway itself writes",
        "test_collections.py::test_points_copied_from_a_collection_of_another_model_are_never_hits",
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
)
