"""No room of ours reaches a shell, evaluates text, or makes a command of what a caller says: the code is read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("contract", "switcher", "collector", "fleet", "hltmode", "dashboards", "simulator")
SHELLS = {
    "system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell", "spawnl", "spawnlp", "spawnv",
    "spawnvp", "execl", "execlp", "eval", "exec", "load_module", "unsafe_load",
}  # fmt: skip
UNPICKLERS = {"pickle", "marshal", "shelve", "dill", "commands", "pty"}
ENTRANCES = ("switcher/cgi.py", "switcher/api.py", "switcher/http.py", "contract/door.py", "contract/heads.py")


def modules() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yields each call with the last word of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, node


def findings(source: str) -> list[str]:
    """Returns what must not be in a module, one line each."""
    tree = ast.parse(source)
    found = []
    for name, call in calls(tree):
        if name in SHELLS and not (isinstance(call.func, ast.Attribute) and name in {"eval", "exec"}):
            found.append(f"line {call.lineno}: {name}")
        found += [f"line {call.lineno}: shell" for word in call.keywords if word.arg == "shell"]
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"import {name}" for name in names if name.partition(".")[0] in UNPICKLERS]
    return found


def test_no_module_knows_a_shell() -> None:
    found = {str(path.relative_to(ROOT)): findings(path.read_text()) for path in modules()}
    assert len(found) > 100
    assert {name: what for name, what in found.items() if what} == {}


def test_the_search_finds_what_it_looks_for() -> None:
    for bad in (
        "import os; os.system('x')",
        "import subprocess as s; s.run(['x'], shell=True)",
        "from subprocess import getoutput; getoutput('x')",
        "from os import popen\npopen('x')",
        "import asyncio\nasync def f(): await asyncio.create_subprocess_shell('x')",
        "eval('1')",
        "import pickle",
        "from pickle import loads",
    ):
        assert findings(bad), bad
    assert findings("import subprocess; subprocess.run(['x', 'y'])") == []


def test_only_the_rooms_that_must_start_processes_and_no_entrance_among_them() -> None:
    starting = set()
    for path in modules():
        tree = ast.parse(path.read_text())
        imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        if "subprocess" in imports or any(name in {"posix_spawn", "fork"} for name, _ in calls(tree)):
            starting.add(str(path.relative_to(ROOT)))
    daemons = {name for name in starting if not name.startswith("simulator/")}
    assert "switcher/processes.py" in daemons
    assert not daemons & set(ENTRANCES)
    assert {name for name in daemons if name.startswith(("switcher/", "collector/", "contract/"))} == {
        "switcher/processes.py"
    }
    assert not [name for name in daemons if name.startswith("fleet/")]


def test_what_is_started_is_made_of_the_sites_words_and_numbers_only() -> None:
    """`spawn` is called with lists from igniter.command and the jobs' commands, never with one made of a request."""
    for name in ("switcher/igniter.py", "switcher/work.py"):
        tree = ast.parse((ROOT / name).read_text())
        words = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not words & {"who", "reason", "query", "request", "headers", "deadline_s"}, name
