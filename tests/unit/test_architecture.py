"""Dependencies point inward: who imports whom, read from the import statements."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "chalicelib"
OWN_IMPORTS = {
    "core": {"core"},
    "aws": {"core", "aws"},
    "net": {"core", "net"},
    "actions": {"core", "net", "actions"},
    "delivery": {"core", "net", "delivery"},
    "handlers": {"core", "scheduler", "handlers"},
    "scheduler": {"core", "scheduler"},
    "tasks": {"core", "scheduler", "tasks"},
    "dialects": {"core", "scheduler"},
}
SHARED_BY_DIALECTS = {"dialects.http", "dialects.errors", "dialects.parsing"}
PURE = {"boto3", "botocore", "chalice", "moto"}
NEVER_DEPLOYED = ("chalice.local", "chalice.test", "infra", "tests", "moto")


def modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if path != LIBRARY / "composition.py")


def imported(path: Path) -> set[str]:
    """Dotted names that a module imports when it runs, so not those under `if TYPE_CHECKING:`."""
    return {name for node in _executed(ast.parse(path.read_text())) for name in _names(node, path)}


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    skipped = node.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) else []
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            yield from _executed(child)


def _names(node: ast.AST, path: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        package = path.relative_to(ROOT).with_suffix("").parts[: -node.level] if node.level else ()
        base = ".".join([*package, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


def allowed(path: Path) -> set[str]:
    folder, *rest = path.relative_to(LIBRARY).parts
    if folder == "dialects":
        own = SHARED_BY_DIALECTS | ({f"dialects.{rest[0]}"} if len(rest) > 1 else set())
        return OWN_IMPORTS[folder] | own
    return OWN_IMPORTS[folder]


@pytest.mark.parametrize("path", modules(LIBRARY), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_module_imports_only_what_lies_further_in(path: Path) -> None:
    own = {name.removeprefix("chalicelib.") for name in imported(path) if name.startswith("chalicelib.")}
    if len(path.relative_to(LIBRARY).parts) > 1:
        outward = {name for name in own if not any(f"{name}.".startswith(f"{a}.") for a in allowed(path))}
        assert outward == set()


@pytest.mark.parametrize("path", modules(LIBRARY / "core"), ids=lambda path: path.name)
def test_the_core_knows_neither_aws_nor_the_environment(path: Path) -> None:
    assert {name.split(".")[0] for name in imported(path)} & PURE == set()
    assert "os.environ" not in path.read_text()


@pytest.mark.parametrize(
    "path", [ROOT / "app.py", *sorted(LIBRARY.rglob("*.py"))], ids=lambda path: path.name
)
def test_what_is_deployed_imports_nothing_that_is_not(path: Path) -> None:
    assert not [
        name for name in imported(path) for away in NEVER_DEPLOYED if f"{name}.".startswith(f"{away}.")
    ]
