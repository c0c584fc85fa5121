"""Fields of edits that take what users write in many forms, and keep it in one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:
    from typing_extensions import dataclass_transform

T = TypeVar("T")
C = TypeVar("C")

REQUIRED: Any = object()
"""The default of a field that has none."""


class Kept(Generic[T]):
    """A field of a frozen dataclass that takes anything, and reads it when it is given.

    For type checkers what is given is Any and what is kept a T, so that ``mi.Zero("z", [0, 1]).layer`` is a tuple.

    Args:
        read: from the field's name and what was given to what is kept; raises `BadInput` for what it cannot read.
        default: as users would give it.

    Example:
        >>> @frozen()
        ... class Label:
        ...     text: Kept[str] = Kept(lambda name, given: f"{name} {given}", default="")
        >>> Label(text=7).text
        'text 7'
    """

    def __init__(self, read: Callable[[str, Any], T], default: Any = None) -> None:
        self.read, self.default = read, default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Any: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is not None:
            return vars(instance)[self.name]
        if self.default is REQUIRED:
            # A dataclass takes what the class gives for the default, and nothing for none.
            raise AttributeError(self.name)
        return self.default

    def __set__(self, instance: object, given: Any) -> None:
        # Frozen dataclasses set their fields past their own `__setattr__`, which lets nobody else come here.
        vars(instance)[self.name] = self.read(self.name, given)


@dataclass_transform(eq_default=False, kw_only_default=True)
def frozen(*, kw_only: bool = True) -> Callable[[type[C]], type[C]]:
    """Decorator: a frozen dataclass that compares as its base does, whose fields may be `Kept`.

    Type checkers are told of a plain one: of a frozen one mypy would take what is read of such a field for Any too.

    Args:
        kw_only: the class's own fields are given by name only.
    """
    return dataclass(frozen=True, eq=False, kw_only=kw_only)
