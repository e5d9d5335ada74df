"""Metrics of events on hand-made episodes whose right answer is known: what counts, and what is undefined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics import event_worlds as worlds
from tests.metrics.event_worlds import CONTEXT, FACTS, RETURN, SIDE, STEPS, Show, always, branch, coming_back_to, seen
from worldsim.faults.table import FAULTS
from worldsim.metrics.events import confusion, constant_answer, questions
from worldsim.metrics.functional.alignment import REACH
from worldsim.metrics.functional.hypothesis import Evidence, measure, region
from worldsim.metrics.interaction import Effect, Persistence
from worldsim.metrics.permanence import Evolution, Gap, Identity
from worldsim.metrics.text import Attribute, Flip
from worldsim.protocols import EpisodeGroup, Guessing, Metric
from worldsim.scoring import observe_all, scores, summarise
from worldsim.seeding import generator
from worldsim.truth import ObjectState, TruthState
from worldsim.types import Episode, Frames, Observation, Score

ALL: list[type[Any]] = [Identity, Gap, Evolution, Effect, Persistence, Attribute, Flip]
DEEDS = ("edited", "not_edited", "neighbour", "wrong_kind")
TOLD = ("red", "blue", "green", "yellow")


def rows_of(metric: Any, groups: Sequence[EpisodeGroup], source: str = "model") -> list[Observation]:
    return [row for group in groups for row in metric.observe(group, source)]


def score(metric: Any, groups: Sequence[EpisodeGroup]) -> Score:
    found = metric.reduce(rows_of(metric, groups))
    assert isinstance(found, Score)
    return found


def identities(show: Show = worlds.true, count: int = 8, **kwargs: Any) -> list[EpisodeGroup]:
    """Each fact is the truth in equally many worlds."""
    return [(worlds.episode(w, FACTS[w % 4], show=show, **kwargs),) for w in range(count)]


def pairs(event: str, main: Show, sham: Show, count: int = 4) -> list[EpisodeGroup]:
    """Twins: in `main` the deed was done, in the sham it was not."""
    kwargs: dict[str, Any] = {"event": event, "scenes": worlds.deeds, "hidden": event == "persistence"}
    return [
        tuple(
            worlds.episode(w, label, show=show, variant=variant, pair=f"{event}-{w:04d}", **kwargs)
            for variant, label, show in (("main", "edited", main), ("sham", "not_edited", sham))
        )
        for w in range(count)
    ]


def told(main: Show = worlds.true, twin: Show = worlds.true, count: int = 4) -> list[EpisodeGroup]:
    """Minimal pairs: the same world under two prompts."""
    return [
        tuple(
            worlds.episode(
                w, label, event="colour", scenes=worlds.colours, show=show, variant=variant, pair=f"colour-{w:04d}"
            )
            for variant, label, show in (("main", TOLD[w % 4], main), ("twin", TOLD[(w + 1) % 4], twin))
        )
        for w in range(count)
    ]


def only(metric: Any, e: Episode) -> Observation:
    (row,) = metric.observe((e,))
    assert isinstance(row, Observation)
    return row


@pytest.mark.parametrize("cls", ALL, ids=[m.spec.name for m in ALL])
def test_specs_are_in_full(cls: type[Any]) -> None:
    spec = cls.spec
    assert isinstance(cls(), Metric) and spec.sensitive | spec.invariant <= set(FAULTS)
    assert {r.removeprefix("event:") for r in spec.requires if r.startswith("event:")} == set(cls.events)
    assert isinstance(cls(), Guessing) == (cls in (Identity, Gap, Evolution, Attribute))


# ------------------------------------------------------------------------------------------------------ identity


def test_the_oracle_knows_every_fact() -> None:
    found = score(Identity(), identities())
    assert found.value == 1.0
    assert found.details["answers"] == {name: {name: 2} for name in FACTS}
    assert found.details["place_kept"] == 1.0 and found.details["right_where_kept"] == 1.0


@pytest.mark.parametrize("constant", FACTS)
def test_a_constant_answer_gets_chance(constant: str) -> None:
    groups = identities(always(constant))
    assert score(Identity(), groups).value == 0.25 == constant_answer(rows_of(Identity(), groups))


def test_a_constant_answer_gets_no_more_where_its_truth_is_frequent() -> None:
    """Nine worlds in which it is still there, one of each other fact."""
    facts = ("present",) * 9 + FACTS[1:]
    groups = [(worlds.episode(w, name, show=always("present")),) for w, name in enumerate(facts)]
    assert score(Identity(), groups).value == 0.25


def test_a_constant_answer_has_exactly_no_skill() -> None:
    """Also though no null of the battery does as well; the oracle has 1."""
    kept: dict[str, dict[str, Any]] = {}
    for name, show in (("oracle", worlds.true), ("constant", always("absent")), ("frozen", worlds.frozen)):
        groups = identities(show, 12)
        flat = [e for (e,) in groups]
        rows = observe_all([Identity()], groups, others=lambda e: flat[(flat.index(e) + 1) % 12].truth.frames)  # noqa: B023
        summary, _ = summarise(Identity(), list(rows), resamples=50)
        kept[name] = next(r for r in summary if r["scenario"] == "*")
    assert kept["oracle"]["skill"] == 1.0 and kept["constant"]["skill"] == 0.0
    assert kept["frozen"]["skill"] == pytest.approx(-1 / 3)  # it never left, not even where nothing changed
    assert kept["oracle"]["details"]["answers"] == {name: {name: 3} for name in FACTS}
    assert kept["constant"]["details"]["right_where_kept"] == 0.25
    for row in kept.values():
        assert (row["floor_name"], row["floor"], row["ceiling"]) == ("chance", 0.25, 1.0)
        assert all(null["skill"] <= 0 for null in row["nulls"].values())
        assert set(row["nulls"]) == {
            *("frozen", "copy-context", "context-mean", "noise", "other-episode", "chance")
        } and row["nulls"]["chance"] == {"value": 0.25, "skill": 0.0}


def test_few_worlds_have_neither_a_value_nor_details() -> None:
    rows = [replace(r, source=s) for r in rows_of(Identity(), identities()) for s in ("model", "ceiling")]
    row = next(r for r in summarise(Identity(), rows, resamples=20)[0] if r["scenario"] == "*")
    assert row["value"] is None and row["details"] == {} and "too few worlds" in str(row["reason"])
    assert row["floor"] == 0.25  # chance needs no null, and no more worlds


def test_who_never_left_cannot_have_remembered() -> None:
    """The frozen picture shows the right thing at the return, pixel for pixel, and gets nothing for it."""
    e = worlds.episode(0, "present", show=worlds.frozen)
    np.testing.assert_array_equal(e.generated[0].trajectory.frames[RETURN], e.truth.frames[RETURN])
    row = only(Identity(), e)
    assert (row.outcome, row.details["answer"], row.details["went_away"]) == (0.0, "present", False)
    assert confusion([row]) == {"present": {"never left": 1}}
    watched = replace(e, marks=tuple(m for m in e.marks if m.name != "hidden"))
    assert only(Identity(), watched).outcome == 1.0  # nothing was left, so nothing is asked of it


def test_to_have_left_is_decided_by_the_frame_at_hidden() -> None:
    """A tinted and blurred view of the right elsewhere counts; the view that is come back to does not."""

    def elsewhere(picture: Frames) -> Show:
        def shown(frames: Frames, alternatives: Any, away: Frames) -> Frames:
            out = frames.copy()
            out[worlds.HIDDEN] = picture
            return out

        return shown

    away = seen(worlds.wall(10_000))
    home = seen(worlds.facts(0)["present"])
    softer = cv2.GaussianBlur(away, (0, 0), 1.0)
    assert only(Identity(), worlds.episode(0, "present", show=elsewhere(softer // 2 + 40))).outcome == 1.0
    assert only(Identity(), worlds.episode(0, "present", show=elsewhere(home))).outcome == 0.0
    assert only(Identity(), worlds.episode(0, "present", show=elsewhere(np.roll(home, 2, axis=1)))).outcome == 0.0


def blob(frame: Frames) -> Frames:
    """Where the thing was is another thing, of no known kind."""
    out = frame.copy()
    yy, xx = np.mgrid[:SIDE, :SIDE]
    out[(yy - 31) ** 2 + (xx - 21) ** 2 < 49] = (40, 230, 230)
    return out


def ghost(frame: Frames) -> Frames:
    """Half of the thing: half-way between there and gone."""
    there, gone = (seen(worlds.facts(0)[name]).astype(np.int16) for name in ("present", "absent"))
    return np.asarray((there + gone) // 2, np.uint8)


@pytest.mark.parametrize(
    ("picture", "answer"),
    [
        (lambda f: generator("noise").integers(0, 256, f.shape, dtype=np.uint8), "lost the place"),
        (lambda f: seen(worlds.wall(777)), "lost the place"),
        (lambda f: np.full_like(f, 128), "lost the place"),
        (lambda f: f[::-1].copy(), "lost the place"),
        (blob, "something else"),
        (ghost, "something else"),
    ],
    ids=["noise", "another place", "grey", "upside down", "blob", "ghost"],
)
def test_what_shows_no_alternative_is_wrong_and_not_undefined(picture: Any, answer: str) -> None:
    row = only(Identity(), worlds.episode(0, "present", show=coming_back_to(picture)))
    assert (row.outcome, row.reason, row.details["answer"]) == (0.0, None, answer)


@pytest.mark.parametrize(
    "picture",
    [
        lambda f: cv2.GaussianBlur(f, (0, 0), 0.7),
        lambda f: np.clip(f.astype(np.float64) * (1.1, 1.0, 0.9), 0, 255).astype(np.uint8),
        lambda f: np.clip(f + generator("mild").normal(0, 4, f.shape), 0, 255).astype(np.uint8),
        lambda f: cv2.imdecode(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_COLOR),
    ],
    ids=["blur", "tint", "noise", "jpeg"],
)
def test_a_worse_picture_of_the_right_fact_is_right(picture: Any) -> None:
    assert score(Identity(), identities(coming_back_to(picture), 4)).value == 1.0


def test_two_of_three_judged_frames_decide() -> None:
    def first(wrong: int) -> Show:
        def shown(frames: Frames, alternatives: Any, away: Frames) -> Frames:
            out = frames.copy()
            out[RETURN : RETURN + wrong] = alternatives["absent"]
            return out

        return shown

    found = [only(Identity(), worlds.episode(0, "present", show=first(n))).outcome for n in range(4)]
    assert found == [1.0, 1.0, 0.0, 0.0]


def test_scores_and_curve_follow_the_steps_out_of_view() -> None:
    """Worlds that were left for longer come later on the curve."""
    short = identities(count=4)
    long = []
    for (e,) in identities(always("absent"), 4):
        marks = tuple(replace(m, frame=0) if m.name == "departure" else m for m in e.marks)
        long.append((replace(e, id=f"{e.id}-long", world_seed=e.world_seed + 100, marks=marks),))
    found = score(Identity(), [*short, *long])
    assert found.value == pytest.approx((1 + 0.5 * 3) / 4)
    assert found.curve == {8: 1.0, 16: 0.25}  # 5 and 9 steps out of view


# ----------------------------------------------------------------------------------------------------------- gap


def watched(show: Show) -> list[EpisodeGroup]:
    return [(worlds.episode(50 + w, FACTS[w % 4], event="watched", hidden=False, show=show),) for w in range(8)]


def test_the_gap_is_what_not_looking_costs() -> None:
    forgetful = always("absent")
    assert score(Gap(), [*identities(), *watched(worlds.true)]).value == 0.0
    assert score(Gap(), [*identities(forgetful), *watched(worlds.true)]).value == 0.75
    assert Gap().chance(rows_of(Gap(), [*identities(), *watched(worlds.true)])) == 0.75
    for control in (watched(forgetful), []):  # who cannot even draw what is in view is told nothing about memory
        found = score(Gap(), [*identities(forgetful), *control])
        assert found.value is None and found.reason


# ----------------------------------------------------------------------------------------------------- evolution


def evolution(world: int, label: str, shown: str) -> Episode:
    scenes = worlds.deeds(world)
    named = dict(zip(("advanced", "stopped", "frozen", "frozen:hidden"), (seen(scenes[n]) for n in DEEDS), strict=True))
    e = worlds.episode(world, "edited", event="evolution", scenes=worlds.deeds)
    frames = np.asarray(e.truth.frames).copy()
    frames[RETURN:] = named[label]
    video = frames.copy()
    video[RETURN:] = named[shown]
    truth = replace(e.truth, frames=frames)
    branches = tuple(branch(name, "evolution", picture) for name, picture in named.items())
    return worlds.with_frames(replace(e, truth=truth, branches=branches), video)


def test_alternatives_that_share_the_word_before_a_colon_are_one_answer() -> None:
    for shown in ("frozen", "frozen:hidden"):
        row = only(Evolution(), evolution(0, "stopped", shown))
        assert (row.outcome, row.details["answer"]) == (0.0, "frozen")
    for truth in ("frozen", "frozen:hidden"):  # either of them may be what happened
        for shown in ("frozen", "frozen:hidden"):
            row = only(Evolution(), evolution(1, truth, shown))
            assert (row.outcome, row.details["true"]) == (1.0, "frozen")
    (question,) = questions(evolution(0, "stopped", "stopped"), ("evolution",))
    assert question.labels == ("advanced", "stopped", "frozen") and question.names == (0, 1, 2, 2)
    groups = [(evolution(w, name, "stopped"),) for w, name in enumerate(("advanced", "stopped"))]
    assert score(Evolution(), groups).value == 0.5 == Evolution().chance(rows_of(Evolution(), groups))


def test_one_label_may_be_drawn_twice_alike() -> None:
    """The two pictures of "frozen" are the same here: no two answers are confused by that."""
    e = evolution(0, "advanced", "advanced")
    same = replace(e.branches[3], frames=e.branches[2].frames)
    assert only(Evolution(), replace(e, branches=(*e.branches[:3], same))).outcome == 1.0


# --------------------------------------------------------------------------------------------------- interaction


@pytest.mark.parametrize(("cls", "event"), [(Effect, "effect"), (Persistence, "persistence")])
def test_youdens_j(cls: type[Any], event: str) -> None:
    def j(main: Show, sham: Show) -> float | None:
        return score(cls(), pairs(event, main, sham)).value

    assert j(worlds.true, worlds.true) == 1.0
    assert j(always("edited"), always("edited")) == 0.0
    assert j(always("not_edited"), always("not_edited")) == 0.0
    assert j(always("neighbour"), worlds.true) == 0.0  # beside it is not there
    assert j(always("wrong_kind"), worlds.true) == 0.0
    assert j(always("not_edited"), always("edited")) == -1.0
    half = [*pairs(event, worlds.true, worlds.true, 2), *pairs(event, always("not_edited"), worlds.true, 4)[2:]]
    assert score(cls(), half).value == 0.5
    assert isinstance(cls().reduce(rows_of(cls(), half)).details["answers"], dict)


def test_a_frozen_mark_was_not_remembered_but_an_effect_is_no_memory() -> None:
    groups = pairs("persistence", worlds.frozen, worlds.frozen)
    assert score(Persistence(), groups).value == 0.0
    assert all(r.outcome == 0.0 for r in rows_of(Persistence(), groups))
    assert score(Effect(), pairs("effect", worlds.frozen, worlds.frozen)).value == 1.0  # the wall shows it all along


@pytest.mark.parametrize("cls", [Effect, Persistence])
def test_without_the_twin_there_is_no_number(cls: type[Any]) -> None:
    (event,) = cls.events
    whole = pairs(event, worlds.true, worlds.true)
    for groups in ([g[:1] for g in whole], [g[1:] for g in whole]):
        rows = rows_of(cls(), groups)
        assert {(r.outcome, r.reason) for r in rows} == {(None, "its twin was not recorded")}
        found = cls().reduce(rows)
        assert (found.value, found.reason) == (None, "its twin was not recorded")


def test_one_side_that_is_never_decided_leaves_no_number() -> None:
    """All shams ended early: P(seen | sham) is not known, and is not 0."""
    groups = []
    for main, sham in pairs("persistence", worlds.true, worlds.true):
        groups.append((main, ended(sham)))
    found = score(Persistence(), groups)
    assert (found.value, found.reason) == (None, "the simulator ended the episode")


# ---------------------------------------------------------------------------------------------------------- text


def test_attributes_and_flips() -> None:
    assert score(Attribute(), told()).value == 1.0 and score(Flip(), told()).value == 1.0
    deaf = told(always("red"), always("red"))
    assert score(Attribute(), deaf).value == 0.25 == Attribute().chance(rows_of(Attribute(), deaf))
    assert score(Flip(), deaf).value == 0.0
    # Each pair has one right twin: half of all answers, but no pair follows its prompt.
    stubborn = [
        (main, worlds.with_frames(twin, np.asarray(main.truth.frames))) for main, twin in told(worlds.true, worlds.true)
    ]
    assert score(Attribute(), stubborn).value == 0.5 and score(Flip(), stubborn).value == 0.0
    one = [*told()[:1], *deaf[1:]]
    assert score(Flip(), one).value == 0.25


def test_a_pair_without_its_twin_says_nothing_about_flips() -> None:
    alone = [g[:1] for g in told()]
    assert score(Attribute(), alone).value == 1.0
    found = score(Flip(), alone)
    assert found.value is None and found.reason
    assert score(Flip(), [*told()[:2], *alone[2:]]).value == 1.0


# ----------------------------------------------------------------------------------------------------- undefined


def ended(e: Episode, last: int = STEPS[-1] - 1) -> Episode:
    """The model's episode is over before the last judged frame."""
    trajectory = replace(e.generated[0].trajectory, ended=last - 1, end_reason="terminated")
    return replace(e, generated=(replace(e.generated[0], trajectory=trajectory),))


