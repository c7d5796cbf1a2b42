"""`striate boost`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Batch, Data, Seed

__all__ = ["boost"]


def boost(
    model: Annotated[str, typer.Argument(help="A trained .striate file.")],
    data: Data = "digits",
    layer: Annotated[
        str | None, typer.Option(help="Whose output the trees look at. Default: what the last layer takes.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The .striate file to write. Default: NAME-boosted.striate.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Trees for each class.")] = 100,
    depth: Annotated[int, typer.Option(min=1, max=16, help="Of each tree, at most.")] = 4,
    learning_rate: Annotated[float, typer.Option(min=1e-4, max=1.0, help="Share of each tree that counts.")] = 0.3,
    batch_size: Batch = 256,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    seed: Seed = 0,
) -> None:
    """Replaces a network's last layer by gradient-boosted trees (XGBoost), trained on what that layer saw.

    The result is one model: `striate export` writes the network and its trees into one ONNX file.

    Examples:

        striate boost run/lenet5.striate --data digits --out run/boosted.striate

        striate export run/boosted.striate --out boosted.onnx
    """
    from ..runtime.errors import InvalidInput
    from ..trainer.boosting import boost as boosted
    from .console import facts, say, show
    from .labels import in_model_order
    from .sources import class_names, image_input, load_model, predictor
    from .status import status
    from .training import accuracy

    target = out or Path(model).with_name(f"{Path(model).stem}-boosted.striate")
    if target.suffix != ".striate":
        raise InvalidInput(f"cannot write {target}: expected the name of a .striate file")
    if target.exists() and not force:
        raise InvalidInput(f"{target}: is there already; choose another name with --out, or overwrite it with --force")
    made, ready = load_model(model), predictor(model)
    whole = ready.load(data, "train")
    whole = in_model_order(whole, class_names(made.training_facts), None, model)
    images = image_input(made.input_specs[0][1])
    x = images.arrange(whole.x) if images is not None and whole.x.ndim == 4 else whole.x
    with status("growing trees"):
        result = boosted(
            made, x, whole.y, layer=layer, rounds=rounds, max_depth=depth, learning_rate=learning_rate, seed=seed,
            batch_size=batch_size,
        )  # fmt: skip
    before = accuracy(ready.predict(whole.x, batch_size), whole.y, model)
    after = accuracy(result.predict(x, batch_size=batch_size)[0], whole.y, str(target))
    result.save(target)
    shown = {"data": f"{whole.name}: {len(whole):,} examples", "trees": f"{rounds * len(whole.classes):,}"}
    show(facts(f"Boosting {made.name}", {**shown, "accuracy on these": f"{before:.2%} before, {after:.2%} now"}))
    say(f"saved {target}; next: striate evaluate {target}")
