"""`worldsim ls` and `worldsim show`: names and runs, in under a second, importing nothing that is listed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from worldsim import registry, suite
from worldsim.cli.arguments import parse
from worldsim.cli.definitions import find_definition
from worldsim.cli.output import print_table
from worldsim.errors import StoreError, UnknownNameError, nearest

REGISTRIES: dict[str, registry.Registry[Any]] = {
    "models": registry.MODELS,
    "metrics": registry.METRICS,
    "envs": registry.ENVS,
    "controllers": registry.CONTROLLERS,
}
KINDS = (*REGISTRIES, "scenarios", "suites", "runs")


# ------------------------------------------------------------------------------------------------------------- ls


def ls(what: str, folder: str | Path = "runs", env: str = "blocks") -> int:
    """Lists what there is of a kind; returns the exit code.

    Args:
        what: One of `KINDS`; the singular is understood.
        folder: Where runs lie.
        env: Whose scenario sets are listed.

    Raises:
        UnknownNameError: For another kind, with the nearest one.
    """
    kind = what if what in KINDS else what + "s"
    if kind not in KINDS:
        raise UnknownNameError(f"cannot list {what!r}.{nearest(what, KINDS)} It takes one of: {', '.join(KINDS)}")
    if kind == "runs":
        _ls_runs(Path(folder))
    elif kind == "scenarios":
        _ls_scenarios(env)
    elif kind == "suites":
        _ls_suites()
    else:
        table = REGISTRIES[kind]
        names = [*table.names(), *(f"{prefix}<id>" for prefix in table.families)]
        print_table(("name", "what it is"), [(name, _headline(table, name)) for name in names], widest=1)
    return 0


def _headline(table: registry.Registry[Any], name: str) -> str:
    target = table.target(name)
    found = find_definition(target)
    return found.headline if found else target


def _ls_scenarios(env: str) -> None:
    from worldsim.envs.scenarios import list_sets, load_set

    rows = []
    for name in list_sets(env):
        for scenario in load_set(name, env).scenarios:
            length = f"{scenario.context}+{scenario.horizon}"
            rows.append((name, scenario.name, length, ", ".join(sorted(scenario.probes)), scenario.summary))
    print_table(("set", "scenario", "frames", "probes", "what it asks"), rows, widest=4)


def _ls_suites() -> None:
    rows = []
    for found in map(suite.read, suite.names()):
        asked = found.parts["scenarios"]
        worlds = next(iter(found.parts["worlds"]["seeds"].values()))
        rows.append((found.name, found.hash, f"set {asked['set']} v{asked['version']}, {len(worlds)} worlds each"))
    print_table(("suite", "hash", "what it freezes"), rows, widest=2)


def _ls_runs(folder: Path) -> None:
    rows = []
    for path in sorted((p.parent for p in folder.glob("*/run.json")), reverse=True):  # names start with the time
        try:
            run = _read(path / "run.json")
        except StoreError:
            rows.append((path.name, "unreadable", "", "", ""))
            continue
        counts = run.get("counts", {})
        done = f"{counts.get('done', 0)}/{counts.get('planned', '?')}"
        rows.append(
            (str(path), str(run.get("status")), _model(run), str(run.get("scenario_set", "")), f"{done} episodes")
        )
    if not rows:
        print(f"no runs in {folder}/ yet; `worldsim eval --model worldsim/CopyContext` makes one")
    print_table(("run", "status", "model", "set", "done"), rows)


# ----------------------------------------------------------------------------------------------------------- show


def show(name: str, folder: str | Path = "runs") -> int:
    """Explains a registered name, a scenario, a set or a suite, or says how a run ended; returns the exit code.

    Raises:
        UnknownNameError: If nothing is called so, with the nearest name.
    """
    for path in (Path(name), Path(folder, name)):
        if (path / "run.json").is_file():
            return _show_run(path)
    shown = 0
    for kind, table in REGISTRIES.items():
        for full in (full for full in (name, f"worldsim/{name}") if full in table):
            shown += _show_definition(kind.removesuffix("s"), full, table.target(full))
    if ".py:" in name:
        shown += _show_definition("file", name, name)
    if name in suite.names():
        shown += _show_suite(suite.read(name))
    if not shown or name.isidentifier():  # "fidelity.psnr" and "me/mine" are no scenarios: spare the reading
        shown += _show_scenarios(name)
    if shown:
        return 0
    known = [known for table in REGISTRIES.values() for known in table.names()]
    known += [known.split("/", 1)[1] for known in known if "/" in known] + _scenario_names()
    known += suite.names()
    known += [path.parent.name for path in Path(folder).glob("*/run.json")]
    raise UnknownNameError(
        f"nothing is called {name!r}.{nearest(name, known)} `worldsim ls {'|'.join(KINDS)}` lists what there is; "
        "a run is given by its folder."
    )


def _show_definition(kind: str, name: str, target: str) -> int:
    found = find_definition(target)
    print(f"{kind} {name}")
    if found is None:
        print(f"  {target} (its source was not found)")
        return 1
    print(f"  {found.file}:{found.line}")
    if found.signature:
        print(f"  arguments: {found.signature}")
    if found.doc:
        print("\n" + "\n".join(f"  {line}".rstrip() for line in found.doc.splitlines()))
    if found.spec:
        print()
        width = max(map(len, found.spec))
        print("\n".join(f"  {key:<{width}}  {text}" for key, text in found.spec.items() if key != "name"))
    return 1


def _show_suite(found: suite.FrozenSuite) -> int:
    """Prints the hash of a suite, and of what it is."""
    p = found.parts
    worlds, expected = p["worlds"], p["expected"]
    signs = [sign for row in expected.values() for sign in row.values()]
    cells = ", ".join(f"{signs.count(sign)} {sign}" for sign in "+0~")
    each = len(next(iter(worlds["seeds"].values())))
    size = "x".join(map(str, worlds["size"]))
    what = {
        "scenarios": f"set {p['scenarios']['set']} v{p['scenarios']['version']}, {p['scenarios']['hash']}",
        "worlds": f"{each} for each of {len(worlds['seeds'])} scenarios, {worlds['split']} split, "
        f"run seed {worlds['seed']}, frames of {size}",
        "metrics": ", ".join(f"{name} v{row['version']}" for name, row in p["metrics"].items()),
        "expected": f"{len(expected)} faults by {len(next(iter(expected.values())))} metrics: {cells}",
        "thresholds": ", ".join(f"{height} px: {json.dumps(row)}" for height, row in p["thresholds"].items()),
        "faults": ", ".join(p["faults"]),
    }
    print(f"suite {found.name}\n  hash        {found.hash}")
    print("\n".join(f"  {key:<10}  {text}" for key, text in what.items()))
    return 1


def _scenario_names(env: str = "blocks") -> list[str]:
    from worldsim.envs.scenarios import list_sets, load_set

    sets = list_sets(env)
    return [*sets, *(scenario.name for name in sets for scenario in load_set(name, env).scenarios)]


def _show_scenarios(name: str, env: str = "blocks") -> int:
    """Prints the set, or the scenario of every set, that is called so; returns how many were."""
    from worldsim.envs.scenarios import list_sets, load_set

    shown = 0
    for set_name in list_sets(env):
        chosen = load_set(set_name, env)
        if set_name == name:
            print(f"scenario set {name}, version {chosen.version}, {chosen.hash[:12]}: {chosen.summary}")
            rows = [
                (s.name, f"{s.context}+{s.horizon}", ", ".join(sorted(s.probes)), s.summary) for s in chosen.scenarios
            ]
            print_table(("scenario", "frames", "probes", "what it asks"), rows, widest=3)
            shown += 1
        for scenario in chosen.scenarios:
            if scenario.name == name:
                print(f"scenario {name} of the set {set_name}: {scenario.summary}")
                values = {f.name: getattr(scenario, f.name) for f in dataclasses.fields(scenario)[1:-1]}
                print("\n".join(f"  {key:<17}  {_plain(value)}" for key, value in values.items() if value))
                shown += 1
    return shown


def _plain(value: Any) -> str:
    if isinstance(value, tuple | frozenset | set):
        return ", ".join(str(getattr(v, "name", v)) for v in (value if isinstance(value, tuple) else sorted(value)))
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _show_run(path: Path) -> int:
    run = _read(path / "run.json")
    counts = run.get("counts", {})
    print(f"run {path}: {run.get('status')}")
    print(f"  {_model(run)} on {run.get('env', {}).get('id')}, set {run.get('scenario_set')}, seed {run.get('seed')}")
    failed = "".join(f", {counts[key]} {key}" for key in ("failed", "aborted") if counts.get(key))
    print(f"  {counts.get('done', 0)} of {counts.get('planned', '?')} episodes{failed}; started {run.get('created')}")
    print(f"  command: {' '.join(run.get('command', []))}")
    page = path / "report" / "index.html"
    if page.is_file():
        print(f"  page: {page}")
    if not (path / "summary.json").is_file():
        print(f"  no scores yet: `worldsim score {path}`, or `worldsim eval --resume --out {path}`")
        return 0
    rows = [r for r in _read(path / "summary.json").get("rows", []) if r["scenario"] == "*" and r.get("headline", True)]
    cells = [(r["metric"] + _arm(r), _interval(r, "value", r["unit"]), _interval(r, "skill"), _why(r)) for r in rows]
    print()
    print_table(("metric", "value", "skill", "measured"), cells, widest=3)
    return 0


def _model(run: dict[str, Any]) -> str:
    return str(run.get("model", {}).get("reference") or run.get("model", {}).get("name", "?"))


def _arm(row: dict[str, Any]) -> str:
    return "" if row.get("arm", "free") == "free" else f" ({row['arm']})"


def _interval(row: dict[str, Any], key: str, unit: str = "") -> str:
    low, high = ("low", "high") if key == "value" else (f"{key}_low", f"{key}_high")
    if row.get(key) is None:
        return "-"
    text = f"{row[key]:.3g}" + (f" {unit}" if unit not in ("", "1") else "")
    return text if row.get(low) is None else f"{text} [{row[low]:.3g}, {row[high]:.3g}]"


def _why(row: dict[str, Any]) -> str:
    coverage = row.get("coverage")
    share = f"{coverage:.0%} of {row.get('n_worlds', '?')} worlds" if coverage is not None else ""
    return "; ".join(part for part in (share, row.get("reason") or "") if part)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    return found


# ------------------------------------------------------------------------------------------------ the command line


@dataclass(frozen=True, kw_only=True)
class LsArguments:
    """Lists what there is, by name, without importing it."""

    what: Positional[str]
    """models, metrics, envs, controllers, scenarios, suites or runs."""
    folder: Path = Path("runs")
    """Where runs lie."""
    env: str = "blocks"
    """Whose scenario sets are listed."""


@dataclass(frozen=True, kw_only=True)
class ShowArguments:
    """Explains a name, or says how a run ended."""

    name: Positional[str]
    """A model, metric, env, controller, scenario, set, suite, path/to/file.py:Name, a run's folder, or: recipe NAME."""
    folder: Path = Path("runs")
    """Where runs lie."""


def ls_command(args: Sequence[str]) -> int:
    """`worldsim ls WHAT`."""
    given = parse(LsArguments, args, "ls", "worldsim ls metrics\nworldsim ls runs --folder /data/runs")
    return ls(given.what, given.folder, given.env)


def show_command(args: Sequence[str]) -> int:
    """`worldsim show NAME`, and `worldsim show recipe NAME`."""
    if len(args) > 1 and args[0] == "recipe":
        from worldsim.cli.recipe import recipe_command

        return recipe_command(args[1:])
    examples = "worldsim show fidelity.psnr\nworldsim show runs/mine\nworldsim show recipe tiny"
    given = parse(ShowArguments, args, "show", examples)
    return show(given.name, given.folder)
