"""Quantised networks beside their float32 selves and onnxruntime: `python -m benchmarks.quantised`.

The light ResNet-50, SqueezeNet and Inception-v1 of the onnx package with random weights (see `inference`), and
MobileNet-v2: batch normalisations folded, then quantised by onnxruntime's own quantizer with random images, uint8
activations and int8 weights with a scale for each channel. Each network is measured in both forms on both engines.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import typer
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchmarks.inference import LIGHT, SIDES, light
from benchmarks.mobilenet import mobilenet_v2
from striate.bench import Trial, measure
from striate.bench.feeds import Inputs

NETWORKS = ("resnet50", "squeezenet", "inception_v1", "mobilenet_v2")
QUANTISED = [
    *("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Concat", "Reshape", "Flatten"),
]
"""All but Softmax, whose results of a thousand classes are all about zero."""
IMAGES = 2
OPSET = 13
"""The first with a scale for each channel."""


class Images(CalibrationDataReader):
    """Random images, from which the quantizer takes the ranges of activations."""

    def __init__(self, model: onnx.ModelProto) -> None:
        (value,) = model.graph.input
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        self.images: Iterator[dict[str, np.ndarray]] = (
            {value.name: np.random.default_rng(i).standard_normal(shape).astype(np.float32)} for i in range(IMAGES)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.images, None)


def float_model(name: str, target: Path) -> None:
    """Batch 1; batch normalisations folded; sums of two written as Add, which the quantizer knows."""
    data = mobilenet_v2() if name == "mobilenet_v2" else light(LIGHT / f"light_{name}.onnx")
    model = onnx.load_from_string(data)
    model.ir_version = max(model.ir_version, 8)
    constants = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    for node in model.graph.node:
        if node.op_type == "Sum" and len(node.input) == 2:
            node.op_type = "Add"
    if model.opset_import[0].version < OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options)


def quantised_model(source: Path, target: Path) -> None:
    """The model with QuantizeLinear and DequantizeLinear around what can be quantised."""
    logging.disable(logging.WARNING)  # it recommends a preparation that has been done
    quantize_static(
        str(source),
        str(target),
        Images(onnx.load(source)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=QUANTISED,
    )
    logging.disable(logging.NOTSET)


def medians(file: Path, threads: int, seconds: float) -> tuple[list[float], float]:
    """Milliseconds of ours and of onnxruntime, and the largest difference of an output ÷ its range."""
    feeds = Inputs.of(file).feeds({}, None, seed=1)
    sides: list[Any] = measure(Trial(file, feeds, threads, SIDES, seconds=seconds))
    for side in sides:
        if side.fault:
            raise typer.BadParameter(f"{file.name}: {side.side}: {side.fault}")
    return [side.median * 1e3 for side in sides], sides[1].difference


def main(
    only: Annotated[str, typer.Option(help="Networks whose name contains this.")] = "",
    threads: Annotated[int, typer.Option(help="How many may work on a run.")] = 1,
    seconds: Annotated[float, typer.Option(help="For the runs of each side of a trial.")] = 1.0,
) -> None:
    """Measure quantised networks on the native engine and onnxruntime."""
    headings = ("network", "int8 ms", "float ms", "float ÷ int8", "ort int8 ms", "ort ÷ int8", "int8 diff/range")
    print(" | ".join(headings))
    with tempfile.TemporaryDirectory(prefix="striate-quantised-") as folder:
        for name in (n for n in NETWORKS if only in n):
            plain, small = Path(folder, f"{name}.onnx"), Path(folder, f"{name}-int8.onnx")
            float_model(name, plain)
            quantised_model(plain, small)
            (ours, peer), difference = medians(small, threads, seconds)
            (wide, _), _ = medians(plain, threads, seconds)
            cells = (f"{ours:.3g}", f"{wide:.3g}", f"{wide / ours:.2f}", f"{peer:.3g}", f"{peer / ours:.2f}")
            print(" | ".join((name, *cells, f"{difference:.0e}")))


if __name__ == "__main__":
    typer.run(main)
