import inspect
import pickle
import re

import pytest

from gristmill.spec import errors
from gristmill.spec.errors import DriftError, GristmillError, Interrupted, SiteShut, UnknownName

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GristmillError)]
ARGUMENTS = {
    UnknownName: ("recipe", "coyo-700", ("coyo-700m", "other")),
    DriftError: ("coyo-700m", "/data/coyo", (("select.share", "0.2", "0.1"), ("only", "null", "5"))),
    Interrupted: (15,),
    SiteShut: ("video.example", 1_000_000.0, "not a robot?"),
}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling_with_their_words_and_codes(kind):
    error = kind(*ARGUMENTS.get(kind, ("what, where, what next",)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.exit_code == error.exit_code
    assert str(error)
    assert kind.__name__ in errors.__all__
    assert kind.__name__ in (errors.__doc__ or "")


def test_exit_codes_are_those_of_the_design():
    codes = {kind.__name__: kind.exit_code for kind in ALL if kind is not Interrupted}
    assert {name for name, code in codes.items() if code == 2} == {
        "UsageError",
        "UnknownName",
        "DriftError",
        "RecipeError",
    }
    assert {name for name, code in codes.items() if code == 3} == {
        "ByHandSource",
        "Incomplete",
        "OursNotTheirs",
        "SiteShut",
        "Stopped",
    }
    assert {name for name, code in codes.items() if code == 75} == {"Busy"}
    told = dict(re.findall(r"── (\w+) +exit (\d+) ", errors.__doc__ or ""))
    assert told == {name: str(code) for name, code in codes.items() if name != "GristmillError"} | {
        "Interrupted": "130"
    }
    assert [Interrupted(number).exit_code for number in (2, 15)] == [130, 143]


def test_a_name_that_is_close_is_proposed():
    assert "Did you mean 'coyo-700m'?" in str(UnknownName("recipe", "coyo-700", ("coyo-700m", "other")))
    assert str(UnknownName("recipe", "zzz", ())) == "There is no recipe 'zzz'."
    known = tuple(f"setting_{letter}" for letter in "abcdefghijklmnopqrstuvwxyzABCDEFG")
    assert "Known:" not in str(UnknownName("setting", "setting_a1", known))
    assert str(UnknownName("setting", "zzz", known)).endswith("setting_G.")
