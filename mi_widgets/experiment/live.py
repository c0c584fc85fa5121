"""`LiveQuestion`: what is asked of a model right now, who may change it, and who is told."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

from ..errors import BadInput
from ..interventions.baselines import Baselines, baseline_steps, still_true
from ..interventions.capture import Captures
from ..interventions.draws import draws_of
from ..interventions.edits import Edit, edits_of
from ..interventions.metrics import Answer, Metric
from ..interventions.question import Question
from ..interventions.rerun import visitors_of
from ..interventions.sequences import Sequence as AnswerSequence
from ..jobs import Priority, Scheduler
from ..model.alignment import turned_round
from ..model.batches import Batch
from ..model.handle import Model
from ..model.stamp import Change
from ..results import Progress, SweepResult
from .asking import Asked, question_of, warnings_of
from .edit_list import EditList
from .history import Runs
from .news import News
from .observers import Observers
from .runs import Steps, guess_steps
from .selecting import Selecting
from .worker import scheduler_of

T = TypeVar("T")


LOOK_AGAIN = 2.0
"""Seconds after which the unedited runs are compared with their cache once more."""

KEPT_BASELINES = 4
"""Questions whose unedited runs are kept measured."""


class _Keep:
    """Marks an argument of `ask` that was left out, since None asks for a guess."""

    def __repr__(self) -> str:
        return "KEEP"


KEEP = _Keep()


def _kept(given: Any, old: Answer | None) -> Any:
    """What is asked of an answer: the given one, or else the old one; None for one that was guessed."""
    if given is not KEEP:
        return given
    if old is None or old.guessed:
        return None
    if old.sequences is not None:
        return [AnswerSequence(ids) for ids in old.sequences]
    return list(old.ids) if len(old.ids) > 1 else old.ids[0]


_serial = itertools.count(1)


class LiveQuestion(Selecting):
    """A question that changes: prompts, answer direction, metric, base, edits, selection, and its observers.

    `Experiment` adds the answers; the arguments are explained there.

    Attributes:
        runs: the runs of the live list, the newest last.
    """

    def __init__(
        self,
        model: Model,
        clean: Any,
        corrupted: Any = None,
        answer: Any = None,
        distractor: Any = None,
        metric: str | Metric = "logit_diff",
        base: str | None = None,
        *,
        align: str | Mapping[int, int] | None = None,
        answer_position: Any = -1,
        positions: Any = None,
        bos: bool | None = None,
    ) -> None:
        if not isinstance(model, Model):
            raise BadInput(
                f"The first argument is a Model, not {type(model).__name__}.",
                hint="Use mi.load() or mi.wrap(hf_model, tokenizer).",
            )
        self.model = model
        self.id = f"exp-{next(_serial)}-{uuid.uuid4().hex[:8]}"
        self._bos = bos
        self._observers = Observers()
        self._news = News(model)
        # Held only to count a change: never while the model runs or observers are called.
        self._lock = threading.Lock()
        self._asks = 0
        self._captures = Captures()
        self.runs = Runs()
        self._warned = False
        # Of the last few questions, the newest last: previews on the other base leave those of the live one alone.
        self._baselines: OrderedDict[Hashable, Baselines] = OrderedDict()
        self._edited: tuple[tuple[Any, ...], float] | None = None
        self._looked: tuple[Any, float] = (None, 0.0)
        self._shown_prompt = 0
        self._looks = 0
        # Finished maps of unedited bases, the newest last; see `Sweeps`.
        self._maps: OrderedDict[tuple[Any, Any], SweepResult] = OrderedDict()
        self.edits = EditList(
            self._check_edit, lambda: self._changed("edits"), lambda: self.base, lambda base: self.ask(base=base)
        )
        asked = Asked(clean, corrupted, answer, distractor, metric, base, answer_position, positions)
        self._question = self._asked(asked, align, rev=1)
        # Pairs that were given one by one, as (base, pairs): views offer them beside the other ways.
        self._pairs = (self.base, align) if isinstance(align, Mapping) else None
        model.observe(self._model_changed)
        # Where the user wrote the question. A change from a browser is answered there, in the widget.
        for sentence in warnings_of(self._question):
            warnings.warn(sentence, stacklevel=2)

    def __reduce__(self) -> NoReturn:
        raise BadInput(
            "An experiment cannot be copied or pickled: it is bound to its model, its worker and its views.",
            hint="Make another one with the same arguments, and add the same edits.",
        )

    # What is asked

    @property
    def rev(self) -> int:
        """Revision of the question; rises with every change of prompts, answer, metric, base or edits."""
        return self._question.rev

    @property
    def scheduler(self) -> Scheduler:
        """The model's scheduler, on whose worker everything here runs."""
        return scheduler_of(self.model)

    @property
    def base(self) -> str:
        """Where edited runs start: "corrupted" or "clean"."""
        return self._question.base

    @base.setter
    def base(self, value: str) -> None:
        self.ask(base=value)

    @property
    def metric(self) -> str:
        """Name of the metric; of a callable its ``__name__``."""
        return self._question.metric

    @property
    def positions(self) -> dict[str, tuple[int, ...]]:
        """Named positions: one per prompt, counted from 0 in the clean prompt's own tokens."""
        return dict(self._question.clean.names)

    @property
    def answer(self) -> Answer | None:
        """The answer, as token ids and text for each prompt."""
        return self._question.answer

    @property
    def distractor(self) -> Answer | None:
        """The wrong answer, or None."""
        return self._question.distractor

    def prompt(self, run: str = "clean") -> Batch:
        """The tokenised prompts of a run."""
        return self._question.batch(run)

    def snapshot(self, edits: Iterable[Edit] | Edit | None = None, base: str | None = None) -> Question:
        """The question as it is now, frozen; what jobs take.

        Args:
            edits: in place of the live list; () = none.
            base: in place of the live base.
        """
        now = replace(self._question, edits=self.edits.enabled if edits is None else edits_of(edits))
        if base is None or base == now.base:
            return now
        if base not in ("clean", "corrupted"):
            raise BadInput(f"base is 'clean' or 'corrupted', not {base!r}.", hint="None = the live base.")
        now.batch(base)
        return replace(now, base=base, align=turned_round(now.align))

    @property
    def pairs(self) -> Mapping[int, int] | None:
        """The pairs of positions that were given one by one, for the live base; None when none were."""
        if self._pairs is None:
            return None
        base, pairs = self._pairs
        found = pairs if base == self.base else turned_round(pairs)
        assert isinstance(found, Mapping)
        return found

    def ask(
        self,
        *,
        clean: Any = KEEP,
        corrupted: Any = KEEP,
        answer: Any = KEEP,
        distractor: Any = KEEP,
        metric: str | Metric | None = None,
        base: str | None = None,
        positions: Any = KEEP,
        align: Any = KEEP,
    ) -> int:
        """Change the question; everything is checked first, and a bad value changes nothing.

        Live edits that cannot run on the new question stay in the list, switched off and marked with the reason.

        Args:
            clean, corrupted: prompts; corrupted=None takes it away.
            answer, distractor: as in the constructor; None asks for a guess (of the distractor: none, unless the answer
                is guessed too).
            metric, base: as in the constructor.
            positions: as in the constructor. Left out they are kept while the prompts keep their lengths.
            align: as in the constructor, for the base that it is asked with.

        Returns:
            The new revision.
        """
        settled = False
        while not settled:
            asks, now = self._asks, self._question
            new_corrupted = now.corrupted if corrupted is KEEP else corrupted
            default_base = now.base if new_corrupted is not None else None
            asked = self._asked(
                Asked(
                    clean=now.clean if clean is KEEP else clean,
                    corrupted=new_corrupted,
                    answer=_kept(answer, now.answer),
                    distractor=_kept(distractor, now.distractor),
                    metric=now.metric if metric is None else metric,
                    base=default_base if base is None else base,
                    answer_position=now.answer_position,
                    positions=now.clean if positions is KEEP else positions,
                    custom=now.custom,
                    dropped=now.dropped if clean is KEEP else (),
                ),
                self._aligned(now, align, asked_base=default_base if base is None else base),
                rev=now.rev,
                together=answer is not KEEP and distractor is not KEEP,
            )
            with self._lock:
                # When another thread has asked meanwhile, this change is laid over what it asked. Edits only count.
                settled = self._asks == asks
                if settled:
                    self._asks += 1
                    self._question = replace(asked, rev=self._question.rev + 1)
                    if isinstance(align, Mapping):
                        self._pairs = (asked.base, align)
        self._news.forget()
        # Before anybody is told: an edited run of edits that no longer fit would fail.
        self.edits.recheck()
        self._observers.notify("question")
        return self.rev

    def _aligned(self, now: Question, align: Any, asked_base: str | None) -> Any:
        """How positions pair for a base: as is asked, or as they did."""
        if align is not KEEP:
            return align
        return turned_round(now.align) if asked_base not in (None, now.base) else now.align

    def _asked(self, asked: Asked, align: str | Mapping[int, int] | None, rev: int, together: bool = True) -> Question:
        question = question_of(
            self.model,
            asked,
            align=align,
            bos=self._bos,
            rev=rev,
            captures=self._captures,
            together=together,
        )
        if question.answer is None:
            question = self._work(guess_steps(question, self._look), "question.guess")
        return question

    def _check_edit(self, edit: Edit, base: str | None = None) -> None:
        """Raise when an edit cannot run on the question, with another base if one is given.

        Runs nothing but the captures a patch reads.
        """
        if not isinstance(edit, Edit):
            raise BadInput(
                f"An edit is Patch, Zero, ..., not {type(edit).__name__}.",
                hint="For example mi.Zero('z', 1, head=2).",
            )
        asked = self.snapshot(edits=(), base=base)

        def steps() -> Generator[Progress, None, None]:
            yield Progress(0, 1)
            self.model.refresh()
            batch, sources = asked.batch(asked.base), asked.sources()
            for edits in draws_of([edit], len(batch)):
                visitors_of(self.model, batch, edits, asked.base, sources)

        self._work(steps(), "edits.check")

    def _warn_once(self, sentences: Sequence[str]) -> None:
        """Warn whoever called the public call of the first sentence, unless this experiment has warned before."""
        if sentences and not self._warned:
            self._warned = True
            warnings.warn(sentences[0], stacklevel=3)

    def _changed(self, topic: str) -> None:
        with self._lock:
            self._question = replace(self._question, rev=self._question.rev + 1)
        self._observers.notify(topic)

    # Views

    def observe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with "question", "edits" or "selection" after each change; returns a function that stops it.

        Bound methods are held weakly. What an observer raises is logged and does not reach the caller.
        """
        return self._observers.add(callback)

    # On the worker

    def _work(self, steps: Generator[Any, None, T], op: str, priority: Priority = Priority.RUN) -> T:
        return self.scheduler.run(self._news.told(steps), priority=priority, op=op)

    def _fetch(self, find: Callable[[], T], op: str) -> T:
        """One step on the worker, after a look at the user's model."""
        question = self.snapshot()

        def steps() -> Steps[T]:
            yield Progress(0, 1)
            yield from self._look(question)
            return find()

        return self._work(steps(), op, Priority.FETCH)

    def _fresh(self, question: Question) -> Steps[Baselines]:
        """Baselines of a question, measured anew when the question or the user's model has changed."""
        yield from self._look(question)
        key = self.named(question)
        known = self._baselines.get(key)
        if known is not None:
            return known
        measured = yield from baseline_steps(question)
        self._baselines[key] = measured
        while len(self._baselines) > KEPT_BASELINES:
            self._baselines.popitem(last=False)
        return measured

    def _look(self, question: Question) -> Steps[None]:
        """See whether the user's model has changed; who follows it is told, and caches are dropped.

        What a sample of the weights cannot show (a few numbers written through ``p.data``) a forward pass does, which
        is done again once the last one is `LOOK_AGAIN` seconds old; each time where weights do not tell everything.
        The prompts take turns: what only one of them meets is an expert nobody else asks, at most.
        """
        self.model.refresh()
        if not self.model.same_weights(question.tokens):
            self.model.edited()
        prompts = (question.clean.key, question.corrupted.key if question.corrupted is not None else None)
        lately = prompts == self._looked[0] and time.monotonic() - self._looked[1] < LOOK_AGAIN
        if lately and not self.model.opaque:
            return
        self._looks += 1
        runs = question.unedited
        for run in runs if self.model.opaque else [runs[self._looks % len(runs)]]:
            if not still_true(question, run):
                self._captures.clear()
                self._baselines.clear()
                # Edited weights give the new numbers again; something random gives others each time.
                self.model.edited(steady=still_true(question, run))
            yield
        self._looked = (prompts, time.monotonic())

    def _model_changed(self, change: Change) -> None:
        """Called by the model, on its worker."""
        self._captures.clear()
        self._baselines.clear()
        self._news.hear(change)
        self._changed("question")

    def named(self, question: Question) -> Hashable:
        """The name of what is asked, its edits aside: the same edits give the same run while it stays the same."""
        return self.model.generation, question.key
