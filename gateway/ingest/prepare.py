"""From documents to drafts: checked, compared with what is stored, and cut into chunks."""

import asyncio
from collections.abc import Iterable, Sequence

from gateway.domain.documents import Document, content_hash
from gateway.embedding.embedder import Embedder
from gateway.errors import InvalidDocument, InvalidRequest
from gateway.ingest.chunking import Chunker
from gateway.ingest.draft import Draft
from gateway.ingest.stored import StoredDocuments


class Preparer:
    """Prepares windows for one collection. Hashing and counting run in a worker thread."""

    def __init__(
        self,
        embedder: Embedder,
        chunker: Chunker,
        stored: StoredDocuments,
        *,
        allow_prompted: bool = False,
    ) -> None:
        self._profile = embedder.profile
        self._chunker = chunker
        self._stored = stored
        self._allow_prompted = allow_prompted

    async def drafts(self, documents: Sequence[Document]) -> list[Draft]:
        """Return one draft a document: failed, unchanged, or with its plan.

        Raises:
            UpstreamError: the store or a remote tokenizer failed.
        """
        drafts = await asyncio.to_thread(self._inspect, documents)
        sound = {draft.id: draft for draft in drafts if not draft.failed}
        firsts = await self._stored.first_chunks(sound)
        same = {
            name: first
            for name, first in firsts.items()
            if first.content_hash == sound[name].content_hash
        }
        for name in await self._stored.complete(same):
            sound.pop(name).unchanged = True
        await asyncio.to_thread(self._plan, sound.values())
        planned = {name: draft for name, draft in sound.items() if not draft.failed}
        beyond = await self._stored.with_chunk((d.id, d.count) for d in planned.values())
        for name, draft in planned.items():
            old = firsts[name].document_chunks if name in firsts else 0
            draft.surplus = name in beyond or old > draft.count
            draft.known = name in firsts or draft.surplus
        return drafts

    def _inspect(self, documents: Sequence[Document]) -> list[Draft]:
        return [self._inspected(document) for document in documents]

    def _inspected(self, document: Document) -> Draft:
        """Hash a document; refuse the whole of one that brings its own prompt.

        A later chunk may well begin like a prompt by chance of where it was cut: only the beginning
        of the document, which its author wrote, is judged.
        """
        draft = Draft(document)
        try:
            if not self._allow_prompted:
                self._profile.refuse_prompted(document.text, document.title)
            draft.content_hash = content_hash(document, chunking=self._chunker.signature)
        except InvalidRequest as exc:
            draft.fail(exc)
        except (TypeError, ValueError, RecursionError) as exc:
            draft.fail(InvalidDocument(f"its metadata cannot be written as JSON: {exc}"))
        return draft

    def _plan(self, drafts: Iterable[Draft]) -> None:
        for draft in drafts:
            try:
                draft.plan = self._chunker.plan(draft.document, draft.content_hash)
            except InvalidRequest as exc:
                draft.fail(exc)
