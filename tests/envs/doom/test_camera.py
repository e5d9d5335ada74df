"""The pinhole that is cut out of the engine's picture, held against the engine's own depth and labels."""

import numpy as np
import pytest

from tests.envs.doom.helpers import DoomEnv, walks
from worldsim.envs.doom import camera
from worldsim.envs.doom.layout import HEIGHT
from worldsim.envs.doom.units import UNITS, yaw_of
from worldsim.truth import ObjectState, TruthState

SIZE = (80, 96)


@pytest.fixture(scope="module")
def pixels() -> dict[str, np.ndarray]:
    """Pixels of the static world in many views: the engine's depth code and label, our depth, whether it is level."""
    env, out = DoomEnv(size=SIZE, engine_depth=True), {"code": [], "label": [], "z": [], "level": []}
    v, u = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    for seed in (1, 2):
        env.reset(seed=seed)
        for action in walks(seed, 12):
            action["attack"], action["use"] = np.int64(0), np.int64(0)
            env.step(action)
            truth, reading = env.truth(), env.game.reading
            pose, k = truth.world_from_camera, truth.intrinsics
            map_ = camera.homography(reading, pose, k)
            camera.check_inside(map_, SIZE, reading.rgb.shape[:2])  # at any pitch the picture is wide enough
            ahead = camera.camera_pose((0.0, 0.0, 0.0), yaw_of(reading.angle), 0.0)[:3, 2]
            rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u)], -1) @ pose[:3, :3].T
            label = camera.cut_labels(reading.labels, map_, SIZE)
            static = label < 2
            height = pose[1, 3] + rays[..., 1] * truth.depth
            out["code"].append(camera.cut_labels(reading.depth, map_, SIZE)[static])
            out["label"].append(label[static])
            out["z"].append((truth.depth * (rays @ ahead) * UNITS)[static])
            out["level"].append((np.minimum(np.abs(height), np.abs(height - HEIGHT)) < 1e-4)[static])
    env.close()
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in out.items()}


def test_walls_and_floors_are_where_the_engine_has_them(pixels: dict[str, np.ndarray]) -> None:
    assert np.mean((pixels["label"] == 1) == (pixels["level"] == 1)) > 0.99


@pytest.mark.parametrize(("label", "step"), [(0, 3.32), (1, 7.0)], ids=["walls", "floors and ceilings"])
def test_depth_is_the_engine_s_up_to_its_steps(pixels: dict[str, np.ndarray], label: int, step: float) -> None:
    """Its 8 bits are linear in the depth, with other steps for walls than for floors (an old renderer's way)."""
    chosen = (pixels["label"] == label) & (pixels["code"] > 2) & (pixels["code"] < 250)
    code, z = pixels["code"][chosen], pixels["z"][chosen]
    slope, offset = np.polyfit(code, z, 1)
    assert slope == pytest.approx(step, rel=0.04)
    error = np.abs(z - slope * code - offset)
    assert error.mean() < 0.4 * step  # a quarter of a step is what rounding costs
    assert np.percentile(error, 95) < 0.75 * step


def test_turning_the_camera_and_turning_the_pose_draw_the_same() -> None:
    env = DoomEnv(preset="arena")
    env.reset(seed=3)
    truth = env.truth()
    turned = camera.camera_pose(truth.world_from_camera[:3, 3], env.game.head.yaw + 33.3, 12.5)
    drawn, there = env.render_from(turned)
    from tests.envs.doom.helpers import press

    frame = env.step(press(camera=(12.5, 33.3)))[0]
    after = env.truth()
    np.testing.assert_allclose(after.world_from_camera, turned, atol=1e-6)
    assert np.abs(frame.astype(int) - drawn).max() <= 2  # the two poses differ in the last digits
    np.testing.assert_allclose(after.depth, there.depth, rtol=1e-5)
    assert np.mean(after.segmentation == there.segmentation) > 0.999
    env.close()


def test_a_thing_is_where_its_pixels_are() -> None:
    env = DoomEnv(preset="arena", size=(96, 96))
    checked = 0
    for seed in range(3):
        env.reset(seed=seed)
        for action in walks(seed, 10):
            action["attack"] = np.int64(0)
            env.step(action)
            truth = env.truth()
            for item in truth.objects:
                if "_" not in item.kind or item.visible_px < 40:
                    continue
                local = truth.world_from_camera[:3, :3].T @ (item.position - truth.world_from_camera[:3, 3])
                rows, columns = np.nonzero(truth.segmentation == item.id)
                if local[2] > 1.0:  # near ones are cut off
                    low, high = _upright(truth, item)
                    assert low[0] - 2 < columns.min() and columns.max() < high[0] + 2
                    assert low[1] - 2 < rows.min() and rows.max() < high[1] + 2
                    depth = truth.depth[rows, columns]
                    assert low[2] - 0.02 < depth.min() and depth.max() < high[2] + 0.02
                    checked += 1
    assert checked > 3
    env.close()


def _upright(truth: TruthState, item: ObjectState) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest (u, v, depth) of the upright plane that Doom draws a thing as."""
    pose, (width, height, _) = truth.world_from_camera, item.size
    signs = [(a, b) for a in (-0.5, 0.5) for b in (-0.5, 0.5)]
    corners = np.array([item.position + a * width * pose[:3, 0] + [0.0, b * height, 0.0] for a, b in signs])
    pixels = (corners - pose[:3, 3]) @ pose[:3, :3] @ truth.intrinsics.T
    pixels = np.column_stack([pixels[:, :2] / pixels[:, 2:], pixels[:, 2]])
    return pixels.min(0), pixels.max(0)
