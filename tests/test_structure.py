"""The house: who may import whom, and no two files that need each other."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("annotate", "heat", "evaluate")
ALLOWED = {"annotate": {"annotate"}, "heat": {"heat"}, "evaluate": set(PACKAGES)}


def modules(package: str) -> dict[str, Path]:
    """Dotted name to file."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """What a file imports, at the top or in a function; not what it takes types from."""
    found = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        nodes += ast.iter_child_nodes(node)
    return found


def graph(package: str) -> dict[str, set[str]]:
    """Each module of a package, and those of the package that it needs."""
    known = modules(package)
    needed = {}
    for name, path in known.items():
        own = {each if each in known else each.rpartition(".")[0] for each in imports(path)}
        needed[name] = {each for each in own if each in known} - {name}
    return needed


@pytest.mark.parametrize("package", PACKAGES)
def test_no_files_need_each_other(package: str) -> None:
    try:
        TopologicalSorter(graph(package)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    for path in modules(package).values():
        foreign = {each.partition(".")[0] for each in imports(path)} & set(PACKAGES) - ALLOWED[package]
        assert not foreign, path


def test_no_two_test_files_have_the_same_name() -> None:
    # pytest imports them by their name alone, and stops where two are called alike.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
