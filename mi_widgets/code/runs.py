"""The unedited runs that edits read, and the prompts they are runs of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..model.access import Key
from ..model.tokens import Tokens
from .places import keys_in_order
from .text import Varying, assigned, comment, quoted, site_name, site_names, unbroken


@dataclass
class _Run:
    """A run that is read: of which prompt, in which sites, and on what it depends."""

    prompt: str
    drawn: bool = False
    keys: list[Key] = field(default_factory=list)


@dataclass
class Runs:
    """What a script reads from unedited runs.

    Args:
        count: prompts of the experiment.

    Attributes:
        prompts: lines that define further prompts.
    """

    count: int
    prompts: list[str] = field(default_factory=list)
    runs: dict[str, _Run] = field(default_factory=dict)

    def ids(self, run: str) -> str:
        """The token ids of the prompt at hand of the clean or the corrupted run."""
        return run if self.count == 1 else f"{run}[p]"

    def of_named(self, run: str) -> str:
        """The values of the clean or the corrupted run."""
        self.runs.setdefault(f"{run}_run", _Run(self.ids(run)))
        return f"{run}_run"

    def of_prompts(self, mark: str, given: Sequence[Sequence[Tokens]], drawn: bool) -> str:
        """The values of a run of another prompt.

        Args:
            mark: tells edits apart.
            given: [prompt][draw] what is run.
            drawn: from a list of donors.
        """
        by_ids = {tokens.ids: tokens for row in given for tokens in row}
        if drawn:
            self.define(f"donors{mark}", list(by_ids.values()), "Prompts that are drawn from")
            places = {ids: i for i, ids in enumerate(by_ids)}
            which = Varying(tuple(tuple(places[tokens.ids] for tokens in row) for row in given))
            table, select = which.table()
            if select:
                self.prompts.append(assigned(f"drawn{mark}", table))
            prompt = f"donors{mark}[drawn{mark}{select}]" if select else f"donors{mark}[{table}]"
            value = f"donor_run{mark}"
        elif len(by_ids) == 1:
            self.define(f"other{mark}", next(iter(by_ids.values())), "Another prompt that is read")
            prompt, value, select = f"other{mark}", f"other_run{mark}", ""
        else:
            self.define(f"others{mark}", [row[0] for row in given], "Other prompts that are read")
            prompt, value, select = f"others{mark}[p]", f"other_run{mark}", ""
        self.runs[value] = _Run(prompt, drawn="[draw]" in select)
        return value

    def define(self, name: str, prompts: Tokens | Sequence[Tokens], what: str) -> None:
        """Prompts as token ids, with their texts."""
        self.prompts.append(prompt_lines(name, prompts, what))

    def reads(self, value: str, keys: Sequence[Key]) -> str:
        """Note which sites of a run are read, and say how the edit at hand names them."""
        self.runs[value].keys += keys
        return self.site(keys)

    def site(self, keys: Sequence[Key]) -> str:
        """The name of a single site; of several, the variable that holds it."""
        return quoted(site_name(*keys[0])) if len(keys) == 1 else "site"

    def lines(self, drawn: bool) -> list[str]:
        """The runs that are read, those that depend on the draw or the others."""
        return [
            unbroken(f"{value} = read(", f"{run.prompt}, [{names_of(run.keys)}]", ")")
            for value, run in self.runs.items()
            if run.drawn == drawn
        ]


def names_of(keys: Sequence[Key]) -> str:
    """Names of sites, as the items of a list."""
    by_kind: dict[str, list[int | None]] = {}
    for kind, layer in keys_in_order(keys):
        by_kind.setdefault(kind, []).append(layer)
    return ", ".join(site_names(kind, sorted(layers, key=lambda n: n or 0)) for kind, layers in by_kind.items())


def prompt_lines(name: str, prompts: Tokens | Sequence[Tokens], what: str = "") -> str:
    """Token ids under a name, their texts in a comment before them."""
    if isinstance(prompts, Tokens):
        text = repr(prompts.text)
        return f"{comment(f'{what}: {text}' if what else text)}\n{assigned(name, list(prompts.ids))}"
    rows = [f"{name} = ["]
    for tokens in prompts:
        rows.append(comment(repr(tokens.text), "    "))
        rows.append(_item(list(tokens.ids)))
    return "\n".join([*([comment(f"{what}.")] if what else []), *rows, "]  # fmt: skip"])


def _item(ids: list[int]) -> str:
    text = assigned("_", ids, "    ").removesuffix("  # fmt: skip")
    return f"    {text.removeprefix('    _ = ')},"
