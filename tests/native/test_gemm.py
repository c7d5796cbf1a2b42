"""Matrix products against float64 NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from striate.runtime.engines.native.host import host
from striate.runtime.engines.native.kernels import gemm
from striate.runtime.engines.native.kernels.epilogues import Epilogue
from striate.runtime.engines.native.kernels.gemm import Product, pack, product, scratch_bytes, steps
from striate.runtime.engines.native.program import NO_SLOT, Program, Step, aligned, call

from .guard import guarded, posix, survives

A, B, Y, C, RESIDUAL, SCRATCH = range(6)
EPILOGUES = [
    Epilogue(),
    Epilogue("relu"),
    Epilogue("clip", (-0.5, 1.5)),
    Epilogue("leaky_relu", (0.1,), residual="before"),
    Epilogue("hard_swish", residual="after"),
    Epilogue("sigmoid"),
    Epilogue("tanh", residual="before"),
    Epilogue("swish", residual="after"),
]


def planned(p: Product, epilogue: Epilogue | None = None) -> list[Step]:
    done = epilogue or Epilogue()
    slots = {"c": C if p.c else NO_SLOT, "residual": RESIDUAL if done.residual else NO_SLOT}
    return steps(p, A, B, Y, **slots, scratch=SCRATCH if scratch_bytes(p) else NO_SLOT, epilogue=done)


def run(p: Product, arrays: Mapping[int, np.ndarray], epilogue: Epilogue | None = None, threads: int = 1) -> None:
    """Fills arrays[Y]; a constant B is packed first."""
    given = dict(arrays)
    if p.constant:
        given[B] = pack(p, given[B])
    program = Program(planned(p, epilogue), {}, {SCRATCH: 0}, scratch_bytes(p), 6)
    program.run({slot: x.ctypes.data for slot, x in given.items()}, threads)


def activated(x: np.ndarray, e: Epilogue, residual: np.ndarray | None) -> np.ndarray:
    if e.residual == "before":
        x = x + residual
    x = {
        "none": lambda: x,
        "relu": lambda: np.maximum(x, 0),
        "clip": lambda: np.clip(x, *e.constants),
        "leaky_relu": lambda: np.where(x < 0, x * np.asarray(e.constants, x.dtype), x),
        "hard_swish": lambda: x * np.clip(x / 6 + x.dtype.type(0.5), 0, 1),
        "sigmoid": lambda: (1 + np.tanh(x / 2)) / 2,
        "tanh": lambda: np.tanh(x),
        "swish": lambda: x * (1 + np.tanh(x / 2)) / 2,
    }[e.activation]()
    return x + residual if e.residual == "after" else x


def formula(a: np.ndarray, b: np.ndarray, c: np.ndarray | None, transA: bool, transB: bool, alpha: float, beta: float,
            e: Epilogue, residual: np.ndarray | None) -> np.ndarray:  # fmt: skip
    """In the precision of the arrays."""
    kind = a.dtype.type
    y = kind(alpha) * np.matmul(np.swapaxes(a, -1, -2) if transA else a, np.swapaxes(b, -1, -2) if transB else b)
    return activated(y if c is None else y + kind(beta) * c, e, residual)


def close(y: np.ndarray, arguments: tuple[object, ...]) -> None:
    """At most four times as far from float64 as NumPy in y's own precision, or as one rounding of the largest sum."""

    def wide(x: object) -> object:
        return x.astype(np.longdouble) if isinstance(x, np.ndarray) else x

    want = formula(*map(wide, arguments))  # type: ignore[arg-type]
    assert y.shape == want.shape
    if not y.size:
        return
    own = np.abs(formula(*arguments) - want).max()  # type: ignore[arg-type]
    a, b, *rest = arguments
    large = formula(abs(wide(a)), abs(wide(b)), None, *rest[1:5], Epilogue(), None).max()  # type: ignore[arg-type]
    assert np.abs(y - want).max() <= 4 * max(own, np.finfo(y.dtype).eps * max(abs(large), 1) / 2)


def numbers(rng: np.random.Generator, *shape: int, dtype: type = np.float32, shift: int = 0) -> np.ndarray:
    """Normal; its address is `shift` elements off a multiple of 64."""
    size = int(np.prod(shape)) + shift
    x = aligned(size * np.dtype(dtype).itemsize).view(dtype)[shift:].reshape(shape)
    x[...] = rng.standard_normal(shape)
    return x


