"""What a page may ask for: ops of a widget, their checked parameters, and what a handler hands back."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mi_widgets.errors import BadInput
from mi_widgets.jobs import Priority, Scheduler
from mi_widgets.widgets.arrays import Array

__all__ = ["Op", "Params", "Part", "Reply", "Task", "op", "ops_of"]

LONGEST_TEXT = 200_000
_MARK = "_mi_op"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Op:
    """One thing a page may ask for.

    Attributes:
        name: `noun.verb`.
        slot: in which a newer request of the same client supersedes an older one.
        priority: of its job.
        method: name of the widget's method that handles it.
    """

    name: str
    slot: str | None
    priority: Priority
    method: str


@dataclass(frozen=True)
class Part:
    """Content of a partial reply."""

    data: Mapping[str, Any]
    arrays: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """Content of a final reply, computed for revision `rev` of the question."""

    rev: int
    data: Mapping[str, Any]
    arrays: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Work for the model's worker, and how to tell the page about it.

    Attributes:
        work: the job's generator.
        done: makes the reply from what the generator returned; runs on the worker.
        part: makes one partial reply from the values yielded since the last one; None = progress only.
        size: bytes that a yielded value will take on the wire.
        scheduler: on whose worker it runs; None = that of the experiment's model.
        whole: whether all that is streamed comes once more at the end, whole: what is quick is not streamed then.
    """

    work: Generator[Any, None, Any]
    done: Callable[[Any], Reply]
    part: Callable[[Sequence[Any]], Part] | None = None
    size: Callable[[Any], int] = lambda value: 0
    scheduler: Scheduler | None = None
    whole: bool = False


def op(name: str, *, slot: str | None = None, priority: Priority = Priority.FETCH) -> Callable[[F], F]:
    """Marks a widget's method as the handler of an op.

    The method takes `Params`, checks them against the experiment, and returns a `Task` or a `Reply`. It runs while
    the widget's lock is held, perhaps on the thread that handles all widget messages: it never computes.
    """

    def mark(method: F) -> F:
        setattr(method, _MARK, Op(name, slot, priority, method.__name__))
        return method

    return mark


def ops_of(widget_class: type) -> dict[str, Op]:
    """The ops of a widget class, its base classes' included."""
    found: dict[str, Op] = {}
    for base in reversed(widget_class.__mro__):
        for member in vars(base).values():
            marked = getattr(member, _MARK, None)
            if isinstance(marked, Op):
                found[marked.name] = marked
    return found


