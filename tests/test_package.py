"""The installed package: its stub matches the module, its types are shipped, and its command prints help and
version."""

import ast
import importlib.metadata
import importlib.resources
import inspect
import re
import subprocess
import sys

import pytest

import farrier
from farrier import _farrier
from process import COMMAND


def stub():
    return ast.parse(importlib.resources.files(farrier).joinpath("_farrier.pyi").read_text(encoding="utf-8"))


def stub_names(body):
    """Names that a module or a class of the stub declares; imported ones belong to others."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def module_names(module):
    machinery = {
        "__all__",
        "__builtins__",
        "__cached__",
        "__doc__",
        "__file__",
        "__loader__",
        "__name__",
        "__package__",
    }
    return set(vars(module)) - machinery - {"__path__", "__spec__"}


def run(*arguments):
    done = subprocess.run([*COMMAND, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b""), (arguments, done)
    return done.stdout.decode()


def test_the_stub_declares_exactly_what_the_module_has():
    assert set(stub_names(stub().body)) == module_names(_farrier)


def test_functions_have_the_parameters_that_the_stub_gives_them():
    functions = [node for node in stub().body if isinstance(node, ast.FunctionDef)]
    assert functions
    for function in functions:
        declared = [
            argument.arg for argument in function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        ]
        assert declared == list(inspect.signature(getattr(_farrier, function.name)).parameters), function.name


def test_variables_have_the_types_that_the_stub_gives_them():
    for node in stub().body:
        if isinstance(node, ast.AnnAssign):
            assert type(getattr(_farrier, node.target.id)).__name__ == ast.unparse(node.annotation)


def test_all_that_the_package_promises_is_there():
    for name in farrier.__all__:
        assert hasattr(farrier, name)


def test_the_package_changes_nothing_for_other_programs_of_its_environment():
    """No file is installed that every start of the interpreter reads, and no package but its own."""
    files = [str(file) for file in importlib.metadata.files("farrier")]
    assert not [file for file in files if file.endswith(".pth")]
    assert {file.split("/")[0] for file in files if not file.startswith("..")} == {
        "farrier",
        "farrier-%s.dist-info" % importlib.metadata.version("farrier"),
    }


@pytest.mark.parametrize("name", ["py.typed", "_farrier.pyi", "__init__.py", "__main__.py"])
def test_the_file_is_shipped(name):
    assert importlib.resources.files(farrier).joinpath(name).is_file()
    assert any(file.name == name for file in importlib.metadata.files("farrier"))


def test_both_licences_are_shipped():
    names = {file.name for file in importlib.metadata.files("farrier")}
    assert {"LICENSE-MIT", "LICENSE-APACHE"} <= names


def test_there_is_one_version():
    installed = importlib.metadata.version("farrier")
    assert farrier.__version__ == _farrier.__version__ == installed
    assert run("--version") == "farrier (version %s)\n" % installed


def test_the_package_runs_as_a_module():
    said = subprocess.run(
        [sys.executable, "-m", "farrier", "--version"], stdout=subprocess.PIPE, check=True, timeout=30
    )
    assert said.stdout.decode() == run("--version")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_every_flag_of_help(shell):
    script = run("--completions", shell)
    assert "farrier" in script
    flags = set(re.findall(r"--([a-z-]+)", run("--help")))
    assert len(flags) > 40
    known = set(re.findall(r"(?:--|-l )([a-z-]+)", script))
    assert not flags - known
