"""Mixtures of one's own in TOML: what is read, and what is refused with the place where it stands."""

import pytest

from gristmill import mixtures
from gristmill.spec.errors import RecipeError, UnknownName

WHOLE = """
name = "own-mix"
version = "2026.12.3"
title = "Own"
stages = ["sft"]
decontaminate = "benchmarks"

[shuffle]
seed = 5
index_only = true
duplicates = "drop"

[[part]]
recipe = "gsm8k-screl"
weight = 2
options = ["--set", "pack.shard_samples=10"]

[[part]]
recipe = "vflan"
weight = 0.5

[[part]]
recipe = "my_recipe.py"
cap = 5

[[part]]
folder = "../finished/set_one"
where = ["score >= 0.3"]
prefix = "one-"

[[part]]
list = "urls.parquet"
subset = "random"
options = ["--caption-column", "text"]

[[part]]
list = "https://example.org/a/urls.csv"
name = "from-the-web"

[[part]]
conversations = "mine.json"
media = "pictures.zip"
subset = "first"
"""


def test_all_that_a_file_may_say(tmp_path):
    (tmp_path / "mix.toml").write_text(WHOLE)
    mixture = mixtures.find(str(tmp_path / "mix.toml"))
    assert (mixture.public_name, mixture.version, mixture.stages) == ("own-mix", "2026.12.3", ("sft",))
    assert (mixture.shuffle.seed, mixture.shuffle.refers, mixture.shuffle.without_duplicates) == (
        5,
        True,
        True,
    )
    maths, vflan, own, finished, urls, web, talks = mixture.parts
    against = ("--set", f"decontaminate.against={tmp_path}/benchmarks")
    assert maths.command == ("run", "gsm8k-screl", "--set", "pack.shard_samples=10", *against)
    assert (vflan.name, vflan.weight) == ("vflan", 0.5)
    assert vflan.command[3] == f"*.{against[1]}"
    assert (own.name, own.cap, own.command[:2]) == ("my-recipe", 5, ("run", f"{tmp_path}/my_recipe.py"))
    assert (finished.name, finished.folder) == ("set-one", str(tmp_path.parent / "finished" / "set_one"))
    assert (finished.where, finished.prefix) == (("score >= 0.3",), "one-")
    assert urls.command[:4] == ("crawl", f"{tmp_path}/urls.parquet", "--name", "urls")
    assert urls.subset == "random"
    assert web.command[1] == "https://example.org/a/urls.csv"
    assert talks.command == (
        *("import", f"{tmp_path}/mine.json", "--from", "llava"),
        *("--media", f"{tmp_path}/pictures.zip", "--name", "mine"),
        *against,
    )
    assert any("set-one is finished already" in trap for trap in mixture.traps)
    assert mixtures.load(str(tmp_path / "mix.toml"), {"shuffle.seed": "7"}).steps[0].seed == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "Invalid value"),
        ("", "has parts"),
        ("part = 3", "has parts"),
        ("[[part]]\nrecipe = 'a'\nfolder = 'b'", "part 1: says recipe and folder"),
        ("[[part]]\nweight = 1", "part 1: says nothing"),
        ("[[part]]\nrecipe = 'a'\nwieght = 1", "part 1 has wieght"),
        ("[[part]]\nrecipe = 'a'\nmedia = 'b'", "part 1 has media"),
        ("[[part]]\nrecipe = 'a'\nweight = '1'", "weight = '1'"),
        ("[[part]]\nrecipe = 'a'\nweight = true", "weight = True"),
        ("[[part]]\nrecipe = 'a'\nweight = -1", "above 0"),
        ("[[part]]\nrecipe = 'a'\ncap = 0", "cap is at least 1"),
        ("[[part]]\nrecipe = 'a'\ncap = 1.5", "cap = 1.5"),
        ("[[part]]\nrecipe = 'a'\nsubset = 'last'", "subset is one of"),
        ("[[part]]\nrecipe = 'a'\nwhere = ['score']", "is no condition"),
        ("[[part]]\nrecipe = 'a'\nwhere = 'score > 1'", "expected a list"),
        ("[[part]]\nrecipe = 'a'\n[[part]]\nrecipe = 'a'", "each once"),
        ("stages = ['tune']\n[[part]]\nrecipe = 'a'", "align, pretrain"),
        ("[shuffle]\nsede = 3\n[[part]]\nrecipe = 'a'", "sede"),
        ("[shuffle]\nseed = '3'\n[[part]]\nrecipe = 'a'", "expected int"),
        ("[shuffle]\nshards = 0\n[[part]]\nrecipe = 'a'", "at least 1"),
        ("name = '1st'\n[[part]]\nrecipe = 'a'", "begins with a letter"),
        ("decontaminate = ['a']\n[[part]]\nrecipe = 'a'", "decontaminate is a path"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(tmp_path, text, said):
    path = tmp_path / "mix.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said) as refused:
        mixtures.find(str(path))
    assert str(path) in str(refused.value)


def test_lists_and_conversations_get_a_prefix_where_keys_would_clash(tmp_path):
    """Keys of both are places in their files; those of the one kind are not those of the other."""
    kinds = {"a": "conversations", "b": "conversations", "c": "list", "d": "list", "e": "conversations"}
    text = "".join(f"[[part]]\nname = '{name}'\n{kind} = '{name}'\n" for name, kind in kinds.items())
    path = tmp_path / "mix.toml"
    path.write_text(f"{text}prefix = 'mine_'\n")
    found = {part.name: part.prefix for part in mixtures.find(str(path)).parts}
    assert found == {"a": "", "b": "b-", "c": "", "d": "d-", "e": "mine_"}
    path.write_text(f"{text}prefix = ''\n")
    with pytest.raises(RecipeError, match=r'parts a and e have the same keys.*prefix = "e-"'):
        mixtures.find(str(path))


def test_no_file(tmp_path):
    with pytest.raises(UnknownName, match="no mixture file"):
        mixtures.find(str(tmp_path / "none.toml"))


def test_a_folder_is_called_by_its_own_name_however_it_is_typed(tmp_path):
    (tmp_path / "mix.toml").write_text('[[part]]\nfolder = "."\n')
    (part,) = mixtures.find(str(tmp_path / "mix.toml")).parts
    assert part.name == tmp_path.name.replace("_", "-")