class Params:
    """Parameters of a request, untrusted: each is checked when it is read, and `end` refuses what was not read.

    Args:
        given: what the page sent.
        about: the op, for messages.
    """

    def __init__(self, given: Mapping[str, Any], about: str) -> None:
        self._given = dict(given)
        self._unread = set(self._given)
        self._about = about

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def _take(self, name: str) -> Any:
        if name not in self._given:
            raise self._bad(name, "is missing")
        self._unread.discard(name)
        return self._given[name]

    def _bad(self, name: str, what: str) -> BadInput:
        return BadInput(f"{self._about}: {name} {what}.", hint="Reload the page; it may be older than the kernel.")

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number, low <= n <= high."""
        return self._integer(name, self._take(name), low, high)

    def given(self, name: str) -> bool:
        """Whether there is such a parameter, and it is not null; one that is null counts as read."""
        if self._given.get(name) is not None:
            return True
        self._unread.discard(name)
        return False

    def flag(self, name: str) -> bool:
        """True or false; false when it is left out."""
        if name not in self._given:
            return False
        value = self._take(name)
        if not isinstance(value, bool):
            raise self._bad(name, f"must be true or false, not {_short(value)}")
        return value

    def ignore(self, *names: str) -> None:
        """Passes over parameters that mean nothing here, whatever they hold."""
        self._unread.difference_update(names)

    def _integer(self, name: str, value: Any, low: int, high: int) -> int:
        # JSON true is a Python int; 3.0 is not a whole number someone meant as an index.
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._bad(name, f"must be a whole number, not {_short(value)}")
        if not low <= value <= high:
            raise self._bad(name, f"is {_short(value)}, outside {low} to {high}")
        return value

    def revision(self, name: str = "base_rev") -> int:
        """A revision of the question."""
        return self.integer(name, 0, 2**53)

    def number(self, name: str) -> float:
        """A finite number."""
        return self._number(name, self._take(name))

    def _number(self, name: str, value: Any) -> float:
        try:
            finite = not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise self._bad(name, f"must be a finite number, not {_short(value)}")
        return float(value)

    def shares(self, name: str, count: int) -> tuple[float, ...]:
        """A list of exactly `count` numbers that are finite and not negative."""
        found = [
            self._number(f"{name}[{i}]", v) for i, v in enumerate(self._items(name, self._take(name), count, count))
        ]
        for i, value in enumerate(found):
            if value < 0:
                raise self._bad(f"{name}[{i}]", f"must not be negative, and is {value:g}")
        return tuple(found)

    def text(self, name: str, longest: int = LONGEST_TEXT) -> str:
        """Text that can be encoded, at most `longest` characters."""
        value = self._take(name)
        if not isinstance(value, str):
            raise self._bad(name, f"must be text, not {_short(value)}")
        if len(value) > longest:
            raise self._bad(name, f"has {len(value)} characters; at most {longest} are taken")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise self._bad(name, "holds half of a surrogate pair, which is no character") from None
        return value

    def text_or_none(self, name: str, longest: int = LONGEST_TEXT) -> str | None:
        """Text, or null."""
        if self._given.get(name, "") is None:
            self._unread.discard(name)
            return None
        return self.text(name, longest)

    def choice(self, name: str, options: Sequence[str]) -> str:
        """One of `options`."""
        value = self._take(name)
        if not isinstance(value, str) or value not in options:
            raise self._bad(name, f"must be one of {', '.join(options)}, not {_short(value)}")
        return value

    def span(self, name: str, length: int) -> tuple[int, int]:
        """A half-open range [low, high) inside 0..length, not empty."""
        low, high = self._items(name, self._take(name), 2, 2)
        start = self._integer(f"{name}[0]", low, 0, length - 1)
        return start, self._integer(f"{name}[1]", high, start + 1, length)

    def integers(self, name: str, most: int, high: int) -> tuple[int, ...]:
        """Up to `most` whole numbers from 0 to `high`; at least one, none twice."""
        given = self._items(name, self._take(name), 1, most)
        found = tuple(self._integer(f"{name}[{i}]", value, 0, high) for i, value in enumerate(given))
        twice = next((value for i, value in enumerate(found) if value in found[:i]), None)
        if twice is not None:
            raise self._bad(name, f"names {twice} twice")
        return found

    def pairs(self, name: str, most: int, highs: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """Up to `most` pairs of whole numbers, each from 0 to `highs`; at least one, none twice."""
        found = []
        for i, item in enumerate(self._items(name, self._take(name), 1, most)):
            first, second = self._items(f"{name}[{i}]", item, 2, 2)
            pair = (
                self._integer(f"{name}[{i}][0]", first, 0, highs[0]),
                self._integer(f"{name}[{i}][1]", second, 0, highs[1]),
            )
            if pair in found:
                raise self._bad(name, f"names {list(pair)} twice")
            found.append(pair)
        return tuple(found)

    def places(self, name: str, most: int, low: int, high: int) -> tuple[int, ...]:
        """Up to `most` whole numbers from `low` to `high` as they come; at least one, and some may come twice."""
        given = self._items(name, self._take(name), 1, most)
        return tuple(self._integer(f"{name}[{i}]", value, low, high) for i, value in enumerate(given))

    def each(self, name: str, most: int, least: int = 1) -> tuple[Params, ...]:
        """A list of `least` to `most` objects, each to be read, and ended, like the parameters themselves."""
        given = self._items(name, self._take(name), least, most)
        for i, item in enumerate(given):
            if not isinstance(item, dict):
                raise self._bad(f"{name}[{i}]", f"must be an object, not {_short(item)}")
        return tuple(Params(item, f"{self._about}: {name}[{i}]") for i, item in enumerate(given))

    def inner(self, name: str) -> Params:
        """An object, to be read, and ended, like the parameters themselves."""
        value = self._take(name)
        if not isinstance(value, dict):
            raise self._bad(name, f"must be an object, not {_short(value)}")
        return Params(value, f"{self._about}: {name}")

    def _items(self, name: str, value: Any, least: int, most: int) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            many = str(least) if least == most else f"{least} to {most}"
            raise self._bad(name, f"must be a list of {many} entries, not {_short(value)}")
        return value

    def end(self) -> None:
        """Raises unless every parameter was read."""
        if self._unread:
            raise BadInput(
                f"{self._about} does not know {', '.join(sorted(map(_short, self._unread)))}.",
                hint="Reload the page; it may be of another version than the kernel.",
            )


def _short(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