def check(
    rng: np.random.Generator,
    a: tuple[int, ...],
    b: tuple[int, ...],
    c: tuple[int, ...] | None = None,
    *,
    e: Epilogue | None = None,
    dtype: type = np.float32,
    threads: int = 1,
    **options: object,
) -> Product:
    p = product(a, b, c, dtype=dtype, **options)  # type: ignore[arg-type]
    trans = [bool(options.get(name)) for name in ("transA", "transB")]
    shift = int(rng.integers(0, 3))
    arrays = {slot: numbers(rng, *s, dtype=dtype, shift=shift) for slot, s in ((A, a), (B, b), (C, c)) if s is not None}
    e = e or Epilogue()
    shape = np.matmul(
        np.swapaxes(arrays[A], -1, -2) if trans[0] else arrays[A],
        np.swapaxes(arrays[B], -1, -2) if trans[1] else arrays[B],
    ).shape
    if e.residual:
        arrays[RESIDUAL] = numbers(rng, *shape, dtype=dtype, shift=shift)
    arrays[Y] = numbers(rng, *shape, dtype=dtype, shift=shift)
    run(p, arrays, e, threads)
    factors = [float(options.get(name, 1)) for name in ("alpha", "beta")]  # type: ignore[arg-type]
    close(arrays[Y], (arrays[A], arrays[B], arrays.get(C), *trans, *factors, e, arrays.get(RESIDUAL)))
    return p


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("seed", range(80))
def test_gemm(seed: int, lanes: int) -> None:
    rng = np.random.default_rng([seed, lanes])
    m, n, k = (int(rng.choice([1, 2, 3, rng.integers(1, 20), rng.integers(1, 90)])) for _ in range(3))
    transA, transB, constant = (bool(v) for v in rng.integers(0, 2, 3))
    c = [None, (), (1,), (n,), (1, n), (m, 1), (m, n)][rng.integers(7)]
    factors = {"alpha": 0.5, "beta": -1.25} if seed % 5 == 0 else {}
    check(
        rng, (k, m) if transA else (m, k), (n, k) if transB else (k, n), c, e=EPILOGUES[seed % len(EPILOGUES)],
        transA=transA, transB=transB, constant=constant, lanes=lanes, threads=int(rng.integers(1, 4)), **factors,
    )  # fmt: skip


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("n", [1, 3, 130, 512, 701, 2048, 2049, 5003])
def test_one_row_and_a_large_matrix(n: int, lanes: int) -> None:
    """All that may follow the sums; k with and without a rest, n narrower and wider than a task."""
    rng = np.random.default_rng([n, lanes])
    for i, e in enumerate(EPILOGUES):
        c = [None, (), (n,), (1, n), (1, 1)][i % 5]
        k = large(n) // 8 * 8 + 8 + i % 3
        factors = {"alpha": 0.5, "beta": -1.25} if i % 2 else {}
        p = check(rng, (1, k), (k, n), c, e=e, lanes=lanes, threads=1 + i % 3, **factors)
        assert p.way == ("row" if n >= 128 else "plain")
    p = check(rng, (3, 1, large(n)), (3, large(n), n), (n,), lanes=lanes, threads=2)
    assert p.batches == 3
    check(rng, (1, large(n)), (large(n), n), (n,), dtype=np.float64, threads=2)


BATCHES = [
    ((2,), (2,)), ((3,), ()), ((), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((2, 1, 2), (3, 1)), ((1,), (1,)),
    ((2, 2, 3), (2, 1, 3)), ((0,), (0,)), ((0, 2), (1,)),
]  # fmt: skip


@pytest.mark.parametrize(("batch_a", "batch_b"), BATCHES)
@pytest.mark.parametrize("mnk", [(1, 1, 1), (1, 20, 9), (2, 20, 9), (20, 1, 9), (5, 40, 7), (33, 35, 20)])
@pytest.mark.parametrize("constant", [False, True])
def test_batches(batch_a: tuple[int, ...], batch_b: tuple[int, ...], mnk: tuple[int, ...], constant: bool) -> None:
    rng, (m, n, k) = np.random.default_rng(0), mnk
    trans = {"transA": bool(m % 2), "transB": bool(k % 2)}
    a, b = ((k, m) if trans["transA"] else (m, k)), ((n, k) if trans["transB"] else (k, n))
    for options in (trans, {}):
        tail_a, tail_b = (a, b) if options else ((m, k), (k, n))
        check(rng, (*batch_a, *tail_a), (*batch_b, *tail_b), (m, n), constant=constant, **options)
        check(rng, (*batch_a, *tail_a), (*batch_b, *tail_b), (n,), constant=constant, **options, e=EPILOGUES[4])


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    ("a", "b"), [((7,), (7,)), ((7,), (7, 9)), ((5, 7), (7,)), ((2, 5, 7), (7,)), ((7,), (2, 7, 9))]
)
def test_one_dimension(a: tuple[int, ...], b: tuple[int, ...], constant: bool) -> None:
    check(np.random.default_rng(1), a, b, constant=constant)


