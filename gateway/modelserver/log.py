"""What a server saw and did, for proofs that no work is done twice."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Log:
    """What a server saw and did: counters, and where it records, each request.

    `requests` are (path, inputs) of each embedding request, `accepted` the inputs that got into the
    queue, `computed` those that came out of a forward pass, `passes` the forward passes.
    """

    records: bool = False
    requests: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    paths: list[str] = field(default_factory=list[str])
    largest_body: int = 0
    embedding_requests: int = 0
    accepted: int = 0
    computed: int = 0
    passes: int = 0
    failed_passes: int = 0
    dropped: int = 0
    failing: bool = False

    def arrived(self, path: str, size: int) -> None:
        """Note a request with a body of `size` bytes."""
        self.largest_body = max(self.largest_body, size)
        if self.records:
            self.paths.append(path)

    def embeds(self, path: str, inputs: int) -> None:
        """Note that a request asks for embeddings."""
        self.embedding_requests += 1
        if self.records:
            self.requests.append((path, inputs))

    def proofs(self) -> dict[str, int]:
        """The counters that `/metrics` shows."""
        return {
            "embedding_requests": self.embedding_requests,
            "inputs_accepted": self.accepted,
            "inputs_computed": self.computed,
            "forward_passes": self.passes,
            "failed_forward_passes": self.failed_passes,
        }
