"""The workbench: views that share a question, are made when they are shown, and end with it."""

from __future__ import annotations

import gc
import json
import weakref

import pytest

import mi_widgets as mi
from mi_widgets.errors import BadInput
from mi_widgets.widgets import AttentionHeads, LogitLens, PatchBoard, PatchSweep
from tests.python.widgets.questions import CLEAN

LIMIT = 120
NAMES = ("heads", "lens", "board", "sweep")
KINDS = dict(zip(NAMES, (AttentionHeads, LogitLens, PatchBoard, PatchSweep), strict=True))


@pytest.fixture
def bench(page_of, exp):
    """The page of a workbench that opened with the heads, finished."""
    page = page_of(mi.Workbench(exp))
    page.widget.wait(LIMIT)
    page.exp = exp
    return page


def show(page, *names):
    return page.answer(page.request("bench.show", slot="show", panes=[{"name": name} for name in names])).content


def test_a_view_is_made_when_it_is_shown_and_no_earlier(bench):
    assert (tuple(bench.widget.views), bench.widget.panes) == (("heads",), ("heads",))
    reply = show(bench, "sweep", "lens")
    assert (reply["kind"], reply["data"]) == ("done", {"panes": ["sweep", "lens"]})
    assert (set(bench.widget.views), bench.widget.panes) == ({"heads", "sweep", "lens"}, ("sweep", "lens"))
    before = bench.widget.lens
    assert show(bench, "lens")["kind"] == "done"
    assert bench.widget.lens is before, "a view is made once"
    assert isinstance(bench.widget.board, PatchBoard), "asked for in Python, it is made too"
    assert bench.widget.panes == ("lens",)


def test_a_page_finds_the_models_of_the_views_and_no_second_front_end(bench):
    bench.widget.show("heads", "sweep")
    told = bench.states("views")[-1]
    assert told == {name: f"IPY_MODEL_{bench.widget.views[name].model_id}" for name in ("heads", "sweep")}
    assert bench.states("panes")[-1] == ["heads", "sweep"]
    for name, view in bench.widget.views.items():
        state = view.get_state()
        assert (state["_esm"], state["_css"]) == ("export default {};", "")
        assert isinstance(view, KINDS[name])
        assert type(view).__name__ == KINDS[name].__name__


def test_question_edits_and_selection_are_those_of_all_views(bench):
    bench.widget.show("lens", "sweep").wait(LIMIT)
    request = bench.request("question.set", slot="question", metric="prob", base_rev=bench.widget.question["rev"])
    assert bench.answer(request).content["kind"] == "done"
    bench.widget.wait(LIMIT)
    for view in (bench.widget, *bench.widget.views.values()):
        assert view.question["metric"] == "prob"
        view.selection = ["L1.resid_pre@10"]
        assert all(str(other.selection[0]) == "L1.resid_pre@10" for other in bench.widget.views.values())
        bench.widget.selection = []
    bench.exp.edits.extend([mi.Zero("z", 1, head=1)])
    bench.widget.wait(LIMIT)
    assert [len(view.question["edits"]) for view in bench.widget.views.values()] == [1, 1, 1]
    assert bench.widget.lens.lens["run"] == "edited"


def test_the_sweep_in_it_has_the_numbers_of_the_experiment(bench):
    bench.widget.show("sweep").wait(LIMIT)
    want = bench.exp.sweep("resid_pre", progress=False)
    assert bench.widget.result is bench.widget.sweep.result
    assert bench.widget.result.recovered.nan_to_num().equal(want.recovered.nan_to_num())


@pytest.mark.parametrize(
    "panes",
    [[], [{"name": "atlas"}], [{"name": "heads"}] * 3, "heads", [{"name": 3}], [{"name": "lens", "x": 1}], [[]]],
)
def test_bad_panes_are_refused_and_change_nothing(bench, panes):
    reply = bench.answer(bench.request("bench.show", slot="show", panes=panes)).content
    assert (reply["kind"], bench.widget.panes) == ("failed", ("heads",))
    assert reply["message"]


def test_names_that_are_no_views_get_words(exp):
    for names in ((), ("atlas",), NAMES[:3]):
        with pytest.raises(BadInput, match="view"):
            mi.Workbench(exp, show=names)
    with pytest.raises(BadInput, match="has no argument"):
        mi.Workbench(exp, views=["heads"])


def test_closing_closes_the_views_and_lets_go_of_them(page_of, exp):
    page = page_of(mi.Workbench(exp, show=("lens", "sweep")))
    page.widget.wait(LIMIT)
    views = [weakref.ref(view) for view in page.widget.views.values()]
    channels = [view()._channel for view in views]
    page.widget.close()
    assert all(view()._closed for view in views)
    assert not any(job for channel in channels for job in channel.jobs)
    with pytest.raises(BadInput, match="closed"):
        page.widget.show("heads")
    page.widget.close()
    gc.collect()


def test_what_is_saved_is_small_and_text_and_picture_are_those_of_the_views(bench):
    bench.widget.show(*NAMES[:2]).show("board", "sweep").wait(LIMIT)
    whole = sum(len(json.dumps(view.get_state(), default=lambda it: "x" * 4 * len(it)))
                for view in (bench.widget, *bench.widget.views.values()))  # fmt: skip
    assert whole < 2_000_000
    assert CLEAN[:20] in bench.widget.static_text()
    assert bench.widget.static_picture() == bench.widget.board.static_picture()
