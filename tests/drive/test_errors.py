"""Errors say in one line what is wrong and what to do."""

import inspect

import pytest

from drive import errors
from drive.errors import DriveError, InputError, MissingExtraError, UnknownNameError


def test_every_error_has_the_common_base():
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]
    assert len(classes) >= 9
    assert all(issubclass(c, DriveError) and c.__doc__ for c in classes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pmd", "unknown planner 'pmd'; did you mean 'pdm'? (known: constant, idm, pdm)"),
        ("zzzz", "unknown planner 'zzzz' (known: constant, idm, pdm)"),
    ],
)
def test_unknown_names_suggest_the_nearest(name, expected):
    error = UnknownNameError("planner", name, ["pdm", "idm", "constant"])
    assert str(error) == expected
    assert isinstance(error, InputError)
    assert error.known == ("constant", "idm", "pdm")


def test_unknown_name_among_none():
    assert str(UnknownNameError("suite", "x", [])) == "unknown suite 'x' (known: none)"


def test_missing_extra_names_the_command():
    assert str(MissingExtraError("torch", "learn")) == (
        "torch is not installed; pip install 'drive-toolkit[learn]' brings it"
    )
