"""A marimo notebook with the widget shown as it is, and one whose selection feeds another cell."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    import mi_widgets as mi
    import tests.browser.hosts.plain_model as plain

    return mi, mo, plain


@app.cell
def _(mi, plain):
    mi.AttentionHeads(mi.load(), plain.CLEAN)
    return


@app.cell
def _(mi, mo, plain):
    heads = mo.ui.anywidget(mi.AttentionHeads(mi.load(), plain.CLEAN))
    heads  # noqa: B018 - a cell shows what it ends with
    return (heads,)


@app.cell
def _(heads, mo):
    mo.md(f"on the wire {heads.value['selection']}, in Python {heads.widget.selection}")
    return


if __name__ == "__main__":
    app.run()
