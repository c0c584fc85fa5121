"""The words that teach: one card for each control, by the name the page gives the control.

They travel once, with the widget's first message: a page has no sentences of its own to keep in step with the
definitions. A card is text, line by line; the last one may be the source. `reading` and `keys` fill the "?" card.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BENCH", "BOARD", "HEADS", "LENS", "SHARED", "SWEEP"]

_TOTAL = "Total effect: everything after it is computed again."

SHARED: Mapping[str, str] = {
    "clean": "The clean prompt as it is.",
    "corrupted": "The corrupted prompt as it is.",
    "edited": "The base prompt with the edits that are switched on.",
    "difference": "Clean minus corrupted, cell by cell: blue is more in clean, red is more in corrupted.",
    "base": "Where edited runs start: the clean or the corrupted prompt.",
    "metric": "How the answer is scored at the answer position.",
    "prompt": "Click to edit. Enter runs, Escape restores, Shift+Enter is a new line.",
    "answer": "The token whose logit counts for. Click to change; a space is typed as a space and shown as ␣. "
    "Empty asks for a guess.",
    "distractor": "The token whose logit counts against. Click to change. Empty asks for a guess.",
    "swap": "Swap answer and distractor: the metric changes its sign.",
    "no-distractor": "There is no distractor to swap with.",
    "shown prompt": "Which of the prompts is drawn; the metric stays the mean of all of them.",
    "no-model": "Made from arrays: there is no model to run.",
    "no-corrupted": "This needs a corrupted prompt: mi.Experiment(model, clean, corrupted).",
    "no-mean": "This picture has the tokens of one prompt on its axes: prompts of other words have no mean to draw.",
    "projector": "Larger type and stronger contrast, for talks.",
    "undo": "undo (Ctrl+Z)",
    "redo": "redo (Shift+Ctrl+Z)",
    "clear-edits": "Removes all edits; undo brings them back.",
    "toggle-edit": "click: on or off · Delete removes · Shift + arrows move",
    "table": "The same numbers as a table.",
    "waiting": "Another cell is running. This starts when the kernel is free.",
    "drafted": "prompt changed · Enter runs · Esc restores",
    "figure-saved": "the clipboard is closed to this page: the figure was downloaded instead",
    "reload": "Reload the page\nReload the page first.\n"
    "The kernel speaks a newer protocol than this page. Reload the page to go on.",
    "restarted": "The kernel was restarted\nThe kernel was restarted: run the cell again.\n"
    "The picture is from before. Run the cell again to go on.\nRun the cell again to go on.",
    "offline": "Opened without a kernel\nOpened without a kernel: rerunning needs one.\n"
    "Everything drawn can still be explored. Rerunning needs a kernel.\n"
    "Nothing was saved to draw. Run the cell to see it.",
    "question.set": "This question could not be asked",
    "edits.add": "This edit could not be added",
    "lens.cells": "These cells could not be computed",
    **{
        f"edits.{verb}": "The edits could not be changed"
        for verb in ("replace", "remove", "toggle", "move", "clear", "undo", "redo")
    },
}
"""Of the controls that every widget has. `reload`, `restarted` and `offline` are lines to the kernel on which nothing
can be asked: a title, why controls are off, what to do with a picture, and without one. Names of requests are what is
said where one failed."""

HEADS: Mapping[str, str] = {
    "heads.pattern": "This pattern could not be fetched",
    "heads.rank": "The heads could not be ranked",
    "heads.keep": "This edit could not be kept",
    "heads.random": "The scores on random tokens failed",
    "shown prompt": "Which of the prompts is drawn, or the mean over them where all have one length: each cell and "
    "score is a mean. The metric is always the mean of all of them.",
    "of-mean": "The mean over the prompts is shown, position by position. Where tokens differ the first is named, "
    "and how many others there are. Choose one prompt to edit it.",
    "other": "The clean prompt in the experiment that this one is compared with.",
    "against": "Clean minus the same run of the other experiment: blue is more here, red is more there.",
    "no-compare": "This needs another experiment: mi.AttentionHeads(exp, compare=other).",
    "other-shown": "The other experiment is shown, and this one is intervened on: show clean first.",
    "no-cell": "Pick a cell of the pattern: the edge it stands for is cut.",
    "no-values": "Made from arrays: there are no values to weigh by.",
    "two-heads": "A difference is of two heads: select exactly two.",
    "more-scores": "Scores on random tokens, and those of your own.",
    "attention": "How much each token (dest) takes from each source: A[dest, src], rows sum to 1.",
    "value": "The weight times the size of what is moved: A[dest, src] · ‖v[src] W_O‖, before any post-norm. "
    "Rows are not rescaled; the scale is this head's own.\nKobayashi et al. 2020",
    "hide-sink": "Many heads park their attention on the first token, which says little about them. Its column is left "
    "blank and its share is stated; nothing is rescaled.",
    "zoom-out": "zoom out (key −)",
    "zoom-in": "zoom in (key +; the wheel after a click)",
    "zoom-all": "show all tokens (key 0, double click)",
    "rank-cell": "Orders all heads by how strongly they attend from this token to that one.",
    "cut-cell": "Sets this score to −∞ before the softmax; the row's other weights share the rest. Total effect.",
    "intervene": "Change what the head does and see what the model answers (total effect).",
    "writes": "The tokens that the head's output promotes and suppresses (direct effect).",
    "zero": f"z ← 0 at every position: the head writes nothing.\n{_TOTAL}",
    "mean": "z ← its mean over unedited runs: what the head says on average, not what it says here.\n"
    f"{_TOTAL}\nWang et al. 2022",
    "resample": f"z ← the z of another prompt's run.\n{_TOTAL}",
    "knockout": "score[dest, src] ← −∞ before the softmax, for the cell that is picked: that edge is cut and the row's "
    f"other weights share the rest.\n{_TOTAL}\nGeva et al. 2023",
    "pattern": f"A[dest, :] ← the row you draw, used as given: it is not rescaled.\n{_TOTAL}",
    "row-here": "All of the row's attention goes to the source that is chosen.",
    "row-uniform": "Each source gets the same.",
    "row-first": "All of the row's attention goes to the first token.",
    "row-sum": "The weights are divided by their sum.",
    "row-own": "The row as the head has it.",
    "keep": "Adds this to the experiment's edits, which all its widgets share, and sets the base to this prompt.",
    "reading": "Row = the token that looks (dest), column = the token it looks at (src). All thumbnails share one "
    "scale, 0 to 1; a difference runs from −1 to 1. The part that the causal mask forbids has its own ground; hatched "
    "cells are not finite.",
    "keys": "arrows\tmove over heads, cells or tokens; Home, End and page keys go to the end\n"
    "Space\tlock the head, pick the cell, focus the token\n"
    "Shift + Space\tadd the head to the selection, or take it out; so does Shift + click\n"
    "Enter\tpick the head up to carry it to a patch board; on a cell or token: pick it\n"
    "Escape\tput back what is carried; clear the selection; in a text: restore it\n"
    "[ ]\tthe layer above, the layer below\n"
    "C E\tcompare with the other prompt or model; edited or unedited\n"
    "+ − 0\tlook closer at the pattern, further, at all of it; the wheel after a click, drag to pan\n"
    "A K R\tablate the head; knock out the picked cell; rank heads by it",
}

LENS: Mapping[str, str] = {
    "change": "Edited minus unedited, cell by cell: blue is more with the edits, red is less; the tokens are those of "
    "the edited run.",
    "residual": "The residual stream after each layer; input is the stream before the first.",
    "sublayers": "Adds the stream between attention and MLP, and what each of them adds to it: contributions, in "
    "logits on a diverging scale, never probabilities.",
    "plain": "The model's own final norm and unembedding, at every layer.",
    "tuned": "A trained translator comes before the final norm in each row but the last: what the layer's "
    "stream would become by the end.",
    "track-prob": "Probability of the token if the model stopped at that row.",
    "track-logit": "The token's logit at that row, softcap and scale included.",
    "track-rank": "How many tokens have a greater logit at that row: 0 is the top. Powers of ten, the best on top.",
    "direct-attribution": "What each part writes straight to the logit of the answer minus that of the distractor, "
    "past all later layers. Total effects are found by patching and ablation.",
    "no-answer": "Attribution needs an answer: click the answer chip in the header, or exp.ask(answer=' word').",
    "reading": "Each cell is what the model would say if it stopped there: the stream of that layer through the "
    "model's own final norm and unembedding. The last row is its output. Rows of attention and MLP "
    "are what they add, in logits. Hatched cells have no number; an amber row or strip stands for "
    "rows or positions that are folded.",
    "keys": "arrows\tmove over the cells; Home, End and page keys go to the ends\n"
    "Space\tselect the cell; on an amber row: open it\n"
    "Enter\topen an amber row; on a cell: pin its top token\n"
    "P\tpin the top token, or unpin it\n"
    "Escape\tclear the selection; in a text: restore it\n"
    "[ ]\tthe layer above, the layer below\n"
    "C E\tcompare with the unedited run, or clean with corrupted; edited or unedited",
}

SWEEP: Mapping[str, str] = {
    "sweep.start": "This part could not be run again",
    "no-model": "This is a finished map: there is no model to run.",
    "recovered": "How far an edit takes the answer from the corrupted run (0) to the clean one (1). It can lie beyond "
    "both.\n(run − corrupted) / (clean − corrupted), over prompts a ratio of means",
    "raw": "The metric of each edited run, as it is.",
    "change": "The metric of each edited run minus that of the base without it.",
    "patch": f"The cell takes its value from the other prompt's run.\n{_TOTAL}",
    "zero": f"The cell is set to 0.\n{_TOTAL}",
    "mean": f"The cell is set to its mean: over the prompts from 8 on, else over the prompt's own positions.\n{_TOTAL}"
    "\nWang et al. 2022",
    "on-top": "Every cell is one more edit under which the live edits stay on. The ends of the scale stay the unedited "
    "runs.",
    "estimate": "~ is an estimate: (source − base) · d metric / d site, from two forward passes and one backward. The "
    "exact run replaces it.\nNanda 2023; Syed et al. 2023",
    "exact": "Each exact cell is a run of its own with that one edit.",
    "same": "Hatched: both prompts have the same tokens up to there, so this edit cannot change anything.",
    "none": "There is no number here: the layer has no such site, the prompts do not pair here, or the run failed.",
    "stderr": "Standard error of the recovered share over the prompts.",
    "rerun": "Runs these cells again and lays them into the map.",
    "add-cell": "Adds this edit to the live edits, which all views of the experiment share.",
    "cancel-sweep": "Stops; the cells that were run stay, and the rest keep their estimates.",
    "reading": "Row = layer, column = position (or head): each cell is one edit, and its colour what it does to the "
    "answer: warm towards clean, blue away from it (of edits of the clean run, warm destroys). Hatched cells cannot "
    "differ; ~, or a smaller square, is an estimate; a dot marks an edit that is on the patch board.",
    "keys": "arrows\tmove over cells; Home, End and page keys go to the end\n"
    "Space\tselect the cell\n"
    "Enter\tadd its edit to the live edits\n"
    "Shift + arrows\tmark a rectangle, which Enter runs again; so does a brush\n"
    "R\trun the rectangle, or the cell, again\n"
    "Escape\tlet go of the rectangle; cancel the sweep; clear the selection\n"
    "[ ]\tthe layer above, the layer below\n"
    "E\tcells alone, or on top of the live edits",
}

BOARD: Mapping[str, str] = {
    "edits.add": "This patch could not be made",
    "no-flip": "Clean, corrupted and patched run are all in view.",
    "code.python": "The code could not be written",
    "runs.restore": "This run could not be restored",
    "residual": "Carries what a position holds after a layer: everything that later layers read there.\n"
    f"x ← x + α (s − x)\n{_TOTAL}",
    "attention": f"Carries what the attention of a layer adds at a position.\n{_TOTAL}",
    "mlp": f"Carries what the MLP of a layer adds at a position.\n{_TOTAL}",
    "z": f"Carries what one head gives, before its output projection.\n{_TOTAL}",
    "q": f"Carries the queries of one head: what it looks for.\n{_TOTAL}",
    "k": "Carries the keys of one head: what it is found by. Where heads share keys they are carried for all of these."
    f"\n{_TOTAL}",
    "v": "Carries the values of one head: what it hands on. Where heads share values they are carried for all of these."
    f"\n{_TOTAL}",
    "pattern": f"Carries where one head looks; the values stay those of the run.\n{_TOTAL}",
    "preview": "What would come of a drop here. Nothing is changed until it is dropped.",
    "cone": "Only the bright cells can change: attention looks back, so an edit acts at its position and behind it, "
    "from its layer on. A mark says that the top token is another one.",
    "strength": "α: how much of the source is taken. 1 replaces, 0 changes nothing.\nx ← x + α (s − x)",
    "recovered": "How far the run has come from the corrupted one (0) to the clean one (1). It can lie beyond both.\n"
    "(run − corrupted) / (clean − corrupted), over prompts a ratio of means",
    "destroyed": "On the clean prompt a run begins at 1 and falls: 1 − recovered is what the edits have destroyed.\n"
    "Heimersheim & Nanda 2024",
    "floor": "Differences below it mean nothing: two ways of running the same prompt differ by as much.",
    "stderr": "Standard error of the recovered share over the prompts.",
    "history": "The runs of this board, the newest last. Click one to put its edits back; undo leads back here.",
    "code": "A script of plain PyTorch and transformers that gives the same number.",
    "align": "How the positions of the two prompts pair. A cell that is dropped on a position of its own needs no "
    "partner.",
    "second prompt": "With one prompt activations move within it. Give a second one to compare with: type it here.",
    "post": "Row n is the stream after layer n.",
    "pre": "Row n is the stream before layer n.",
    "drag": "drag a cell from one run onto the other, or press Enter on one to pick it up",
    "drag-alone": "drag a cell to another position, or press Enter on one to pick it up",
    "drag-more": "drop another cell, or press Enter on one to pick it up",
    "carry-keys": "Tab to the other run · arrows move · Enter drops · Escape puts back",
    "main-keys": "Enter picks up and drops · Space picks · Ctrl+Z undoes · ? lists keys",
    "of-preview": "preview: let go to keep it",
    "of-map": "preview from the finished map",
    "of-estimate": "gradient estimate: the run follows",
    "of-patched": "The patched run is what comes out: pick something up from a prompt's own run.",
    "no-partner": "This position has no partner in the other prompt: choose a position of it.",
    "own-place": "put back: that is where it came from",
    "bright": "only the bright cells can change",
    "unpatched": "no patch yet: the unedited base",
    "no-run": "No run yet: drop a cell.",
    "unscored": "Nothing is scored yet: choose an answer.",
    "whose": "tokens of the prompt that is shown",
    "bad-strength": "The strength is a number from 0 to 1.",
    "copied": "copied: runs on its own and prints the number that is shown",
    "no-clipboard": "this page may not write to the clipboard: copy it from here",
    "reading": "Above, the two runs: row = layer, column = position, and in each cell what the model would say there. "
    "Drag a cell, a row (by its name), a column (by its heading) or a rectangle onto the other run: that run goes on "
    "with what was carried. Edits add up, and the patched run and its effect stand below.",
    "keys": "arrows\tmove over cells; Home, End and page keys go to the end\n"
    "Space\tselect the cell; with Shift and arrows a rectangle\n"
    "Enter\tpick up, and on another cell drop\n"
    "Tab\tthe other run, while carrying\n"
    "Escape\tput back what is carried; let go of the selection\n"
    "Delete\ton a patch: remove it; Shift + arrows move it\n"
    "Ctrl + Z\tundo; Shift + Ctrl + Z redoes",
}

BENCH: Mapping[str, str] = {
    "bench.show": "This view could not be opened",
    "heads": "Where every head looks, its scores, and what happens without it.",
    "lens": "What the model would say at every layer.",
    "board": "Carry activations from one run into another, and see the answer change.",
    "sweep": "The same edit in every cell: where in the model it matters.",
    "beside": "Two views side by side, or one.",
    "full-screen": "The workbench on the whole screen; Escape leaves it.",
    "reading": "All views are of one question: the prompts, the answer and the edits are the same in each, and what is "
    "hovered or selected in one is marked in the others.",
    "keys": "1 2 3 4\theads, lens, board, sweep\nShift + 1 2 3 4\tthe same in the second pane\nF\tfull screen",
}