@pytest.mark.parametrize("mnk", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 4, 0), (40, 70, 0), (3, 1, 0), (0, 0, 0)])
@pytest.mark.parametrize("flags", range(8))
def test_empty(mnk: tuple[int, int, int], flags: int) -> None:
    (m, n, k), (transA, transB, constant) = mnk, (bool(flags >> i & 1) for i in range(3))
    a, b = (k, m) if transA else (m, k), (n, k) if transB else (k, n)
    check(np.random.default_rng(2), a, b, (n,), transA=transA, transB=transB, constant=constant, e=EPILOGUES[1])


@pytest.mark.parametrize("mnk", [(1, 9, 13), (3, 50, 31), (40, 70, 33), (9, 1, 6)])
@pytest.mark.parametrize("flags", range(8))
def test_float64(mnk: tuple[int, int, int], flags: int) -> None:
    (m, n, k), (transA, transB, constant) = mnk, (bool(flags >> i & 1) for i in range(3))
    a, b = (k, m) if transA else (m, k), (n, k) if transB else (k, n)
    check(np.random.default_rng(3), a, b, (m, 1), transA=transA, transB=transB, constant=constant, dtype=np.float64)


@pytest.mark.parametrize("transA", [False, True])
@pytest.mark.parametrize("mnk", [(30, 40, 9000), (61, 700, 2100), (1, 700, 9000), (3, 40, 9000)])
def test_blocks_of_k(mnk: tuple[int, int, int], transA: bool) -> None:
    """k in several blocks; sums start anew from what the block before has stored."""
    m, n, k = mnk
    for transB in (False, True):
        a, b = (k, m) if transA else (m, k), (n, k) if transB else (k, n)
        for e in (EPILOGUES[3], EPILOGUES[7]):
            check(np.random.default_rng(4), a, b, (n,), transA=transA, transB=transB, e=e, alpha=0.5, threads=2)


def large(n: int) -> int:
    """So many rows of n float32 numbers that they do not stay in the second-level cache."""
    return host().l2 // 2 // (4 * n) + 5


def products() -> list[tuple[Product, tuple[int, ...], tuple[int, ...]]]:
    """Every way, with tails in all directions."""
    made = []
    for m, n, k in ((1, 83, 37), (3, 83, 37), (45, 83, 37), (45, 9, 37), (45, 1, 37), (1, 700, large(700))):
        for flags in range(8):
            transA, transB, constant = (bool(flags >> i & 1) for i in range(3))
            a, b = (2, k, m) if transA else (2, m, k), (n, k) if transB else (k, n)
            b = b if constant else (2, *b)
            made.append((product(a, b, (n,), transA=transA, transB=transB, constant=constant), a, b))
    return made


def test_every_way_is_tried() -> None:
    assert {p.way for p, _, _ in products()} == {"panels", "plain", "row", "dot"}
    assert any(scratch_bytes(p) for p, _, _ in products())


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("lanes", [4, 16])
def test_touches_nothing_beside_its_buffers(lanes: int, before: bool) -> None:
    e = Epilogue("relu", residual="after")

    def beside(x: np.ndarray, align: int) -> np.ndarray:
        room = guarded(x.nbytes, align, before)
        room[:] = x.reshape(-1).view(np.uint8)
        return room

    def work() -> None:
        rng = np.random.default_rng(5)
        for p, a, b in products():
            p = gemm.replace(p, lanes=lanes)
            arrays = {A: numbers(rng, *a), B: numbers(rng, *b), C: numbers(rng, p.c[1] if not p.swapped else 1)}
            arrays[RESIDUAL] = arrays[Y] = np.zeros(p.batches * p.m * p.n, np.float32)
            rooms = {slot: beside(x, 4) for slot, x in arrays.items()}
            if p.constant:
                rooms[B] = beside(pack(p, arrays[B]), 64)
            if scratch_bytes(p):
                rooms[SCRATCH] = guarded(scratch_bytes(p), 64, before)
            program = Program(planned(p, e), {}, {}, 0, 6)
            program.run({slot: x.ctypes.data for slot, x in rooms.items()}, 1)
            assert np.isfinite(rooms[Y].view(np.float32)).all()

    assert survives(work)


