"""An ordinary Gymnasium agent loop that runs inside a world model, alone and as a batch.

Nothing here is special to worldsim but the import and the name of the environment: the wrappers are Gymnasium's own.

python examples/agent_loop.py --model worldsim/Oracle --env blocks
"""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import wrappers

import worldsim.simulator  # noqa: F401  registers worldsim/Simulator-v0


class LinearAgent:
    """Chooses one of `count` fixed actions by a random linear score of the picture."""

    def __init__(self, space: gym.Space, count: int, features: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        space.seed(seed)
        self.menu = [space.sample() for _ in range(count)]
        self.weights = rng.normal(size=(features, count))

    def act(self, observation: np.ndarray) -> Any:
        """The best of the menu for this picture."""
        return self.menu[int((observation.reshape(-1) / 255.0 @ self.weights).argmax())]


def alone(episodes: int = 3, steps: int = 30, **simulator: Any) -> list[float]:
    """The usual preprocessing of pixel agents, episode by episode; returns the return of each."""
    env = gym.make("worldsim/Simulator-v0", **simulator)
    env = wrappers.RecordEpisodeStatistics(wrappers.TimeLimit(env, max_episode_steps=steps))
    env = wrappers.FrameStackObservation(wrappers.ResizeObservation(wrappers.GrayscaleObservation(env), (16, 16)), 2)
    agent = LinearAgent(env.action_space, 4, int(np.prod(env.observation_space.shape)), seed=0)
    returns = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=episode)
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(agent.act(observation))
            done = terminated or truncated
        returns.append(float(info["episode"]["r"]))
    env.close()
    return returns


def batched(num_envs: int = 4, steps: int = 60, **simulator: Any) -> int:
    """Many worlds in one model batch, random actions; returns how many episodes ended."""
    envs = gym.make_vec("worldsim/Simulator-v0", num_envs=num_envs, max_steps=20, **simulator)
    envs = wrappers.vector.RecordEpisodeStatistics(envs)
    envs.action_space.seed(0)
    envs.reset(seed=0)
    ended = 0
    for _ in range(steps):
        _, _, terminated, truncated, _ = envs.step(envs.action_space.sample())
        ended += int((terminated | truncated).sum())
    envs.close()
    return ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="worldsim/Oracle")
    parser.add_argument("--env", default="blocks")
    given = vars(parser.parse_args())
    print("returns:", alone(**given))
    print("episodes that ended in the batch:", batched(**given))
