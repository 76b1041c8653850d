"""The one owner of our vector rules: float32, finite, unit length, cut by prefix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.domain.vectors import (
    Matrix,
    directionless,
    require_form,
    require_unit,
    shorten,
    shorten_each,
)
from gateway.errors import DegenerateVector

ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 8)),
    elements=st.floats(-(2.0**120), 2.0**120, width=32).filter(lambda x: x == 0 or abs(x) > 1e-38),
)

ORDINARY = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 8)),
    elements=st.floats(0.0009765625, 100, width=32) | st.floats(-100, -0.0009765625, width=32),
)


def rows(*values: list[float]) -> Matrix:
    return np.array(values, np.float32)


@given(ROWS, st.integers(1, 8))
def test_a_cut_is_a_unit_prefix_or_is_refused(vectors: Matrix, size: int) -> None:
    size = min(size, vectors.shape[1])
    head = vectors[:, :size].astype(np.float64)
    if not head.any(axis=1).all():
        with pytest.raises(DegenerateVector):
            shorten(vectors, size)
        return

    cut = shorten(vectors, size)

    assert cut.dtype == np.float32
    assert cut.shape == (len(vectors), size)
    np.testing.assert_allclose(np.linalg.norm(cut.astype(np.float64), axis=1), 1, atol=1e-6)
    expected = head / np.sqrt((head**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(cut, expected, rtol=0, atol=1e-6)
    assert require_unit(cut, size=size) is cut


@given(ORDINARY)
def test_cutting_in_two_steps_equals_cutting_at_once(vectors: Matrix) -> None:
    np.testing.assert_allclose(
        shorten(shorten(vectors, vectors.shape[1]), 2), shorten(vectors, 2), rtol=0, atol=1e-5
    )


def test_cutting_leaves_the_full_vectors_as_they_were() -> None:
    full = rows([3, 4, 12])

    np.testing.assert_allclose(shorten(full, 2), rows([0.6, 0.8]))
    np.testing.assert_array_equal(full, rows([3, 4, 12]))


@pytest.mark.parametrize("scale", [1e-30, 1e30], ids=["tiny", "huge"])
def test_length_is_not_lost_to_float32_range(scale: float) -> None:
    vectors = rows([3, 4]) * np.float32(scale)

    assert require_form(vectors, count=1, size=2) is vectors
    np.testing.assert_allclose(shorten(vectors, 2), rows([0.6, 0.8]), rtol=1e-6)


def test_no_rows_stay_no_rows() -> None:
    assert shorten(np.empty((0, 8), np.float32), 4).shape == (0, 4)


def test_a_row_cannot_be_cut_to_more_than_it_has() -> None:
    with pytest.raises(DegenerateVector, match="rows of size 3 cannot be cut to 4"):
        shorten(rows([1, 2, 3]), 4)


def test_a_prefix_without_direction_is_refused_by_row() -> None:
    with pytest.raises(DegenerateVector, match="row 1 has no direction at size 2") as refused:
        shorten(rows([1, 0, 0], [0, 0, 1]), 2)

    assert refused.value.index == 1


@pytest.mark.parametrize("bad", [[np.nan, 1], [np.inf, 1], [-np.inf, 1], [0, 0]])
def test_rows_without_direction_are_named_and_the_others_shortened(bad: list[float]) -> None:
    vectors = rows([3, 4], bad, [0, 2])

    cut, without = shorten_each(vectors, 2)

    assert without == directionless(vectors) == [1]
    np.testing.assert_allclose(cut[[0, 2]], rows([0.6, 0.8], [0, 1]))
    assert np.isnan(cut[1]).all()
    with pytest.raises(DegenerateVector, match="row 1 has no direction") as refused:
        shorten(vectors, 2)
    assert refused.value.index == 1


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        (rows([1, 2]), r"shape \(2, 2\), got \(1, 2\)"),
        (rows([1], [2]), r"shape \(2, 2\), got \(2, 1\)"),
        (rows([1, 2], [3, 4])[0], r"got \(2,\)"),
        (rows([1, 2], [3, 4]).astype(np.float64), "expected float32 vectors, got float64"),
        (rows([1, 2], [3, 4]).astype(np.float16), "expected float32 vectors, got float16"),
    ],
    ids=["few", "short", "flat", "float64", "float16"],
)
def test_raw_rows_of_another_form_are_refused(vectors: Matrix, told: str) -> None:
    with pytest.raises(DegenerateVector, match=told):
        require_form(vectors, count=2, size=2)


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        (rows([0.6, 0.8], [0.6, 0.9]), "row 1 has norm 1.08167, expected 1"),
        (rows([0.6, 0.8], [np.nan, 1]), "row 1 has norm nan"),
        (rows([0.6, 0.8], [0, 0]), "row 1 has norm 0"),
        (rows([1.0, 0.0, 0.0]), r"size 2, got shape \(1, 3\)"),
        (rows([0.6, 0.8])[0], r"got shape \(2,\)"),
        (rows([0.6, 0.8]).astype(np.float64), "got float64"),
    ],
    ids=["long", "nan", "zero", "size", "flat", "float64"],
)
def test_the_last_gate_lets_unit_float32_rows_through_alone(vectors: Matrix, told: str) -> None:
    with pytest.raises(DegenerateVector, match=told):
        require_unit(vectors, size=2)


def test_a_signalling_nan_is_refused_without_a_warning() -> None:
    signalling = np.full((1, 4), 0x7FA00000, np.uint32).view(np.float32)
    with pytest.raises(DegenerateVector, match="row 0 has norm nan"):
        require_unit(signalling, size=4)
