"""The command line: a notebook is executed in a real kernel, and what goes wrong is said in one sentence."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from mi_widgets import cli
from mi_widgets.errors import BadInput


def notebook(path, *cells, tags=()):
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    content.cells[-1].metadata["tags"] = list(tags)
    content.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(content, path)
    return path


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    for name in ("HOME", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))


def test_demo_prints_what_the_summary_cell_printed_and_writes_the_executed_notebook(tmp_path, capsys, own_home):
    source = notebook(tmp_path / "n.ipynb", "x = 6 * 7", "print('found', x)", tags=["summary"])
    assert cli.main(["demo", "--notebook", str(source), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    executed = tmp_path / "out" / "n.ipynb"
    assert "found 42" in printed
    assert str(executed) in printed
    content = nbformat.read(executed, as_version=4)
    assert content.cells[1].outputs[0].text == "found 42\n"
    assert NotebookNotary().check_signature(content)


def test_a_failing_cell_fails_the_demo_and_names_the_error(tmp_path, capsys, own_home):
    source = notebook(tmp_path / "n.ipynb", "1 / 0", tags=["summary"])
    assert cli.main(["demo", "--notebook", str(source), "--out", str(tmp_path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_notebook_without_a_summary_fails(tmp_path, own_home):
    source = notebook(tmp_path / "n.ipynb", "print('nobody asked')")
    with pytest.raises(BadInput, match="no cell tagged 'summary'"):
        cli.summary_of(cli.execute(source))


def test_a_missing_notebook_is_said_plainly(tmp_path, capsys):
    assert cli.main(["demo", "--notebook", str(tmp_path / "none.ipynb")]) == 1
    assert "is not there" in capsys.readouterr().err


def test_doctor_names_parts_sites_and_versions(capsys):
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for word in ("tiny-names", "4 layers", "resid_mid", "pattern @ v is attention's output", "transformers"):
        assert word in printed


def test_doctor_says_when_there_is_no_such_model(tmp_path, capsys):
    assert cli.main(["doctor", str(tmp_path / "nothing")]) == 1
    assert "tiny-names" in capsys.readouterr().err


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--fast"])
    assert "unrecognized" in capsys.readouterr().err


def test_demo_opens_jupyterlab_only_for_somebody_at_a_terminal(tmp_path, monkeypatch, own_home):
    source = notebook(tmp_path / "n.ipynb", "print('found')", tags=["summary"])
    opened = []
    monkeypatch.setattr(cli, "open_lab", opened.append)
    arguments = ["demo", "--notebook", str(source), "--out", str(tmp_path / "out")]
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert cli.main(arguments) == 0
    assert opened == []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert cli.main(arguments) == 0
    assert opened == [tmp_path / "out" / "n.ipynb"]
    monkeypatch.setenv("CI", "true")
    assert cli.main(arguments) == 0
    assert len(opened) == 1


def test_a_jupyterlab_that_does_not_start_fails_the_demo(tmp_path, monkeypatch):
    class Failed:
        returncode = 1

    monkeypatch.setattr(cli.subprocess, "run", lambda command, check: Failed)
    with pytest.raises(BadInput, match="exit code 1"):
        cli.open_lab(tmp_path / "n.ipynb")
