"""The live list of edits that all views of an experiment show, with undo and redo of everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
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


class EditList:
    """A list of edits; every change is one undo step. Several threads may change it.

    Args:
        check: called with an edit before it enters; raises on one that cannot run.
        changed: called after each change.

    Example:
        >>> import mi_widgets as mi
        >>> exp = mi.Experiment(mi.load(), "Mary went to the", answer=" store")
        >>> exp.edits.add(mi.Zero("z", 1, head=2))
        0
        >>> exp.edits.undo(), len(exp.edits)
        (True, 0)
    """

    def __init__(self, check: Callable[[Edit], None], changed: Callable[[], None]) -> None:
        self._check, self._changed = check, changed
        # Never held while an edit is checked or observers run: both may wait for the model's worker.
        self._lock = threading.Lock()
        self._now: Entries = ()
        self._past: list[Entries] = []
        self._future: list[Entries] = []

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

    def add(self, edit: Edit) -> int:
        """Append an edit; returns its index.

        Raises:
            BadInput, SiteUnavailable: it cannot run on this experiment; nothing is changed.
        """
        self._check(edit)
        return len(self._set(lambda now: (*now, Entry(edit)))) - 1

    def remove(self, i: int) -> None:
        """Take an edit out."""

        def without(now: Entries) -> Entries:
            at = _at(i, now)
            return now[:at] + now[at + 1 :]

        self._set(without)

    def replace(self, i: int, edit: Edit) -> None:
        """Put another edit in the same place, switched as it was."""
        self._check(edit)
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
            self._check(entry.edit)
        self._set(lambda now: _with(now, i, Entry(entry.edit, not entry.on)))
        return not entry.on

    def recheck(self) -> None:
        """Switch edits off that cannot run any more, each marked with the reason, in one undo step."""
        now = self._now
        off = {id(old): new for old, new in zip(now, self._able(now), strict=True) if new is not old}
        if off:
            self._set(lambda now: tuple(off.get(id(entry), entry) for entry in now))

    def restore(self, entries: Entries) -> None:
        """Put in what was saved, in one undo step; what cannot run is switched off and marked with the reason."""
        able = self._able(entries)
        if able:
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

    def _able(self, entries: Entries) -> Entries:
        """The same entries, but those that are on and cannot run are off, with the reason."""

        def able(entry: Entry) -> Entry:
            try:
                if entry.on:
                    self._check(entry.edit)
            except MiWidgetsError as problem:
                return replace(entry, on=False, note=str(problem))
            return entry

        return tuple(able(entry) for entry in entries)

    def _set(self, change: Callable[[Entries], Entries]) -> Entries:
        with self._lock:
            new = change(self._now)
            self._past.append(self._now)
            self._future.clear()
            self._now = new
        self._changed()
        return new

    def _step(self, back: list[Entries], forth: list[Entries]) -> bool:
        with self._lock:
            if not back:
                return False
            forth.append(self._now)
            stepped = self._now = back.pop()
        able = self._able(stepped)
        with self._lock:
            if self._now is stepped:
                self._now = able
        self._changed()
        return True


def _at(i: int, entries: Entries) -> int:
    if isinstance(i, bool) or not isinstance(i, int) or not -len(entries) <= i < len(entries):
        last = f"Use 0 to {len(entries) - 1}." if entries else "Add one first."
        raise BadInput(f"There is no edit {i!r}: the list has {len(entries)}.", hint=last)
    return i % len(entries)


def _with(entries: Entries, i: int, entry: Entry) -> Entries:
    at = _at(i, entries)
    return (*entries[:at], entry, *entries[at + 1 :])
