"""An empty prompt in a scenario is replaced by what the truth's first frame shows, and reads back as facts."""

from __future__ import annotations

from collections.abc import Callable

from worldsim.captions import parse
from worldsim.evaluate import Prepared, evaluate


def test_the_caption_of_the_first_frame_is_the_prompt(ready: Callable[..., Prepared]) -> None:
    scenario = {
        "env": "blocks",
        "env_kwargs": {"size": [32, 32], "preset": "village"},
        "controller": "explore",
        "horizon": 4,
        "prompts": [[0, ""], [2, "the lamp goes out"]],
    }
    prepared = ready("worldsim/Frozen", scenario=scenario, episodes=2)
    store = evaluate(prepared.config, prepared=prepared)
    for row in store.done():
        (first, written), (second, given) = row["prompts"]
        assert (first, second, given) == (0, 2, "the lamp goes out")
        facts = parse(written)
        assert facts.place == "village" and facts.time == "day"