def drawn(e: Episode, **pictures: Frames) -> Episode:
    """Other pictures of some alternatives."""
    event = e.branches[0].event
    made = tuple(branch(b.name, event, pictures[b.name]) if b.name in pictures else b for b in e.branches)
    return replace(e, branches=made)


def without_texture(e: Episode) -> Episode:
    """The truth and its alternatives on a wall of one colour."""
    flat = np.full((SIDE, SIDE, 3), 120, np.uint8)
    pictures = {name: flat.copy() for name in FACTS}
    for name, x, colour in (("present", 16, 200), ("moved", 38, 200), ("altered", 16, 60)):
        pictures[name][26:36, x : x + 10] = colour
    frames = np.asarray(e.truth.frames).copy()
    frames[:CONTEXT] = frames[RETURN:] = pictures[e.label]
    return worlds.with_frames(replace(drawn(e, **pictures), truth=replace(e.truth, frames=frames)), frames)


def everywhere(e: Episode) -> Episode:
    """An alternative that changes the whole picture."""
    return drawn(e, moved=seen(worlds.wall(4321)))


UNDEFINED: dict[str, tuple[Any, str]] = {
    "ended early": (ended, "the simulator ended the episode"),
    "none of them": (
        lambda e: drawn(e, present=seen(worlds.wall(5))),
        "what happened is not among the alternatives",
    ),
    "two equal": (
        lambda e: drawn(e, altered=seen(worlds.facts(e.world_seed)["absent"])),
        "two alternatives differ in fewer than 12 px",
    ),
    "constant": (without_texture, "nothing to hold on to where the alternatives agree"),
    "everywhere": (everywhere, "the alternatives agree in less than 10% of the frame"),
    "equal at the end": (
        lambda e: drawn(
            e,
            altered=np.stack([seen(worlds.facts(e.world_seed)[n]) for n in ("altered", "altered", "absent")]),
        ),
        "two alternatives differ in fewer than 12 px",
    ),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_what_cannot_be_decided_has_a_reason_and_no_number(case: str) -> None:
    change, reason = UNDEFINED[case]
    rows = rows_of(Identity(), [(change(worlds.episode(w, "present")),) for w in range(3)])
    assert len(rows) == 3 and {(r.outcome, r.reason) for r in rows} == {(None, reason)}
    assert reason in Identity.spec.undefined
    found = Identity().reduce(rows)
    assert (found.value, found.reason) == (None, reason)
    assert Identity().chance(rows) is None  # and no floor either
    assert [s["value"] for s in scores(Identity(), rows)] == [None] * 3


@pytest.mark.parametrize("case", [c for c in UNDEFINED if c != "ended early"])
@pytest.mark.parametrize("show", [worlds.frozen, always("absent")])
def test_the_model_cannot_make_a_question_undefined(case: str, show: Show) -> None:
    """The truth alone decides what is excluded: the same questions whatever is shown."""
    change, reason = UNDEFINED[case]
    assert only(Identity(), change(worlds.episode(0, "present", show=show))).reason == reason


def test_a_truth_that_can_hardly_be_told_in_some_judged_frames_is_not_a_failure_of_the_oracle() -> None:
    """From the second judged frame on, two alternatives differ in 4 px: an oracle must not be called wrong for that."""
    pictures = {name: seen(scene) for name, scene in worlds.facts(0).items()}
    nearly = pictures["absent"].copy()
    nearly[30:32, 20:22] = 250
    e = drawn(worlds.episode(0, "present"), altered=np.stack([pictures["altered"], nearly, nearly]))
    assert only(Identity(), e).outcome in (None, 1.0)


def test_without_alternatives_there_are_no_rows() -> None:
    e = replace(worlds.episode(0, "present"), branches=())
    for cls in ALL:
        assert cls().observe((e,)) == []
        found = cls().reduce([])
        assert found.value is None and found.reason == "nothing to compare with"
    assert Effect().observe((worlds.episode(0, "present"),)) == []  # nor of another event


def test_half_of_the_rows_undefined_leaves_the_others_as_they_are() -> None:
    good, bad = identities(), [(ended(worlds.episode(100 + w, "present", show=always("absent"))),) for w in range(8)]
    assert score(Identity(), [*good, *bad]).value == 1.0


# ------------------------------------------------------------------------------------------------------- lattice


def from_pose(e: Episode, pose: int) -> Episode:
    """The alternatives from three places, 7 px apart, and a model that came back to one of these."""
    scenes = worlds.facts(e.world_seed)
    offsets = (0, -7, 7)
    views = {name: np.stack([seen(scene, dx) for dx in offsets]) for name, scene in scenes.items()}
    made = tuple(
        branch(b.name, b.event, views[b.name][0], lattice=np.repeat(views[b.name][:, None], len(STEPS), 1))
        for b in e.branches
    )
    video = np.asarray(e.truth.frames).copy()
    video[RETURN:] = views[e.label][pose]
    return worlds.with_frames(replace(e, branches=made), video)


@pytest.mark.parametrize("pose", range(3))
def test_candidate_poses_find_the_place_again(pose: int) -> None:
    """More than the shifts allow (3 px), less than the poses."""
    for w, label in enumerate(FACTS):
        e = from_pose(worlds.episode(w, label), pose)
        assert only(Identity(), e).outcome == 1.0
        plain = replace(e, branches=tuple(replace(b, lattice=None) for b in e.branches))
        assert only(Identity(), plain).details["answer"] == (label if pose == 0 else "lost the place")


# -------------------------------------------------------------------------------------------------------- ignore

ELSEWHERE = (slice(4, 22), slice(40, 60))  # of the frame, where all alternatives agree


def thing(number: int) -> ObjectState:
    return ObjectState(id=number, kind="thing", position=np.zeros(3), size=np.ones(3))


def crowded(world: int, label: str, *, shown_thing: bool, states: bool = True) -> Episode:
    """A second thing stands far from what is asked about; the model shows it or not."""
    e = worlds.episode(world, label)
    pictures = {name: seen(scene) for name, scene in worlds.facts(world).items()}
    both = {name: picture.copy() for name, picture in pictures.items()}
    for picture in both.values():
        picture[ELSEWHERE] = (250, 250, 20)
    frames = np.asarray(e.truth.frames).copy()
    frames[:CONTEXT] = frames[RETURN:] = both[label]
    video = frames.copy()
    video[RETURN:] = (both if shown_thing else pictures)[label]
    ids = np.zeros((SIDE, SIDE), np.int32)
    ids[ELSEWHERE] = 2
    if label in ("present", "altered"):
        ids[26:36, 16:26] = 1  # what the question is about is an instance, too
    state = TruthState(time=0.0, segmentation=ids, objects=(thing(1), thing(2)))
    truth = replace(e.truth, frames=frames, states=[state] * len(frames) if states else None)
    return worlds.with_frames(replace(drawn(e, **both), truth=truth, focus={"object_id": 1}), video)


@pytest.mark.parametrize("label", FACTS)
def test_a_thing_elsewhere_that_vanishes_changes_nothing(label: str) -> None:
    rows = [only(Identity(), crowded(0, label, shown_thing=shown)) for shown in (True, False)]
    assert rows[0] == rows[1] and rows[0].outcome == 1.0
    blind = only(Identity(), crowded(0, label, shown_thing=False, states=False))
    assert blind.outcome == 0.0  # it is the truth's ids that say what to overlook: else the place would be lost
    assert only(Identity(), crowded(0, label, shown_thing=True, states=False)).outcome == 1.0


def test_what_is_asked_about_is_not_overlooked() -> None:
    (question,) = questions(crowded(0, "present", shown_thing=True), ("identity",))
    assert question.others.shape == (len(STEPS), SIDE, SIDE)
    y, x = ELSEWHERE
    assert question.others[:, y, x].all() and not question.others[:, 26:36, 16:26].any()
    e = crowded(0, "present", shown_thing=True)
    video = np.asarray(e.generated[0].trajectory.frames).copy()
    video[RETURN:] = np.asarray(e.branches[1].frames)
    row = only(Identity(), worlds.with_frames(e, video))
    assert (row.outcome, row.details["answer"]) == (0.0, "absent")


def renders(seed: int = 0) -> Frames:
    return np.stack([seen(scene) for scene in worlds.facts(seed).values()])


def same(a: Evidence, b: Evidence) -> bool:
    return all(np.array_equal(v, vars(b)[k], equal_nan=isinstance(v, float)) for k, v in vars(a).items())


def test_ignoring_nothing_is_ignoring_none() -> None:
    drawn_, nowhere = renders(), np.zeros((SIDE, SIDE), np.bool_)
    frame = cv2.GaussianBlur(drawn_[2], (0, 0), 0.6)
    assert same(measure(frame, drawn_), measure(frame, drawn_, ignore=nowhere))


@settings(max_examples=15, deadline=None)
@given(
    which=st.integers(0, 3),
    y=st.integers(4, 8),
    x=st.integers(2, 44),
    side=st.integers(2, 10),
    seed=st.integers(0, 5),
)
def test_ignored_pixels_say_nothing(which: int, y: int, x: int, side: int, seed: int) -> None:
    """Whatever is drawn there, the evidence is the same number for number (the low-pass reaches 3 px)."""
    drawn_ = renders(seed)
    frame = drawn_[which].copy()
    frame[y : y + side, x : x + side] = generator("scrawl", seed, y, x).integers(0, 256, (side, side, 3))
    ignore = np.zeros((SIDE, SIDE), np.bool_)
    ignore[max(y - REACH, 0) : y + side + REACH, max(x - REACH, 0) : x + side + REACH] = True
    clean, scrawled = (measure(f, drawn_, ignore=ignore) for f in (drawn_[which], frame))
    assert same(clean, scrawled) and clean.nearest == which


def test_a_question_of_which_everything_is_ignored_is_undefined() -> None:
    drawn_ = renders()
    core = region(drawn_).core
    found = measure(drawn_[0], drawn_, ignore=core)
    assert found.reason == "two alternatives differ in fewer than 12 px" and found.nearest == -1
    assert not region(drawn_, ignore=core).core.any() and not (region(drawn_, ignore=core).context & core).any()
    assert measure(drawn_[0], drawn_, ignore=~core).reason == "the alternatives agree in less than 10% of the frame"


# --------------------------------------------------------------------------------------------------------- order


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_episodes_and_rows_does_not_matter(seed: int) -> None:
    mixed = [
        (worlds.episode(w, FACTS[w % 4], show=show),)
        for w, show in enumerate([worlds.true, always("absent"), worlds.frozen, always("moved")] * 3)
    ]
    order = np.random.default_rng(seed).permutation(len(mixed))
    there, back = rows_of(Identity(), mixed), rows_of(Identity(), [mixed[i] for i in order])
    assert sorted(there, key=lambda r: r.episode) == sorted(back, key=lambda r: r.episode)
    assert Identity().reduce(there) == Identity().reduce(back)
    deeds = [
        *pairs("persistence", worlds.true, always("edited"), 2),
        *pairs("persistence", always("neighbour"), worlds.true),
    ]
    rows = rows_of(Persistence(), deeds)
    assert Persistence().reduce(rows) == Persistence().reduce(rows[::-1])
    swapped = [g[::-1] for g in deeds]  # the twin first
    assert Persistence().reduce(rows_of(Persistence(), swapped)) == Persistence().reduce(rows)
    texts = [*told(), *told(always("red"), worlds.true)]
    assert Flip().reduce(rows_of(Flip(), [g[::-1] for g in texts])) == Flip().reduce(rows_of(Flip(), texts))


def test_answers_that_are_remembered_are_not_mixed_up() -> None:
    """The cache of answers: other frames and other alternatives are other answers, in whatever order they come."""
    metric = Identity()
    episodes = [worlds.episode(w, f, show=always(g)) for w in (0, 1) for f in FACTS for g in FACTS]
    first = [only(metric, e).details["answer"] for e in episodes]
    assert first == [g for _ in (0, 1) for _ in FACTS for g in FACTS]
    assert [only(metric, e).details["answer"] for e in reversed(episodes)] == first[::-1]
