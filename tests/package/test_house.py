"""The house: what imports what. Data flows one way, and no two modules import each other, by however long a way."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import natsdb

ROOT = Path(natsdb.__file__).parent

# A room imports from itself and from rooms that stand before it here (and what is nowhere here from all of them).
ORDER = ("schema", "store", "ingest", "sql")


def _modules() -> dict[str, Path]:
    found = {}
    for folder, _, names in os.walk(ROOT, followlinks=True):
        for name in names:
            if name.endswith(".py"):
                path = Path(folder, name)
                parts = ["natsdb", *path.relative_to(ROOT).with_suffix("").parts]
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports() -> dict[str, set[str]]:
    """Modules that each module names in an import, wherever it stands, also for types only."""
    modules = _modules()
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        graph[module] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names if alias.name in modules}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    graph[module] |= {inner} if inner in modules else {node.module} & modules.keys()
        graph[module].discard(module)
    return graph


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules of a circle, none where there is none: what can be taken away leaf by leaf is in none."""
    left = {module: set(others) for module, others in graph.items()}
    while leaves := [module for module, others in left.items() if not others]:
        for leaf in leaves:
            del left[leaf]
        for others in left.values():
            others.difference_update(leaves)
    return sorted(left)


def test_no_modules_import_each_other() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert _circle(_imports()) == []


def test_rooms_import_only_from_rooms_before_them() -> None:
    wrong = []
    for module, others in _imports().items():
        room = module.split(".")[1] if "." in module else ""
        if room in ORDER:
            allowed = {"", *ORDER[: ORDER.index(room) + 1]}
            for other in others:
                name = other.split(".")[1] if "." in other else ""
                if name not in allowed:
                    wrong.append(f"{module} imports {other}")
    assert not wrong


def test_training_knows_only_what_things_are_where_they_lie_and_how_files_are_written() -> None:
    allowed = ("natsdb.schema", "natsdb.training", "natsdb.store.locations", "natsdb.store.writing")
    wrong = [
        f"{module} imports {other}"
        for module, others in _imports().items()
        for other in others
        if module.startswith("natsdb.training") and other != "natsdb" and not other.startswith(allowed)
        # The network of a row has the weights that a database keeps; nothing that trains imports it.
        if (module, other.rpartition(".")[0]) != ("natsdb.training.models", "natsdb.store")
    ]
    assert not wrong
