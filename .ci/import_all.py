"""Imports every module of the installed worldsim, and says where it lies."""

import importlib
import pkgutil
from pathlib import Path

import worldsim

names = [found.name for found in pkgutil.walk_packages(worldsim.__path__, "worldsim.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
place = Path(worldsim.__file__).parent
if "site-packages" not in place.parts:
    raise SystemExit(f"worldsim was imported from {place}, not from the wheel")
for room in ("envs", "metrics", "model", "reports"):
    if f"worldsim.{room}" not in names:
        raise SystemExit(f"the wheel lacks worldsim.{room}")
print(f"{len(names)} modules imported from {place}")
