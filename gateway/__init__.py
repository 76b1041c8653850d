"""tei-rag-gateway: text in, provably correct EmbeddingGemma vectors out, searches answered.

Importing the package loads nothing heavy; start from `gateway.ports` to read the design and from
`gateway.bootstrap.open_runtime` to use it.
"""

__version__ = "0.1.0"
