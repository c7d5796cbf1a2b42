"""Who may import whom, read off the syntax trees of all packages, and what importing the runtime costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("runtime", "trainer", "exporter", "models")

ARROWS = {
    "runtime": set(),
    "trainer": {"runtime"},
    "exporter": {"runtime"},
    "models": {"trainer", "runtime"},
    "cli": {"models", "trainer", "exporter", "runtime"},
    "": {"models", "trainer", "exporter", "runtime", "cli"},
}
"""Package → the other packages its modules may import; `""` are the modules directly in striate/."""
LAZY_ARROWS = {("trainer", "exporter")}
"""Arrows allowed inside functions only."""

CORE = {"numpy", "onnx", "onnx_ir", "ml_dtypes", "typer", "rich", "safetensors", "google"}
"""What every installation has (google.protobuf comes with onnx); all else is imported inside functions, when needed."""
NEVER = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "torch", "tensorflow"}
ONLY_IN: dict[str, Callable[[Path], bool]] = {
    "cupy": lambda path: path == Path("runtime/engines/arrays.py"),
    "cupyx": lambda path: path == Path("runtime/engines/arrays.py"),
    "onnxruntime": lambda path: path.parts[0] == "exporter" and path.parts[1].startswith("verify"),
    "llvmlite": lambda path: path.parts[:3] == ("runtime", "engines", "native"),
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name."""

    path: Path
    line: int
    target: str
    lazy: bool

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.target}"


def _modules() -> dict[str, Path]:
    """Absolute module name → path relative to the repository."""
    found = {}
    for folder in ("striate", *FOLDERS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            relative = path.relative_to(ROOT)
            parts = relative.with_suffix("").parts
            parts = parts if folder == "striate" else ("striate", *parts)
            found[".".join(parts)] = relative
    return found


MODULES = _modules()
TREES = {name: ast.parse((ROOT / path).read_text(encoding="utf-8")) for name, path in MODULES.items()}


def _package(name: str) -> str:
    """`runtime` of `striate.runtime.plan`; `cli` of `striate.cli.main`; `""` of `striate.__main__`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ARROWS else ""


def _imports(name: str, tree: ast.AST, lazy: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(MODULES[name], node.lineno, alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(name, node)
            for alias in node.names:
                inside = f"{base}.{alias.name}"
                target = inside if base == "striate" or f"{inside}" in MODULES else base
                yield Import(MODULES[name], node.lineno, target, lazy)
        else:
            inner = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _for_types_only(node)
            yield from _imports(name, node, lazy or inner)


def _absolute(name: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    is_package = MODULES[name].name == "__init__.py"
    package = parts[:-1] if parts[-1] == "__init__" else parts if is_package else parts[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *((node.module,) if node.module else ())])


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


IMPORTS = {name: list(_imports(name, tree)) for name, tree in TREES.items()}
ALL = [(name, found) for name, imports in IMPORTS.items() for found in imports]


def test_the_walk_sees_the_imports() -> None:
    assert any(found.target == "striate.runtime.errors" for _, found in ALL)
    assert any(found.lazy for _, found in ALL)
    assert set(map(_package, MODULES)) >= {"runtime", "trainer"}


def test_arrows() -> None:
    wrong = []
    for name, found in ALL:
        source, target = _package(name), _package(found.target)
        if found.top != "striate" or found.target == "striate" or source == target:
            continue
        allowed = target in ARROWS[source] or (found.lazy and (source, target) in LAZY_ARROWS)
        if target and not allowed:
            wrong.append(str(found))
    assert not wrong, f"against the direction of the layers: {wrong}"


def test_imports_inside_are_relative() -> None:
    """A bare `import runtime` would load the code a second time; `import striate...` hides the layers from editors."""
    wrong = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                targets = [node.module or ""]
            else:
                continue
            roots = {"striate", *FOLDERS, "tests", "benchmarks"}
            wrong += [f"{MODULES[name]}:{node.lineno} imports {t}" for t in targets if t.partition(".")[0] in roots]
    assert not wrong, f"use relative imports: {wrong}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_library_has_one_home(library: str) -> None:
    wrong = [str(found) for _, found in ALL if found.top == library and not ONLY_IN[library](found.path)]
    assert not wrong


def test_optional_libraries_are_imported_when_needed() -> None:
    allowed = {*CORE, *sys.stdlib_module_names, "striate"}
    wrong = [str(found) for _, found in ALL if not found.lazy and found.top not in allowed]
    assert not wrong, f"import these inside the functions that need them: {wrong}"


def test_never_imported() -> None:
    wrong = [str(found) for _, found in ALL if found.top in NEVER]
    assert not wrong


def test_no_code_from_data() -> None:
    wrong = []
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            unpickles = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
            if called in FORBIDDEN_CALLS or unpickles:
                wrong.append(f"{MODULES[name]}:{node.lineno}: {ast.unparse(node.func)}")
    assert not wrong


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "tests"
    )
    return set(result.stdout.split())


def test_importing_the_runtime_is_light() -> None:
    heavy = {"llvmlite", "cupy", "onnxruntime", "onnx_ir", "sympy", "matplotlib", "sklearn", "PIL", "rich", "typer"}
    heavy |= {"striate.trainer", "striate.exporter", "striate.models", "striate.cli"}
    assert not heavy & _loaded_by("import striate.runtime")


def test_importing_striate_is_light() -> None:
    assert not {"numpy", "onnx", "striate.runtime", "striate.trainer"} & _loaded_by("import striate")
