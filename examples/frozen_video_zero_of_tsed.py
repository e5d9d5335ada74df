"""A video that stands still is perfectly consistent by symmetric epipolar distance: exactly 0 under any translation.

TSED (Yu et al. 2023) calls two frames consistent if their matches lie within 2 px of the epipolar lines of the motion
that was asked for. Under a pure translation every point lies on its own line: x^T F x = 0, for F is skew-symmetric
(what is printed is rounding). So a model that ignores the camera passes. Ours scores a pair only where the frozen frame
would fail by twice that.
"""

import numpy as np

from worldsim.metrics.functional import epipolar

SIZE = (256, 256)
LENS = np.array([[180.0, 0.0, 128.0], [0.0, 180.0, 128.0], [0.0, 0.0, 1.0]])  # 71 degrees across
MOVES = {  # metres to the right, down and ahead; degrees to the right
    "strafe 1 m": ((1.0, 0.0, 0.0), 0.0),
    "dolly 1 m": ((0.0, 0.0, 1.0), 0.0),
    "anywhere": ((0.3, -0.7, 2.0), 0.0),
    "strafe 1 m, turn 1": ((1.0, 0.0, 0.0), 1.0),
    "strafe 1 m, turn 10": ((1.0, 0.0, 0.0), 10.0),
    "dolly 1 m, turn 10": ((0.0, 0.0, 1.0), 10.0),
}


def move(way: tuple[float, float, float], turn: float) -> np.ndarray:
    """`second_from_first`, (4, 4)."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    second = np.array([[c, 0, s, way[0]], [0, 1, 0, way[1]], [-s, 0, c, way[2]], [0, 0, 0, 1]])
    return np.linalg.inv(second)


def frozen(name: str) -> tuple[float, epipolar.TsedPair]:
    """Largest distance of 500 points of a frozen video matched with themselves, px, and the verdict on the pair."""
    points = np.random.default_rng(0).uniform(0, 256, (500, 2))
    motion = move(*MOVES[name])
    distances = epipolar.symmetric_epipolar_distance(points, points, epipolar.fundamental(motion, LENS, LENS))
    return float(distances.max()), epipolar.tsed_pair((points, points), motion, (LENS, LENS), SIZE)


if __name__ == "__main__":
    print("a frozen video, matched with itself:       largest    median   published  ours")
    for name in MOVES:
        largest, verdict = frozen(name)
        published = "passes" if verdict.consistent else "fails"
        ours = "scored" if verdict.powerful else "no power, not scored"
        print(f"  {name:38} {largest:8.1e} px {verdict.median:8.1e} px  {published:9}  {ours}")
