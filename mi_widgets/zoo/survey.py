"""Training one recipe from several seeds, keeping the best and the record of all.

Seeds differ more than recipes do, so a shipped checkpoint says what became of every seed that was tried.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from mi_widgets.zoo.train import Trained, one_thread, save, train

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mi_widgets.zoo.recipe import Recipe


def survey(recipe: Recipe, seeds: Sequence[int], folder: Path, show: bool = False) -> int:
    """Train every seed, write the best to `folder` with its model card.

    Args:
        recipe: What to train.
        seeds: The seeds, trained one after the other.
        folder: Written; each seed's own folder is `folder / "seeds" / str(seed)`, and only kept when
            there are several.
        show: Draw a progress bar.

    Returns:
        The seed whose `recipe.merit` is greatest.
    """
    rows: list[dict[str, Any]] = []
    merits: dict[int, float] = {}
    for seed in seeds:
        own = folder / "seeds" / str(seed)
        trained = _train_with_bar(recipe, seed) if show else train(recipe, seed)
        save(trained, own)
        with one_thread():
            figures = recipe.measure(own)
        merits[seed] = recipe.merit(figures)
        rows.append(
            {
                "seed": seed,
                "learned_at": learned_at(trained),
                **recipe.headline(figures),
            }
        )
    best = max(seeds, key=lambda seed: merits[seed])
    for file in sorted((folder / "seeds" / str(best)).iterdir()):
        shutil.copyfile(file, folder / file.name)
    record = {"seed": best, "steps": recipe.schedule.steps, "made_with": _versions(), "seeds": rows}
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    describe(recipe, folder)
    if len(seeds) == 1:
        shutil.rmtree(folder / "seeds")
    return best


def describe(recipe: Recipe, folder: Path) -> None:
    """Measure a folder and write `figures.json` and the model card `README.md` into it."""
    with one_thread():
        figures = recipe.measure(folder)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(recipe.card(figures, training), encoding="utf-8")


def learned_at(trained: Trained, level: float = 0.9) -> int | None:
    """The first step at which the score was `level` or more, or None if it never was."""
    return next((step for step, score in trained.scores if score >= level), None)


def _train_with_bar(recipe: Recipe, seed: int) -> Trained:
    from tqdm.auto import tqdm

    with tqdm(total=recipe.schedule.steps, desc=f"{recipe.name} seed {seed}", unit="step") as bar:

        def progress(done: int, _of: int, loss: float, score: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", score=f"{score:.3f}", refresh=False)
            bar.update(done - bar.n)

        return train(recipe, seed, progress=progress)


def _versions() -> dict[str, str]:
    import platform

    import torch
    import transformers

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
    }
