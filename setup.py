"""Maps the four root folders to `worldsim.envs`, `worldsim.metrics`, `worldsim.model` and `worldsim.reports`.

The folders lie at the root because that is where people look for them; they are imported under one name so that
nothing generic is installed. The list is made by walking, so a new sub-package is never left out of the wheel.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ("envs", "metrics", "model", "reports")

packages = ["worldsim"]
packages += [f"worldsim.{name}" for name in find_packages("worldsim") if name.split(".")[0] not in ROOMS]
package_dir = {"worldsim": "worldsim"}
for room in ROOMS:
    if not Path(room, "__init__.py").is_file():
        raise SystemExit(f"setup.py: {room}/__init__.py is missing; run from the project's root")
    names = [room, *(f"{room}.{name}" for name in find_packages(room))]
    packages += [f"worldsim.{name}" for name in names]
    package_dir |= {f"worldsim.{name}": name.replace(".", "/") for name in names}

setup(packages=packages, package_dir=package_dir)