def test_results_do_not_depend_on_threads_or_on_the_order_of_tasks() -> None:
    rng = np.random.default_rng(6)
    for p, a, b in [*products(), (product((300, 400), (400, 500), (500,)), (300, 400), (400, 500))]:
        arrays = {A: numbers(rng, *a), B: numbers(rng, *b), C: numbers(rng, max(p.c))}
        found = []
        for threads in (1, 2, 3):
            arrays[Y] = np.full(p.batches * p.m * p.n, np.nan, np.float32)
            run(p, arrays, threads=threads)
            found.append(arrays[Y])
        scratch, y = aligned(scratch_bytes(p)), np.full_like(found[0], np.nan)
        packed = pack(p, arrays[B]) if p.constant else arrays[B]
        places = (arrays[A], packed, y, arrays[C], y, scratch)
        slots = np.array([x.ctypes.data for x in places], np.int64)
        for step in planned(p):
            table, kernel = step.table(), call(step.kernel)
            for task in rng.permutation(step.tasks):
                kernel(table.ctypes.data, slots.ctypes.data, int(task))
        for other in (*found[1:], y):
            np.testing.assert_array_equal(found[0].view(np.int32), other.view(np.int32))


@pytest.mark.parametrize("m", [1, 3, 40])
@pytest.mark.parametrize("transB", [False, True])
def test_nan_and_infinity(m: int, transB: bool) -> None:
    """They reach the sums they belong to and no other."""
    rng = np.random.default_rng(7)
    a, b = numbers(rng, m, 19), numbers(rng, *((37, 19) if transB else (19, 37)))
    right = b.T if transB else b
    right[3, 5], right[7, 36], a[m - 1, 2] = np.nan, np.inf, -np.inf
    y = np.zeros((m, 37), np.float32)
    run(product(a.shape, b.shape, transB=transB), {A: a, B: b, Y: y}, Epilogue("relu"))
    with np.errstate(invalid="ignore"):
        want = np.maximum(a.astype(np.float64) @ right.astype(np.float64), 0)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(want))
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


def test_packed_weights_serve_any_number_of_rows() -> None:
    rng = np.random.default_rng(8)
    b = numbers(rng, 50, 70)
    packed = [pack(product((m, 50), (50, 70), constant=True), b) for m in (1, 5, 200)]
    for other in packed[1:]:
        np.testing.assert_array_equal(packed[0], other)


def test_tasks_suit_many_threads_where_there_is_work() -> None:
    def tasks(*shapes: tuple[int, ...], **options: bool) -> int:
        return planned(product(*shapes, **options))[-1].tasks

    assert tasks((1, 84), (84, 10)) == 1
    assert tasks((512, 512), (512, 512)) >= 32
    assert tasks((1, 4096), (4096, 4096), constant=True) >= 32
    assert tasks((1, 4096), (4096, 4096), transB=True) >= 32
    assert tasks((3136, 256), (256, 64), constant=True) >= 32


WRONG = [
    (((2, 3), (4, 5)), {}, "do not fit: sums over 3 and 4"),
    (((2, 3), (4, 5)), {"transB": True}, "sums over 3 and 5"),
    (((2, 2, 3), (3, 3, 4)), {}, "batches"),
    (((2, 3), (3, 4), (3,)), {}, "does not spread"),
    (((2, 3), (3, 4), (1, 2, 4)), {}, "does not spread"),
    (((2, 3), (3, 4)), {"dtype": np.float16}, "float16"),
]


@pytest.mark.parametrize(("shapes", "options", "words"), WRONG)
def test_what_does_not_fit(shapes: tuple[tuple[int, ...], ...], options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        product(*shapes, **options)  # type: ignore[arg-type]


def test_slots_go_with_the_product() -> None:
    p = product((40, 7), (7, 9), (9,), transB=False)
    with pytest.raises(ValueError, match="slots for C"):
        steps(p, A, B, Y)
    with pytest.raises(ValueError, match="slots for C"):
        steps(p, A, B, Y, c=C, epilogue=Epilogue(residual="after"))
    with pytest.raises(ValueError, match="scratch"):
        steps(p, A, B, Y, c=C)
