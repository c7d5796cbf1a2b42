"""Pictures of models, trainings and predictions, drawn with matplotlib without a screen.

`style` is how all of them look; `graphs` brings a model of any kind into the form they are drawn from. One module per
kind holds both the numbers and their drawing: `kernels`, `features`, `receptive`, `architecture` (with `blocks` and
`layers`), `curves`, `confusion`, `saliency`.
"""

from __future__ import annotations

from .style import new_figure, save

__all__ = ["new_figure", "save"]
