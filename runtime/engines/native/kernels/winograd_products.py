"""Winograd's convolution: machine code that transforms tiles of x, multiplies them by weights, and transforms back.

Tiles of all images are numbered row by row and cut into groups that fit a register tile: `tiles` of them, or one less.
With E = (m + 2)² elements of a transformed tile, and pairs of blocks of output channels:

    V[group][block of channels][element][tile][lanes]          transformed x; a part of the slot `scratch`
    U[pair][element][channel][2 · lanes]                       transformed weights; a last single block: [… lanes]
    P[pair][group][element][tile][2][lanes]                    products

Two ways to divide the work:

    all                          a task has a piece of `scratch` for the V of a batch of groups; then P of one pair at a
                                 time, on the stack, is computed and transformed back, all in the second-level cache
    input, products, inverse     three steps with V and P of everything in `scratch`; for few tiles with many channels.
                                 The products are divided by element and pair: each weight is read once
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial, reduce
from itertools import product
from typing import Literal

from ..emit import FLOAT, INT, INT32, Function, Value, Variable, vector
from ..program import Kernel
from .epilogues import Epilogue, Pooling, pooled_pair
from .frames import FRAME_FIELDS, zero_frame
from .winograd_transforms import emit_input, emit_output

__all__ = ["PLACES", "Spec", "Stage", "kernel"]

NO_EPILOGUE = Epilogue()
Stage = Literal["input", "products", "inverse", "all"]

GEOMETRY = ("groups", "tiles", "tiles_down", "tiles_along", "tasks", "blocks_in")
INPUT = ("x_origin", "x_image", "x_plane", "x_row")
PRODUCTS = ("channels", "pairs", "products", "w_pair", "w_element", "w_element_last")
PLACES = ("origin", "image", "plane", "row")
OUTPUT = (
    *("bias", "y", "residual", "blocks_out", "lanes_last", "height", "width"),
    *(f"{name}_{place}" for name in ("y", "residual") for place in PLACES),
    *FRAME_FIELDS,
)
FIELDS: dict[Stage, tuple[str, ...]] = {
    "input": ("x", "scratch", *GEOMETRY, *INPUT),
    "products": ("scratch", "weights", *GEOMETRY, *PRODUCTS),
    "inverse": ("scratch", *GEOMETRY, *PRODUCTS, *OUTPUT),
}
FIELDS["all"] = tuple(
    dict.fromkeys((*(name for stage in FIELDS.values() for name in stage), "batches", "scratch_task"))
)


@dataclass(frozen=True)
class Spec:
    """What the machine code is specialised for.

    Attributes:
        m: y is computed in tiles of m×m.
        tiles: of a group; `uneven`: are there groups of one tile less?
        together: groups of a batch.
        single: is the last block of output channels without a second one?
        ragged: has the last block lanes beyond the last channel?
        framed: has y a frame?
        pool: what follows the epilogue; m is even then.
    """

    stage: Stage
    lanes: int
    m: int
    tiles: int
    uneven: bool = False
    together: int = 1
    single: bool = False
    ragged: bool = False
    framed: bool = False
    epilogue: Epilogue = NO_EPILOGUE
    pool: Pooling = ""

    @property
    def name(self) -> str:
        flags = "".join(
            c for c, on in zip("usrf", (self.uneven, self.single, self.ragged, self.framed), strict=True) if on
        )
        shape = f"winograd{self.m}_{self.stage}_{self.lanes}_{self.tiles}_{flags}"
        return shape if self.stage == "input" else f"{shape}_{self.together}_{self.epilogue.name}{self.pool}"


@cache
def kernel(spec: Spec) -> Kernel:
    """The machine code."""
    f = Function(spec.name, FIELDS[spec.stage])
    writer = _Writer(f, spec)
    getattr(writer, spec.stage)()
    return Kernel.of(f)


@dataclass
class _Tile:
    """Where a tile lies: its image, row and column among tiles."""

    image: Value
    down: Value
    along: Value


class _Writer:
    """Fills the function of one kernel."""

    def __init__(self, f: Function, spec: Spec) -> None:
        self.f, self.spec = f, spec
        self.kind = vector(FLOAT, spec.lanes)
        self.size = self.kind.size
        self.edge = spec.m + 2
        self.elements = self.edge**2
        self.v_element, self.v_tile = spec.tiles * self.size, self.size
        self.v_block = self.elements * spec.tiles * self.size
        self.p_element = 2 * spec.tiles * self.size
        self.p_group = self.elements * self.p_element
        pointers = ("x", "scratch", "weights", "bias", "y", "residual")
        self.n = {name: f.number(name) for name in FIELDS[spec.stage] if name not in (*pointers, *FRAME_FIELDS)}
        self.v_group = self.n["blocks_in"] * self.v_block
        self.scratch = f.pointer("scratch")
        if "x" in f.fields:
            self.x = f.pointer("x") + self.n["x_origin"]
        if "weights" in f.fields:
            self.weights = f.pointer("weights")
        if "y" in f.fields:
            self.bias, self.y = f.pointer("bias"), f.pointer("y") + self.n["y_origin"]
            self.results = f.scratch(spec.m**2 * self.size)
            if spec.epilogue.residual:
                self.residual = f.pointer("residual") + self.n["residual_origin"]
        if "batches" in f.fields:
            self.kept = f.scratch(spec.together * self.p_group)

    # ---- tasks

    def share(self, count: Value) -> tuple[Value, Value]:
        """First and one after the last of `count` things for this task."""
        tasks, task = self.n["tasks"], self.f.task
        return task * count // tasks, (task + 1) * count // tasks

    def input(self) -> None:
        blocks = self.n["blocks_in"]
        with self.f.range(*self.share(self.n["groups"] * blocks)) as unit:
            group, block = unit // blocks, unit % blocks
            self.transform(group, block, self.scratch + group * self.v_group)

    def products(self) -> None:
        n = self.n
        with self.f.range(*self.share(n["pairs"] * self.elements)) as unit:
            element, pair = unit // n["pairs"], unit % n["pairs"]
            target = self.scratch + n["products"] + pair * n["groups"] * self.p_group
            self.multiply(pair, element, self.f.value(0, INT), n["groups"], self.scratch, target)

    def inverse(self) -> None:
        n = self.n
        with self.f.range(*self.share(n["pairs"] * n["groups"])) as unit:
            pair, group = unit // n["groups"], unit % n["groups"]
            self.transform_back(pair, group, self.scratch + n["products"] + unit * self.p_group)

    def all(self) -> None:
        f, n = self.f, self.n
        v = self.scratch + f.task * n["scratch_task"]
        with f.range(*self.share(n["batches"])) as batch:
            first, stop = batch * n["groups"] // n["batches"], (batch + 1) * n["groups"] // n["batches"]
            with f.range(first, stop) as group, f.range(n["blocks_in"]) as block:
                self.transform(group, block, v + (group - first) * self.v_group)
            with f.range(n["pairs"]) as pair:
                self.pass_groups(pair, first, stop, v + first * self.v_group * -1)

    # ---- tiles

    def bounds(self, group: Value) -> tuple[Value, Value]:
        """The tiles of a group."""
        tiles, groups = self.n["tiles"], self.n["groups"]
        return group * tiles // groups, (group + 1) * tiles // groups

    @contextmanager
    def each_tile(self, group: Value) -> Iterator[tuple[Value, _Tile]]:
        """The tiles of a group: their number in the group, and where they are."""
        f, (first, stop) = self.f, self.bounds(group)
        along, down = self.n["tiles_along"], self.n["tiles_down"]
        column, rest = f.variable(INT, first % along), first // along
        row, image = f.variable(INT, rest % down), f.variable(INT, rest // down)
        with f.range(stop - first) as t:
            place = _Tile(image.get(), row.get(), column.get())
            yield t, place
            one = f.value(1, INT)
            new_row = (place.along + 1).equals(along)
            column.set(f.select(new_row, f.value(0, INT), place.along + 1))
            next_row = place.down + f.select(new_row, one, 0)
            new_image = next_row.equals(down)
            row.set(f.select(new_image, f.value(0, INT), next_row))
            image.set(place.image + f.select(new_image, one, 0))

    # ---- x → V

    def transform(self, group: Value, block: Value, v_group: Value) -> None:
        f, n, edge, m = self.f, self.n, self.edge, self.spec.m
        x = self.x + block * n["x_plane"]
        target = v_group + block * self.v_block
        with self.each_tile(group) as (t, place):
            corner = x + (place.image * n["x_image"] + place.down * n["x_row"] * m + place.along * (m * self.size))
            rows = [corner + n["x_row"] * i for i in range(edge)]
            columns = [
                emit_input(f, m, [f.load(self.kind, row + j * self.size, self.size) for row in rows])
                for j in range(edge)
            ]
            there = target + t * self.v_tile
            for i in range(edge):
                for j, value in enumerate(emit_input(f, m, [column[i] for column in columns])):
                    f.store(value, there + (i * edge + j) * self.v_element, self.size)

    # ---- V → y

    def pass_groups(self, pair: Value, first: Value, stop: Value, v: Value) -> None:
        """One pair of blocks, the groups first … stop − 1, from V to y."""
        f = self.f
        with f.range(self.elements) as element:
            self.multiply(pair, element, first, stop, v, self.kept)
        with f.range(first, stop) as group:
            self.transform_back(pair, group, self.kept + (group - first) * self.p_group)

    def multiply(self, pair: Value, element: Value, first: Value, stop: Value, v: Value, target: Value) -> None:
        """One element and pair of blocks, the groups first … stop − 1."""
        f, channels = self.f, self.n["channels"]
        counts = (self.spec.tiles, self.spec.tiles - 1) if self.spec.uneven else (self.spec.tiles,)
        weights = self.weights + pair * self.n["w_pair"]
        for blocks, condition in self.widths(pair):
            with f.when(condition):
                u = weights + element * self.n["w_element" if blocks == 2 else "w_element_last"]
                share = f.value(blocks * self.size, INT) // (stop - first)
                with f.range(first, stop) as group:
                    ahead = u + channels * (blocks * self.size) + (group - first) * channels * share
                    low, high = self.bounds(group)
                    source = v + group * self.v_group + element * self.v_element
                    there = target + (group - first) * self.p_group + element * self.p_element
                    for count in counts:
                        with f.when((high - low).equals(count)):
                            self.product(count, blocks, source, u, there, ahead, share)

    def widths(self, pair: Value) -> list[tuple[int, Value]]:
        """How many blocks a pair may have, and when."""
        if not self.spec.single:
            return [(2, pair.equals(pair))]
        last = pair.equals(self.n["pairs"] - 1)
        return [(2, last.equals(0)), (1, last)]

    def product(self, tiles: int, blocks: int, v: Value, u: Value, target: Value, ahead: Value, share: Value) -> None:
        """products[tile, block] = Σ over channels of v[tile, channel]·u[channel, block].

        The weights that follow are asked for meanwhile, `share` bytes from `ahead` on with each channel: those of the
        next product, which mostly come from memory, if every group asks for its share.
        """
        f, n, lanes = self.f, self.n, self.spec.lanes
        cells = [(t, b) for t in range(tiles) for b in range(blocks)]
        sums: dict[tuple[int, int], Variable] = {cell: f.variable(self.kind, 0.0) for cell in cells}
        line, asked = f.variable(u.type, u), f.variable(u.type, ahead)
        with f.range(n["blocks_in"]) as block:
            source = v + block * self.v_block
            with f.range(f.minimum(n["channels"] - block * lanes, lanes)) as c:
                at = line.get()
                weights = [f.load(self.kind, at + b * self.size, self.size) for b in range(blocks)]
                for b in range(blocks):
                    f.prefetch(asked.get() + b * self.size, level=2)
                asked.set(asked.get() + share)
                line.set(at + blocks * self.size)
                spread = source + c * 4
                for t in range(tiles):
                    x = f.splat(f.load(FLOAT, spread + t * self.v_tile), lanes)
                    for b in range(blocks):
                        sums[t, b].set(f.fma(x, weights[b], sums[t, b].get()))
        for (t, b), total in sums.items():
            f.store(total.get(), target + (2 * t + b) * self.size, self.size)

    def transform_back(self, pair: Value, group: Value, products: Value) -> None:
        f, n = self.f, self.n
        first = pair * 2
        stop = f.minimum(first + 2, n["blocks_out"])
        with self.each_tile(group) as (t, place), f.range(first, stop) as block:
            source = products + t * (2 * self.size) + (block - first) * self.size
            self.write(place, block, self.inverted(source, block))

    def inverted(self, source: Value, block: Value) -> list[list[Value]]:
        """bias + Aᵀ P A: rows of registers."""
        f, m, edge = self.f, self.spec.m, self.edge
        columns = []
        for j in range(edge):
            places = [source + (i * edge + j) * self.p_element for i in range(edge)]
            columns.append(emit_output(f, m, [f.load(self.kind, p, self.size) for p in places]))
        bias = f.load(self.kind, self.bias + block * self.size, self.size)
        rows = [emit_output(f, m, [column[i] for column in columns]) for i in range(m)]
        return [[value + bias for value in row] for row in rows]

    def write(self, tile: _Tile, block: Value, rows: list[list[Value]]) -> None:
        """What exists of a tile, through the epilogue; the frame beside it if it is the last of its row.

        If it is pooled, windows of `edge`×`edge` positions become one of y.
        """
        f, n, m, spec = self.f, self.n, self.spec.m, self.spec
        i, j, edge = tile.down * m, tile.along * m, 2 if spec.pool else 1
        keep = self.keep(block) if spec.ragged else None
        plane = self.plane("y", self.y, tile.image, block)
        y = plane + (i // edge * n["y_row"] + j // edge * self.size)
        other = None
        if spec.epilogue.residual:
            other = self.plane("residual", self.residual, tile.image, block)
            other = other + (i * n["residual_row"] + j * self.size)

        def through(value: Value, row: Value, column: Value) -> Value:
            added = None
            if other is not None:
                added = f.load(self.kind, other + (row * n["residual_row"] + column * self.size), self.size)
            return spec.epilogue.emit(f, value, added)

        def finish(window: dict[tuple[int, int], Value], row: Value, column: Value) -> None:
            """Of values by their place in the window; `row` and `column` are of y, in the tile."""
            done = [through(v, row * edge + a, column * edge + b) for (a, b), v in window.items()]
            value = reduce(partial(pooled_pair, f, spec.pool), done)
            if spec.pool == "mean":
                value = value * (1 / len(window))
            if keep is not None:
                value = f.select(keep, value, 0.0)
            f.store(value, y + (row * n["y_row"] + column * self.size), self.size)

        height, width = (f.minimum(n[a] - b, m) for a, b in (("height", i), ("width", j)))
        whole = (height + width).equals(2 * m)
        places = list(product(range(edge), repeat=2))
        with f.when(whole):
            for a, b in product(range(m // edge), repeat=2):
                window = {(u, v): rows[a * edge + u][b * edge + v] for u, v in places}
                finish(window, f.value(a, INT), f.value(b, INT))
        with f.when(whole.equals(0)):
            for a, b in product(range(m), repeat=2):
                f.store(rows[a][b], self.results + (a * m + b) * self.size, self.size)
            with f.range(height // edge) as row, f.range(width // edge) as column:
                first = self.results + (row * m + column) * (edge * self.size)
                window = {(u, v): f.load(self.kind, first + (u * m + v) * self.size, self.size) for u, v in places}
                finish(window, row, column)
        if spec.framed:
            first, stop = i // edge, f.minimum(i // edge + m // edge, f.number("frame_height"))
            with f.when((tile.along + 1).equals(n["tiles_along"]) & (first < stop)):
                zero_frame(f, plane, spec.lanes, first, stop)

    def plane(self, name: str, origin: Value, image: Value, block: Value) -> Value:
        return origin + (image * self.n[f"{name}_image"] + block * self.n[f"{name}_plane"])

    def keep(self, block: Value) -> Value:
        """The lanes that are channels."""
        f, lanes = self.f, self.spec.lanes
        last = (block + 1).equals(self.n["blocks_out"])
        count = f.convert(f.select(last, self.n["lanes_last"], lanes), INT32)
        numbers = ", ".join(f"i32 {i}" for i in range(lanes))
        kind = vector(INT32, lanes)
        return Value(f, kind, f"<{numbers}>") < f.splat(count, lanes)
