"""The one hierarchy of errors.

Every message says which file, node or input, what was found, what was expected and what to do. Each class also derives
from the built-in exception a Python programmer would expect, so `except ValueError` works where it should.
"""

from __future__ import annotations

__all__ = [
    "EmptyModel",
    "InvalidGraph",
    "InvalidInput",
    "InvalidModel",
    "LimitExceeded",
    "MissingDependency",
    "ModelNotFound",
    "NonFiniteLoss",
    "NotAModel",
    "NotDifferentiable",
    "RunFailed",
    "StriateError",
    "UndefinedValue",
    "UnsupportedOperator",
]


class StriateError(Exception):
    """Base of all errors raised on purpose by Striate."""


class InvalidModel(StriateError, ValueError):
    """The file or bytes are not an ONNX model that can be trusted or understood."""


class NotAModel(InvalidModel):
    """The bytes cannot be parsed as an ONNX model: another format, truncated, or damaged."""


class EmptyModel(InvalidModel):
    """There is no graph in the model."""


class InvalidGraph(InvalidModel):
    """The model was read, but its graph contradicts the ONNX specification."""


class UndefinedValue(InvalidGraph):
    """A node reads a name that nothing in the graph defines."""


class ModelNotFound(StriateError, FileNotFoundError):
    """There is no file at the given path."""


class UnsupportedOperator(StriateError, NotImplementedError):
    """The model uses an operator, domain or opset that no engine here implements."""


class InvalidInput(StriateError, ValueError):
    """Data given to a model, layer or dataset does not fit: name, rank, shape, dtype or value."""


class LimitExceeded(StriateError, ValueError):
    """A model asks for more memory, depth or time than the limits allow."""


class RunFailed(StriateError, RuntimeError):
    """A node failed while running; the message names the node."""


class NotDifferentiable(StriateError, TypeError):
    """A gradient was asked for through an operator that has none."""


class NonFiniteLoss(StriateError, ArithmeticError):
    """The loss became NaN or infinite; the message names the step and the first node with a non-finite value."""


class MissingDependency(StriateError, ImportError):
    """An optional package is needed for this feature; the message says which extra installs it."""
