"""The live list of edits that all views of an experiment show, with undo and redo of everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import BadInput, MiWidgetsError
from ..interventions.edits import Edit


@dataclass(frozen=True)
class Entry:
    """An edit and whether it is switched on.

    Attributes:
        note: why it was switched off by itself, or "".
    """

    edit: Edit
    on: bool = True
    note: str = ""


Entries = tuple[Entry, ...]

OTHER_BASE = "It was made on the {} prompt; switch it on to use it here."


@dataclass(frozen=True)
class Step:
    """A state to go back to.

    Attributes:
        entries: of the list.
        base: the base they were on, where the change that left it also changed the base; None = leave the base.
    """

    entries: Entries
    base: str | None = None


class EditList:
    """A list of edits; every change is one undo step. Several threads may change it.

    Args:
        check: called with an edit before it enters, and with the base it is for (None = the live one); raises on one
            that cannot run.
        changed: called after each change.
        base: gives the live base.
        rebase: sets the base, and tells everybody.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(), "Mary went to the", answer=" store")
        >>> exp.edits.add(mi.Zero("z", 1, head=2))
        0
        >>> exp.edits.undo(), len(exp.edits)
        (True, 0)
    """

    def __init__(
        self,
        check: Callable[[Edit, str | None], None],
        changed: Callable[[], None],
        base: Callable[[], str],
        rebase: Callable[[str], object],
    ) -> None:
        self._check, self._changed = check, changed
        self._base, self._rebase = base, rebase
        # Never held while an edit is checked or observers run: both may wait for the model's worker.
        self._lock = threading.Lock()
        self._now: Entries = ()
        self._past: list[Step] = []
        self._future: list[Step] = []

    def __len__(self) -> int:
        return len(self._now)

    def __iter__(self) -> Iterator[Edit]:
        return (entry.edit for entry in self._now)

    def __getitem__(self, i: int) -> Edit:
        now = self._now
        return now[_at(i, now)].edit

    def __repr__(self) -> str:
        rows = [f"  {i} {'on ' if e.on else 'off'} {e.edit}" for i, e in enumerate(self._now)]
        return "\n".join(["edits:", *rows]) if rows else "no edits"

    @property
    def entries(self) -> Entries:
        """All edits with their switches."""
        return self._now

    @property
    def enabled(self) -> tuple[Edit, ...]:
        """The edits that are switched on, in order."""
        return tuple(entry.edit for entry in self._now if entry.on)

    @property
    def history(self) -> dict[str, bool]:
        """Whether there is something to undo, and to redo: {"undo", "redo"}."""
        return {"undo": bool(self._past), "redo": bool(self._future)}

    def add(self, edit: Edit) -> int:
        """Append an edit; returns its index.

        Raises:
            BadInput, SiteUnavailable: it cannot run on this experiment; nothing is changed.
        """
        self._check(edit, None)
        return len(self._set(lambda now: (*now, Entry(edit)))) - 1

    def extend(self, edits: Sequence[Edit], base: str | None = None) -> None:
        """Append several edits, and set the base they are for, in one undo step.

        Edits of the list that were made on another base stay, switched off and marked.

        Args:
            edits: one or more.
            base: "clean" or "corrupted"; None = the live one.

        Raises:
            BadInput, SiteUnavailable: one of them cannot run on that base; nothing is changed.
        """
        for edit in edits:
            self._check(edit, base)
        old = self._base()
        new = tuple(Entry(edit) for edit in edits)
        if base is None or base == old:
            self._set(lambda now: (*now, *new))
        else:
            note = OTHER_BASE.format(old)
            off = tuple(replace(entry, on=False, note=note) if entry.on else entry for entry in self._now)
            self._future.clear()
            self._go(Step((*off, *new), base), self._past)

    def remove(self, i: int) -> None:
        """Take an edit out."""

        def without(now: Entries) -> Entries:
            at = _at(i, now)
            return now[:at] + now[at + 1 :]

        self._set(without)

    def replace(self, i: int, edit: Edit) -> None:
        """Put another edit in the same place, switched as it was."""
        self._check(edit, None)
        self._set(lambda now: _with(now, i, Entry(edit, now[_at(i, now)].on)))

    def move(self, i: int, j: int) -> None:
        """Move the edit at i so that it stands at j."""

        def moved(now: Entries) -> Entries:
            rest, to = list(now), _at(j, now)
            rest.insert(to, rest.pop(_at(i, now)))
            return tuple(rest)

        self._set(moved)

    def toggle(self, i: int) -> bool:
        """Switch an edit on or off; returns whether it is on now.

        Raises:
            BadInput, SiteUnavailable: it is off and cannot run on this experiment; it stays off.
        """
        now = self._now
        entry = now[_at(i, now)]
        if not entry.on:
            self._check(entry.edit, None)
        self._set(lambda now: _with(now, i, Entry(entry.edit, not entry.on)))
        return not entry.on

    def recheck(self) -> None:
        """Switch edits off that cannot run any more, each marked with the reason, in one undo step."""
        now = self._now
        off = {id(old): new for old, new in zip(now, self._able(now), strict=True) if new is not old}
        if off:
            self._set(lambda now: tuple(off.get(id(entry), entry) for entry in now))

    def restore(self, entries: Entries, base: str | None = None) -> None:
        """Put in what was saved, in one undo step; what cannot run is switched off and marked with the reason.

        Args:
            entries: in place of the list.
            base: that they are for; None = the live one.
        """
        able = self._able(entries, base)
        if base is not None and base != self._base():
            self._future.clear()
            self._go(Step(able, base), self._past)
        elif able:
            self._set(lambda now: able)

    def clear(self) -> None:
        """Take all edits out, in one undo step."""
        if self._now:
            self._set(lambda now: ())

    def undo(self) -> bool:
        """Take the last change back; False when there is none. What cannot run any more comes back switched off."""
        return self._step(self._past, self._future)

    def redo(self) -> bool:
        """Do again what was undone last; False when there is nothing."""
        return self._step(self._future, self._past)

    def _able(self, entries: Entries, base: str | None = None) -> Entries:
        """The same entries, but those that are on and cannot run are off, with the reason."""

        def able(entry: Entry) -> Entry:
            try:
                if entry.on:
                    self._check(entry.edit, base)
            except MiWidgetsError as problem:
                return replace(entry, on=False, note=str(problem))
            return entry

        return tuple(able(entry) for entry in entries)

    def _set(self, change: Callable[[Entries], Entries]) -> Entries:
        with self._lock:
            new = change(self._now)
            self._past.append(Step(self._now))
            self._future.clear()
            self._now = new
        self._changed()
        return new

    def _step(self, back: list[Step], forth: list[Step]) -> bool:
        with self._lock:
            if not back:
                return False
            step = back.pop()
        self._go(replace(step, entries=self._able(step.entries, step.base)), forth)
        return True

    def _go(self, step: Step, leaving: list[Step]) -> None:
        """Takes a state over, its base included; the one that is left goes on the list `leaving`."""
        base = None if step.base is None else self._base()
        with self._lock:
            leaving.append(Step(self._now, base))
            self._now = step.entries
        if step.base is None or step.base == base:
            self._changed()
            return
        try:
            # Last: whoever is told of the new base finds the edits that belong to it.
            self._rebase(step.base)
        except MiWidgetsError:
            # The prompt has been taken away since; the edits made on it are off, each with that reason.
            self._changed()


def _at(i: int, entries: Entries) -> int:
    if isinstance(i, bool) or not isinstance(i, int) or not -len(entries) <= i < len(entries):
        last = f"Use 0 to {len(entries) - 1}." if entries else "Add one first."
        raise BadInput(f"There is no edit {i!r}: the list has {len(entries)}.", hint=last)
    return i % len(entries)


def _with(entries: Entries, i: int, entry: Entry) -> Entries:
    at = _at(i, entries)
    return (*entries[:at], entry, *entries[at + 1 :])
