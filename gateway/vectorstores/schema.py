"""The spec of a collection as JSON, and the promise its declared fields make.

A declared field is indexed by type, and an index does not see values of another type: so they are
refused on the way in, and a filter means the same with an index and without one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final, cast

from gateway.domain.calibration import Calibration
from gateway.domain.collections import CollectionSpec, FieldType, Quantization, Tuning
from gateway.domain.lexical import Lexical
from gateway.domain.times import parse_time
from gateway.errors import CollectionMismatch, InvalidRequest

KIND: Final = "tei-rag-gateway"
"""Mark by which our collections are told from others on the same server."""


def spec_to_json(spec: CollectionSpec) -> dict[str, Any]:
    return {
        "kind": KIND,
        "name": spec.name,
        "profile": spec.profile,
        "space": spec.space,
        "size": spec.size,
        "filter_fields": {key: kind.value for key, kind in spec.filter_fields.items()},
        "schema_version": spec.schema_version,
        "lexical": None if spec.lexical is None else asdict(spec.lexical),
        "coarse": spec.coarse,
        "tuning": {**asdict(spec.tuning), "quantization": spec.tuning.quantization.value},
        "calibrations": {stage: asdict(each) for stage, each in spec.calibrations.items()},
    }


def spec_from_json(data: Mapping[str, Any] | None) -> CollectionSpec | None:
    """Return the spec that `spec_to_json` wrote; None when a gateway did not write `data`.

    Raises:
        CollectionMismatch: a newer gateway made the collection.
    """
    if data is None or data.get("kind") != KIND:
        return None
    fields = {key: FieldType(kind) for key, kind in data["filter_fields"].items()}
    return CollectionSpec(
        name=data["name"],
        profile=data["profile"],
        space=data["space"],
        size=data["size"],
        filter_fields=MappingProxyType(fields),
        schema_version=data["schema_version"],
        lexical=_lexical(data["name"], data.get("lexical")),
        coarse=data.get("coarse"),
        tuning=_tuning(_mapping(data.get("tuning"))),
        calibrations=MappingProxyType(
            {
                stage: Calibration.from_json(each)
                for stage, each in _mapping(data.get("calibrations")).items()
            }
        ),
    )


def _lexical(name: str, data: Mapping[str, Any] | None) -> Lexical | None:
    try:
        return None if data is None else Lexical.from_json(data)
    except CollectionMismatch as exc:
        raise CollectionMismatch(f"collection {name!r} cannot be read: {exc}") from None


def _tuning(data: Mapping[str, Any]) -> Tuning:
    kept = dict(data)
    kind = Quantization(kept.pop("quantization", Quantization.INT8.value))
    return Tuning(kind, **kept)


def _mapping(data: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}


def require_declared(spec: CollectionSpec, metadata: Mapping[str, Any]) -> None:
    """Check the declared fields of one chunk; absent, null and empty values are fine.

    Raises:
        InvalidRequest: a value of another type than declared.
    """
    for key, kind in spec.filter_fields.items():
        for value in _values(metadata, key.split(".")):
            if value is not None and not _FITS[kind](value):
                raise InvalidRequest(
                    f"metadata field {key!r} is declared {kind.value} in collection "
                    f"{spec.name!r} but holds {value!r}; convert it, or declare it otherwise",
                    field=f"metadata.{key}",
                )


def _values(metadata: Mapping[str, Any], path: Sequence[str]) -> Sequence[Any]:
    node: Any = metadata
    for key in path:
        if not isinstance(node, Mapping) or key not in node:
            return ()
        node = cast("Mapping[str, Any]", node)[key]
    return cast("Sequence[Any]", node) if isinstance(node, list) else (node,)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: object) -> bool:
    return isinstance(value, str) and parse_time(value) is not None


_FITS: Final[Mapping[FieldType, Callable[[object], bool]]] = {
    FieldType.KEYWORD: lambda value: isinstance(value, str),
    FieldType.INTEGER: _is_integer,
    FieldType.FLOAT: _is_number,
    FieldType.BOOL: lambda value: isinstance(value, bool),
    FieldType.DATETIME: _is_time,
}
