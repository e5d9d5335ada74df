"""MuJoCo: exact states, and depth, ids and pose from the renderer that draws the frame."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from worldsim import trees
from worldsim.envs.gymnasium_adapter.backend import Backend, random_state, set_random_state
from worldsim.truth import ObjectState, State

#: From MuJoCo's world (z up) to ours (y up): x stays, z becomes y, -y becomes z.
OURS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


class MujocoBackend(Backend):
    """Draws at the asked size without shadows and multisampling, which cost twenty times the rest (software OpenGL).

    What MuJoCo derives from a state, positions of bodies among it, lags one substep behind after a step. So that a
    restored moment equals the original to the bit, a snapshot is the state before the last step, and that step.
    """

    family: ClassVar[str] = "mujoco"
    way: ClassVar[str | None] = "set state"
    fields: ClassVar[frozenset[str]] = frozenset(
        {"world_from_camera", "intrinsics", "depth", "segmentation", "objects"}
    )
    draws: ClassVar[bool] = True
    own_picture: ClassVar[bool] = True
    _renderer: Any = None
    _before: dict[str, Any] | None = None

    def begin(self) -> None:
        """A world without a last step."""
        self._before = None

    def before_step(self, action: Any) -> None:
        """Keeps the state before the step."""
        self._before = {"state": self._state(), "rng": random_state(self.core), "action": trees.copy(action)}

    def save(self) -> State:
        """The state before the last step and the step; at the start the state itself."""
        return {"state": self._state()} if self._before is None else dict(self._before)

    def load(self, state: State) -> None:
        """Sets the state, and makes the last step again."""
        import mujoco

        core = self.core
        mujoco.mj_setState(core.model, core.data, np.asarray(state["state"]), mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(core.model, core.data)
        self._before = None
        if "action" in state:
            mujoco.mj_setState(core.model, core.data, np.asarray(state["state"]), mujoco.mjtState.mjSTATE_INTEGRATION)
            set_random_state(core, state["rng"])
            action = np.asarray(state["action"])
            self.before_step(action)
            core.step(action)

    def picture(self) -> Any:
        """(H, W, 3) uint8 from the environment's own camera."""
        renderer = self._open()
        renderer.update_scene(self.core.data, camera=self._camera, scene_option=self._options)
        return renderer.render().copy()

    def facts(self) -> dict[str, Any]:
        """Depth in metres, body ids, pose and bodies, all of the picture that was drawn last."""
        renderer, model, data = self._open(), self.core.model, self.core.data
        renderer.update_scene(data, camera=self._camera, scene_option=self._options)
        pose, focal = self._pose(renderer.scene.camera)
        renderer.enable_depth_rendering()
        depth = np.array(renderer.render(), np.float32)
        renderer.disable_depth_rendering()
        renderer.enable_segmentation_rendering()
        found = renderer.render().copy()
        renderer.disable_segmentation_rendering()
        depth[found[..., 1] < 0] = np.inf  # the sky
        bodies = np.zeros(found.shape[:2], np.int32)
        geoms = found[..., 1] == 5  # mjOBJ_GEOM
        bodies[geoms] = np.asarray(model.geom_bodyid)[
            found[..., 0][geoms]
        ]  # 0 = the world body: floor and fixed things
        h, w = self.size
        k = np.array([[focal, 0.0, w / 2], [0.0, focal, h / 2], [0.0, 0.0, 1.0]])
        seen = np.bincount(bodies.ravel(), minlength=model.nbody)
        objects = tuple(self._body(i, int(seen[i])) for i in range(1, model.nbody))
        return {
            "world_from_camera": pose,
            "intrinsics": k,
            "depth": depth,
            "segmentation": bodies,
            "objects": objects,
        }

    def close(self) -> None:
        """Closes the renderer, in the thread that opened it."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # ------------------------------------------------------------------------------------------------------- private

    def _state(self) -> NDArray[np.float64]:
        import mujoco

        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        out = np.empty(mujoco.mj_stateSize(self.core.model, kind))
        mujoco.mj_getState(self.core.model, self.core.data, out, kind)
        return out

    def _open(self) -> Any:
        if self._renderer is None:
            import mujoco

            core, (h, w) = self.core, self.size
            core.model.vis.quality.shadowsize = 0
            core.model.vis.quality.offsamples = 0
            core.model.vis.global_.offwidth = max(w, int(core.model.vis.global_.offwidth))
            core.model.vis.global_.offheight = max(h, int(core.model.vis.global_.offheight))
            self._renderer = mujoco.Renderer(core.model, h, w)
            self._camera = self._view()
            self._options = mujoco.MjvOption()
        return self._renderer

    def _view(self) -> Any:
        """The camera that Gymnasium would use: the named or numbered one, else "track", else a free one."""
        import mujoco

        core = self.core
        camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(core.model, camera)
        number, name = core.camera_id, core.camera_name
        if number is None:
            number = mujoco.mj_name2id(core.model, mujoco.mjtObj.mjOBJ_CAMERA, name or "track")
        if number is not None and number >= 0:
            camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, number
            return camera
        for key, value in (getattr(core.mujoco_renderer, "default_cam_config", None) or {}).items():
            if isinstance(value, np.ndarray):
                getattr(camera, key)[:] = value
            else:
                setattr(camera, key, value)
        return camera

    def _pose(self, cameras: Any) -> tuple[NDArray[np.float64], float]:
        """(4, 4) pose and focal length in pixels of the mean of the two stereo cameras."""
        a, b = cameras[0], cameras[1]
        place = (np.asarray(a.pos, np.float64) + np.asarray(b.pos, np.float64)) / 2
        forward = np.asarray(a.forward, np.float64)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, np.asarray(a.up, np.float64))
        right = right / np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = OURS @ np.stack([right, np.cross(forward, right), forward], axis=1)
        pose[:3, 3] = OURS @ place
        half = (float(a.frustum_top) - float(a.frustum_bottom)) / 2
        return pose, self.size[0] / 2 * float(a.frustum_near) / half

    def _body(self, number: int, seen: int) -> ObjectState:
        model, data = self.core.model, self.core.data
        own = np.flatnonzero(np.asarray(model.geom_bodyid) == number)
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for geom in own:
            turn = np.asarray(data.geom_xmat[geom]).reshape(3, 3)
            box = np.asarray(model.geom_aabb[geom])
            centre = np.asarray(data.geom_xpos[geom]) + turn @ box[:3]
            half = np.abs(turn) @ box[3:]
            low, high = np.minimum(low, centre - half), np.maximum(high, centre + half)
        if not len(own):
            low = high = np.asarray(data.xpos[number])
        return ObjectState(
            id=number,
            kind=str(model.body(number).name) or f"body{number}",
            position=OURS @ ((low + high) / 2),
            size=np.abs(OURS @ (high - low)),
            visible_px=seen,
        )
