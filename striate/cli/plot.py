"""`striate plot`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Batch, Data, Device, Seed

__all__ = ["plot"]

plot = typer.Typer(
    name="plot",
    help="Draws kernels, feature maps, receptive fields, architectures, trainings, confusions and saliency.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Trained = Annotated[str, typer.Argument(help="A .striate or .onnx file, or `pretrained:NAME`.")]
Named = Annotated[
    str, typer.Argument(help="A .striate or .onnx file, `pretrained:NAME`, or the name of an architecture.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="A .png or .svg file.", metavar="FILE")]
Layer = Annotated[str | None, typer.Option(help="A convolution, by the name of its layer or node.", metavar="NAME")]
Image = Annotated[
    str | None,
    typer.Option(
        "--input",
        "-i",
        help="A picture, an .npy file, `china` or `flower` (photographs of scikit-learn), `digit` or `digit:N`. "
        "Default: china, or digit:7 for a model that takes grey images.",
        metavar="IMAGE",
    ),
]
Shapes = Annotated[
    list[str] | None,
    typer.Option("--shape", help="`NAME=1x3x224x224` fixes what an input leaves open; repeatable.", metavar="SHAPE"),
]


@plot.command()
def kernels(
    model: Trained,
    layer: Layer = None,
    out: Out = Path("kernels.png"),
) -> None:
    """The kernels of a convolution, of the first one unless --layer names another.

    Kernels over an RGB image are shown in its colours, others per input map. Where there are too many, those with the
    largest weights are shown.

    Examples:

        striate plot kernels run/lenet5.striate

        striate plot kernels resnet50.onnx --layer layer1.0.conv2 --out kernels.svg
    """
    from ..pictures.graphs import convolutions, find
    from ..pictures.kernels import draw_kernels
    from .plot_inputs import opened

    _target(out)
    source = opened(model)
    found = convolutions(source.graph())
    chosen = find(found, layer, source.name)[0]
    draw_kernels(out, chosen, source.name, colour=chosen is found[0])
    _done(out)


@plot.command()
def features(
    model: Trained,
    input: Image = None,
    layer: Layer = None,
    maps: Annotated[int | None, typer.Option(min=1, help="So many maps of each layer. Default: 10; of one 64.")] = None,
    layers: Annotated[int, typer.Option(min=1, help="So many layers, evenly chosen.")] = 12,
    out: Out = Path("features.png"),
) -> None:
    """The feature maps of all convolutions, or of one, for an image.

    Shown is what leaves the layer: behind its batch normalisation and activation. Of each layer the maps with most
    energy are shown.

    Examples:

        striate plot features run/lenet5.striate --input digit:3

        striate plot features squeezenet.onnx --input flower --layers 6

        striate plot features squeezenet.onnx --input cat.png --layer fire2/squeeze1x1
    """
    from ..pictures.features import draw_features, feature_maps, spread
    from ..pictures.graphs import convolutions, find
    from .plot_inputs import example, opened

    _target(out)
    source = opened(model)
    shown = example(source, input)
    graph = source.graph({source.input.name: shown.x.shape})
    found = convolutions(graph)
    chosen = spread(find(found, layer, source.name), layers)
    made = feature_maps(graph, chosen, {source.input.name: shown.x})
    draw_features(out, source.name, shown.image, chosen, made, len(found), maps)
    _done(out)


@plot.command("receptive-field")
def receptive_field(
    model: Named,
    input: Image = None,
    out: Out = Path("receptive-field.png"),
) -> None:
    """The part of the image that one unit of each layer sees, to scale, with sizes, strides and offsets.

    Drawn for the unit in the middle. Where branches meet, it is what all of them see together.

    Examples:

        striate plot receptive-field lenet5

        striate plot receptive-field resnet50.onnx --input flower --out field.svg
    """
    from ..pictures.receptive import draw_receptive, each, regions
    from ..pictures.style import shape_text
    from .console import grid, show
    from .plot_inputs import background, opened

    _target(out)
    source = opened(model, untrained=True)
    image, shapes = background(source, input)
    found = regions(source.graph(shapes), source.name)
    columns = {"layer": "left", "operator": "left", "output": "left"} | dict.fromkeys(
        ("size", "stride", "offset"), "right"
    )
    rows = [(r.name, r.operator, shape_text(r.shape), each(r.size), each(r.stride), each(r.offset)) for r in found]
    draw_receptive(out, source.name, image, found)
    show(grid("", columns, rows))
    _done(out)


@plot.command()
def architecture(
    model: Named,
    shape: Shapes = None,
    expand: Annotated[bool, typer.Option("--expand", help="Draw every repetition of repeated blocks.")] = False,
    out: Out = Path("architecture.png"),
) -> None:
    """The model as boxes, with output shapes and parameters.

    Activations and normalisations stand in the box of what they belong to. In large models blocks that repeat are
    drawn once, with their number; sizes that differ between them are given as a range.

    Examples:

        striate plot architecture lenet5

        striate plot architecture resnet50.onnx --out resnet50.svg

        striate plot architecture detector.onnx --shape image=1x3x640x640
    """
    from ..pictures.architecture import draw_architecture
    from .plot_inputs import opened, shapes_for

    _target(out)
    source = opened(model, untrained=True)
    draw_architecture(out, source.graph(shapes_for(source, shape or ())), source.name, expand)
    _done(out)


@plot.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders of trainings, or their history.csv files.")],
    out: Out = Path("curves.png"),
) -> None:
    """Loss, accuracy and learning rate of trainings; several are laid over one another.

    Examples:

        striate plot curves run

        striate plot curves sgd/ adam/ rmsprop/ --out optimizers.svg
    """
    from ..pictures.curves import draw_curves
    from .plot_inputs import course

    _target(out)
    draw_curves(out, [course(run) for run in runs])
    _done(out)


@plot.command()
def confusion(
    model: Trained,
    data: Data = "digits",
    part: Annotated[
        Literal["test", "train", "all"], typer.Option(help="Which part, where the data has parts of its own.")
    ] = "test",
    batch_size: Batch = 256,
    device: Device = "cpu",
    out: Out = Path("confusion.png"),
) -> None:
    """Which classes are taken for which, with precision and recall of each.

    Examples:

        striate plot confusion run/lenet5.striate --data digits

        striate plot confusion model.onnx --data fashion-mnist/ --out confusion.svg
    """
    from ..pictures.confusion import confusion as draw
    from .labels import in_model_order
    from .sources import predictor
    from .training import accuracy

    _target(out)
    ready = predictor(model, device)
    dataset = ready.load(data, None if part == "all" else part)
    outputs = ready.predict(dataset.x, batch_size)
    outputs = outputs.reshape(outputs.shape[:2]) if set(outputs.shape[2:]) == {1} else outputs
    count = outputs.shape[-1] if outputs.ndim == 2 else None
    dataset = in_model_order(dataset, ready.classes, count, ready.name)
    accuracy(outputs, dataset.y, model)
    names = [*dataset.classes, *(str(i) for i in range(len(dataset.classes), outputs.shape[1]))]
    draw(out, dataset.y, outputs.argmax(1), names, f"{Path(ready.name).stem} on {dataset.name}")
    _done(out)


@plot.command()
def saliency(
    model: Trained,
    input: Image = None,
    wanted: Annotated[
        str | None, typer.Option("--class", help="Its number or name. Default: the one with the highest score.")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=0, max=10_000, help="SmoothGrad: the mean over so many noisy copies of the image.")
    ] = 0,
    noise: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="Standard deviation of the noise, as a share of the image's range.")
    ] = 0.15,
    seed: Seed = 0,
    out: Out = Path("saliency.png"),
) -> None:
    """Which pixels a class's score depends on: its gradient with respect to the image.

    Examples:

        striate plot saliency run/lenet5.striate --input digit:3

        striate plot saliency resnet50.onnx --input cat.png --class 281 --samples 25
    """
    from ..pictures.saliency import Scores, draw_saliency
    from ..pictures.saliency import saliency as found_by
    from .plot_inputs import class_number, example, opened
    from .progress import progress

    _target(out)
    source = opened(model)
    shown = example(source, input)
    chosen = class_number(wanted, source.classes)
    scores = Scores(source.graph({source.input.name: shown.x.shape}), source.name)
    with progress("gradients") as update:
        found = found_by(
            scores, shown.x, shown.channels_first, chosen, samples=samples, noise=noise, seed=seed, progress=update
        )
    method = f"SmoothGrad over {samples} copies, noise {noise:.0%} of the range" if samples else "gradient at the image"
    draw_saliency(out, source.name, shown.image, found, source.classes, method, scores.before_softmax)
    _done(out)


def _target(out: Path) -> None:
    """Refuses what cannot be written before any work is done."""
    from ..pictures.style import picture_format
    from .writing import writable

    picture_format(out)
    writable(out)


def _done(out: Path) -> None:
    from .console import say

    say(f"wrote {out}")
