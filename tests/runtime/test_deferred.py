"""onnx_ir is imported without sympy, and has it as soon as somebody wants it."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORT = "import sys\nfrom striate.runtime.deferred import import_onnx_ir\n"
LOADED = "any(name.split('.')[0] == 'sympy' for name in sys.modules)"
NAMED = "ir.SymbolicDim('n')"


def python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_session_of_named_dimensions_needs_no_sympy() -> None:
    python(f"""
import numpy as np, onnx
import striate.runtime as ort
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2 if name == "x" else "m"]) for name in "xy")
node = helper.make_node("Concat", ["x", "x"], ["y"], axis=0)
graph = helper.make_graph([node], "g", [x], [y])
model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
assert session.get_inputs()[0].shape == ["n", 2]
assert session.run(None, {{"x": np.ones((3, 2), np.float32)}})[0].shape == (6, 2)
assert not {LOADED}
""")


@pytest.mark.parametrize(
    "use",
    [
        f"assert ({NAMED} + 1).value == 'n + 1'",
        f"assert ({NAMED} * 2).evaluate({{'n': 4}}) == 8",
        "assert ir.SymbolicDim('max(n, 3)').evaluate({'n': 2}) == 3",
        "import sympy; assert ir.SymbolicDim(sympy.Symbol('k') + 1).value == 'k + 1'",
    ],
)
def test_arithmetic_on_names_finds_sympy(use: str) -> None:
    python(f"import_onnx_ir()\nassert not {LOADED}\nimport onnx_ir as ir\n{use}\nassert {LOADED}")


@pytest.mark.parametrize("first", ["import_onnx_ir()", "import sympy; import_onnx_ir()", "import onnx_ir"])
def test_others_get_the_whole_sympy(first: str) -> None:
    python(f"{first}\nimport sympy.core\nassert sympy.Symbol('x') + 1 and type(sympy).__name__ == 'module'")


def test_a_part_of_sympy_is_a_reason_to_import_it() -> None:
    """As another version of onnx_ir could."""
    python("""
import types
from striate.runtime import deferred
later = deferred._Later("sympy")
sys.modules["sympy"] = later
try:
    import sympy.core
except ImportError:
    later.withdraw()
else:
    raise AssertionError("a part was imported without the whole")
import sympy.core
assert sympy.core is sys.modules["sympy"].core
""")


def test_nothing_is_deferred_while_other_threads_run() -> None:
    python(f"""
from threading import Event, Thread
done = Event()
Thread(target=done.wait).start()
import_onnx_ir()
done.set()
assert {LOADED}
""")
