"""`striate summary`"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..trainer import Model

__all__ = ["describe", "summary"]

FEW = 60
"""Graphs of fewer nodes are listed node by node."""
Key = Literal["macs", "memory", "params"]


def summary(
    model: Annotated[
        str, typer.Argument(help="An .onnx or .striate file, `pretrained:NAME`, or the name of an architecture.")
    ],
    nodes: Annotated[
        bool | None, typer.Option(help="List every node of an ONNX file. Default: if it has fewer than 60.")
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape", help="`NAME=1x3x224x224` fixes what an input leaves open; repeatable.", metavar="NAME=SHAPE"
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="The size of open first dimensions. Default: 1, figures per example.")
    ] = None,
    sort: Annotated[Key | None, typer.Option(help="List the nodes by this, largest first.")] = None,
    top: Annotated[int | None, typer.Option(min=1, help="List only so many nodes; the largest by MACs.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything to this file as JSON.", metavar="FILE")
    ] = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Of an architecture or .striate file: its ONNX graph, node by node.")
    ] = False,
    count: Annotated[
        bool,
        typer.Option(
            "--count",
            help="Of an architecture or .striate file: neurons, weights with and without sharing, connections, MACs, "
            "receptive field and stride of each layer.",
        ),
    ] = False,
) -> None:
    """Shows what is in a model and what it costs: shapes, parameters, multiply-accumulates, memory, receptive fields.

    Nothing is run. An ONNX file may hold operators that Striate cannot run, and its external weights may be missing.

    Examples:

        striate summary lenet5

        striate summary lenet5_1998 --count

        striate summary run/lenet5.striate --graph

        striate summary resnet50.onnx --top 10 --sort memory

        striate summary detector.onnx --shape image=1x3x640x640 --json detector.json
    """
    from ..runtime.errors import InvalidInput
    from .sources import checked_file, is_pretrained, load_model

    shapes = _shapes(shape or ())
    is_onnx = model.endswith(".onnx") or is_pretrained(model)
    if count and (graph or is_onnx):
        raise InvalidInput(f"{model}: layers are counted of an architecture or .striate file; leave out --count")
    if is_onnx:
        describe(checked_file(model), nodes=nodes, shapes=shapes, batch=batch, sort=sort, top=top, json_file=json_file)
        return
    wants_graph = shapes or nodes is not None or any(v is not None for v in (batch, sort, top, json_file))
    if wants_graph and not graph:
        raise InvalidInput(f"{model}: is no ONNX file; add --graph to see the nodes and costs of its graph")
    made = load_model(model)
    if graph:
        _describe_graph(made, nodes=nodes, shapes=shapes, batch=batch, sort=sort, top=top, json_file=json_file)
        return
    if count:
        _count(made)
    else:
        made.summary()
    _show_facts("Training", made.training_facts)


def describe(
    path: Path,
    *,
    nodes: bool | None = False,
    untrained: bool = False,
    name: str = "",
    shapes: dict[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    sort: Key | None = None,
    top: int | None = None,
    json_file: Path | None = None,
) -> None:
    """Prints what an ONNX file holds and what it costs, be it that Striate cannot run it.

    Args:
        nodes: whether to list every node; None: if there are few.
        untrained: say that the weights are only random numbers.
        name: what to call it instead of the path.
        shapes: input → shape; see `striate.runtime.cost.analyse`.
        batch: for open first dimensions.
        sort, top: which nodes are listed, and how many.
        json_file: where to write all of it.
    """
    from ..runtime import cost
    from .console import say, show
    from .tables import costs, facts_of, largest, node_table, printable, value_table

    model, problem = _read(path)
    report = cost.analyse(model, shapes, batch)
    header = {"file": f"{name or path}, {path.stat().st_size:,} bytes", **facts_of(model)}
    if untrained:
        header["weights"] = "untrained: random numbers"
    show(costs(header, report))
    if problem:
        say(f"Striate cannot run this model: {printable(problem)}", "yellow")
    for note in report.notes:
        say(f"note: {printable(note)}", "yellow")
    show(value_table(report))
    chosen = sort is not None or top is not None
    if nodes is not False and (nodes or chosen or len(model.graph) < FEW):
        _list(node_table(_chosen(report, sort, top), len(report.nodes)))
    elif len([n for n in report.nodes if n.macs and not n.inside]) > 1:
        show(largest(report))
    _show_facts("Metadata", model.metadata_props)
    if json_file is not None:
        _write(json_file, {"model": header, "problem": problem, "metadata": dict(model.metadata_props)}, report)


def _count(made: Model) -> None:
    """The layers as they are counted by hand."""
    from ..trainer.counting import count
    from .tables import count_table

    rows = count(made)
    _list([f"{made.name}", *count_table(rows)])
    trained = sum(row.trainable for row in rows)
    _show_facts("Weights", {"trainable": f"{trained:,}", "not trainable": f"{made.count_params() - trained:,}"})


def _describe_graph(made: Model, **options: Any) -> None:
    """Through the file that `striate export` would write."""
    from tempfile import TemporaryDirectory

    from ..exporter import export

    with TemporaryDirectory() as folder:
        path = export(made, Path(folder) / "graph.onnx")
        describe(path, name=f"{made.name} as ONNX", **options)


def _shapes(given: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`x=1x3x224x224` and the like, by input; names may hold `=`."""
    from ..runtime.errors import InvalidInput

    made: dict[str, tuple[int, ...]] = {}
    for text in given:
        name, _, size = text.rpartition("=")
        parts = [part.strip() for part in size.lower().replace("×", "x").replace(",", "x").split("x")]
        if not name or not all(part.isascii() and part.isdigit() and len(part) < 12 for part in parts):
            raise InvalidInput(f"--shape {text!r} does not fit; expected NAME=SHAPE such as x=1x3x224x224")
        if name in made:
            raise InvalidInput(f"--shape gives input {name!r} twice")
        made[name] = tuple(int(part) for part in parts)
    return made


def _chosen(report: Any, sort: Key | None, top: int | None) -> list[Any]:
    if sort is None and top is None:
        return list(report.nodes)
    by = {"macs": "macs", "memory": "bytes_out", "params": "parameters", None: "macs"}[sort]
    return list(report.largest(top or len(report.nodes), by))


def _read(path: Path) -> tuple[ir.Model, str]:
    """The model, and why Striate cannot run it, if so; weights in external files need not be there."""
    from ..runtime.errors import EmptyModel, InvalidModel, NotAModel, UnsupportedOperator
    from ..runtime.reader import DEFAULT_LIMITS, read

    try:
        return read(path), ""
    except (NotAModel, EmptyModel):
        raise
    except (InvalidModel, UnsupportedOperator) as error:
        import onnx
        import onnx_ir as ir

        from ..runtime.graph_checks import normalise

        try:
            proto = onnx.load(path, load_external_data=False)
            normalise(proto, repr(str(path)), DEFAULT_LIMITS)
            return ir.from_proto(proto), str(error)
        except Exception:
            raise error from None


def _list(lines: Sequence[str]) -> None:
    """Lines already as wide as the screen."""
    print("\n".join(lines))


def _show_facts(title: str, pairs: Any) -> None:
    from .console import facts, show
    from .tables import printable

    if pairs:
        show(facts(title, {printable(k): printable(_short(v)) for k, v in pairs.items()}))


def _write(path: Path, head: dict[str, Any], report: Any) -> None:
    from ..runtime.files import atomic_write

    content = {**head, **report.as_dict()}
    atomic_write(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape"))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
