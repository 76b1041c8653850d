"""Collections of one space: made with the operator's defaults, opened only by their own model."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal

from gateway.domain.collections import (
    CollectionInfo,
    CollectionSpec,
    FieldType,
    require_space,
    require_unprefixed,
    usual_coarse,
)
from gateway.domain.lexical import Lexical
from gateway.embedding.embedder import Embedder
from gateway.errors import CollectionNotFound
from gateway.ports import VectorStore
from gateway.retrieval.audit import Audit

LEXICAL = Lexical()
"""How the words of a new collection are weighed unless it is said otherwise."""

NO_FIELDS: Mapping[str, FieldType] = MappingProxyType({})


class Unset(Enum):
    """Nothing was asked: the operator's choice holds, or what is stored."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Collections:
    """What may be done to collections with the configured model."""

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        *,
        size: int | None = None,
        lexical: Lexical | None = LEXICAL,
        weighing: Lexical = LEXICAL,
        coarse: int | None = None,
    ) -> None:
        """Make new collections of `size` (the profile's default when None), words weighed so.

        Where they are not (`lexical` None) but asked for, `weighing` says how.

        Short vectors of size `coarse` are stored beside, where full ones are longer.

        Raises:
            UnsupportedSize: the profile has no such size.
        """
        profile = embedder.profile
        self._embedder = embedder
        self._store = store
        self._audit = Audit(embedder, store)
        self._lexical = lexical
        self._words = lexical or weighing
        self._coarse = coarse
        self._size = profile.require_size(profile.default_size if size is None else size)

    def spec(
        self,
        name: str,
        *,
        size: int | None = None,
        filter_fields: Mapping[str, FieldType] = NO_FIELDS,
        lexical: Lexical | Unset | Literal[True] | None = UNSET,
        coarse: int | None = None,
    ) -> CollectionSpec:
        """Describe a collection of the configured model; nothing is created.

        Its words are indexed as the operator says, unless `lexical` is None; True indexes them anyway.
        `coarse` is the size of short vectors to store beside, one of the model's.

        Raises:
            InvalidName, UnsupportedSize.
            InvalidRequest: `coarse` is not shorter than the size.
        """
        profile = self._embedder.profile
        full = self._size if size is None else profile.require_size(size)
        return CollectionSpec(
            name=name,
            profile=profile.name,
            space=self._embedder.space,
            size=full,
            filter_fields=filter_fields,
            lexical=self._weighing(lexical),
            coarse=usual_coarse(self._coarse, full)
            if coarse is None
            else profile.require_size(coarse, field="coarse"),
        )

    async def create(
        self,
        name: str,
        *,
        size: int | None = None,
        filter_fields: Mapping[str, FieldType] = NO_FIELDS,
        lexical: Lexical | Unset | Literal[True] | None = UNSET,
        coarse: int | None = None,
    ) -> CollectionSpec:
        """Create a collection, or return the stored one when it is as asked.

        Of one that exists, words and short vectors are compared only where something was asked.

        Raises:
            SpaceMismatch, CollectionMismatch: it exists with another model, size or schema.
            InvalidName: a name of the collection or of a field is not usable.
        """
        spec = self.spec(
            name, size=size, filter_fields=filter_fields, lexical=lexical, coarse=coarse
        )
        try:
            stored = await self._store.spec(name)
        except CollectionNotFound:
            require_unprefixed(filter_fields)
            return await self._store.ensure(spec)
        if isinstance(lexical, Unset) or (lexical is True and stored.lexical is not None):
            spec = replace(spec, lexical=stored.lexical)
        if coarse is None:
            spec = replace(spec, coarse=stored.coarse)
        return await self._store.ensure(spec)

    def _weighing(self, asked: Lexical | Unset | Literal[True] | None) -> Lexical | None:
        if asked is True:
            return self._words
        return self._lexical if isinstance(asked, Unset) else asked

    async def open(self, name: str) -> CollectionSpec:
        """Return the spec of a collection that the configured model may read and write.

        At the first time a few of its points are looked at (`Audit`).

        Raises:
            CollectionNotFound, SpaceMismatch.
            CollectionMismatch: it holds vectors that the model in use does not make.
        """
        stored = require_space(await self._store.spec(name), self._embedder.space)
        await self._audit.require(stored)
        return stored

    async def open_or_create(self, name: str) -> CollectionSpec:
        """Open a collection whatever its size, or make it with the defaults."""
        try:
            return await self.open(name)
        except CollectionNotFound:
            return await self.create(name)

    async def describe(self, name: str) -> CollectionInfo:
        return await self._store.describe(name)

    async def list(self) -> "list[CollectionInfo]":
        return await self._store.list_collections()

    async def drop(self, name: str) -> None:
        """Delete a collection and all its chunks, whatever model wrote it."""
        await self._store.drop(name)
        self._audit.forget(name)
