"""Half-life: known answers, both fits recover a planted one, and what lies outside the delays tried is a bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldsim.errors import ShapeError
from worldsim.metrics.functional.half_life import half_life

DELAYS = np.array([0, 8, 32, 128, 512])


@pytest.mark.parametrize(("true", "chance"), [(20.0, 0.0), (60.0, 0.5), (200.0, 0.25)])
def test_a_planted_half_life_is_found(true: float, chance: float) -> None:
    d = np.tile(DELAYS, 400)
    p = chance + (1 - chance) / (1 + np.exp(1.5 * (np.log1p(d) - np.log1p(true))))
    exact = half_life(d, p, chance, method="logistic")  # expected success, without noise
    assert exact.value == pytest.approx(true, rel=0.01) and exact.fit == pytest.approx(exact.means, abs=1e-3)
    seen = np.random.default_rng(int(true)).random(len(d)) < p
    for method in ("isotonic", "logistic"):
        found = half_life(d, seen, chance, method=method)  # type: ignore[arg-type]
        assert found.censored == "" and found.method == method
        assert found.value == pytest.approx(true, rel=0.35)  # 400 events a delay, delays four times apart


def test_known_answers_of_the_isotonic_fit() -> None:
    found = half_life([0, 8, 32], [1.0, 0.75, 0.25], 0.0)
    middle = np.expm1((np.log1p(8) + np.log1p(32)) / 2)  # half-way between the two, over log(1 + delay)
    assert (found.value, found.censored) == (pytest.approx(middle), "")
    assert half_life([0, 8, 32], [1.0, 0.5, 0.0], 0.0).value == pytest.approx(8)
    # a dip that recovers is noise: 0.2 and 0.8 are pooled to 0.5, which is where success is half
    dip = half_life([0, 8, 32, 128], [1.0, 0.2, 0.8, 0.0], 0.0)
    assert dip.fit == pytest.approx([1.0, 0.5, 0.5, 0.0]) and dip.value == pytest.approx(8)


@pytest.mark.parametrize("method", ["isotonic", "logistic"])
def test_what_was_not_seen_is_a_bound(method: str) -> None:
    d = np.tile(DELAYS, 20)
    never = half_life(d, np.ones(len(d)), 0.25, method=method)  # type: ignore[arg-type]
    assert (never.value, never.censored, str(never)) == (512.0, "longer", "longer than 512")
    at_once = half_life(d + 4, np.zeros(len(d)), 0.25, method=method)  # type: ignore[arg-type]
    assert (at_once.value, at_once.censored, str(at_once)) == (4.0, "shorter", "shorter than 4")
    blind = half_life(d, np.tile([1, 0, 0, 0], len(d) // 4), 0.25, method=method)  # type: ignore[arg-type]
    assert blind.censored == "shorter"  # chance at every delay


def test_one_delay_is_a_bound_on_one_side() -> None:
    assert half_life([8, 8], [1, 1], 0.5).censored == "longer"
    assert half_life([8, 8], [0, 1], 0.5).censored == "shorter"


def test_memory_that_ends_between_two_delays_lies_between_them() -> None:
    d = np.tile(DELAYS, 30)
    for method in ("isotonic", "logistic"):
        found = half_life(d, d <= 32, 0.25, method=method)  # type: ignore[arg-type]
        assert 32 < found.value < 128 and found.censored == ""


def test_each_world_counts_once() -> None:
    """World 0 has a hundred events and fails them; nine worlds with one event each succeed."""
    d = np.r_[np.full(100, 8.0), np.full(9, 8.0)]
    s = np.r_[np.zeros(100), np.ones(9)]
    owners = np.r_[np.zeros(100, int), np.arange(1, 10)]
    assert half_life(d, s, 0.25, owners).means == pytest.approx([0.9])
    assert half_life(d, s, 0.25).means == pytest.approx([9 / 109])


@given(st.lists(st.tuples(st.sampled_from([0, 4, 16, 64]), st.booleans()), min_size=1, max_size=60), st.randoms())
def test_the_order_of_events_does_not_matter(events: list[tuple[int, bool]], rng: object) -> None:
    shuffled = list(events)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = (half_life(*map(np.array, zip(*e, strict=True)), 0.25) for e in (events, shuffled))  # type: ignore[arg-type]
    assert one.value == pytest.approx(two.value) and one.censored == two.censored
    assert (np.diff(one.fit) <= 1e-12).all()
    if not one.censored:
        assert one.delays[0] <= one.value <= one.delays[-1]


def test_scores_below_zero_and_bad_input() -> None:
    assert half_life([0, 8, 32], [0.9, 0.6, -0.1], 0.0).censored == ""
    nothing = half_life([], [], 0.5)
    assert np.isnan(nothing.value) and str(nothing) == "undefined"
    with pytest.raises(ShapeError, match=r"0\.\.1"):
        half_life([0, 8], [1.0, -0.5], 0.0, method="logistic")
    with pytest.raises(ShapeError, match="chance"):
        half_life([0], [1], 1.0)
    with pytest.raises(ShapeError, match="finite"):
        half_life([0, 8], [1, np.nan], 0.0)
    with pytest.raises(ShapeError, match="one delay"):
        half_life([0, 8], [1], 0.0)
    with pytest.raises(ShapeError, match="isotonic"):
        half_life([0], [1], 0.0, method="cox")  # type: ignore[arg-type]
