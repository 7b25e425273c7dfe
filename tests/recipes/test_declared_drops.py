"""A step drops for the reasons that it declares, and the check of a recipe tells of others."""

from dataclasses import dataclass, replace

import pytest

from gristmill import recipes
from gristmill.cli.options import setting_lines
from gristmill.ledger.losses import Phase, phase_of
from gristmill.spec.errors import RecipeError
from gristmill.spec.reasons import NO_VIDEO, SITE, Reason
from gristmill.spec.sample import Drop
from gristmill.spec.step import SampleStep
from gristmill.steps.crawl import Crawl
from gristmill.testing.check_recipe import check_recipe

ROW = {"query": "What is 1 + 1?", "response": "The answer is: 2"}


@dataclass(frozen=True, kw_only=True)
class Refuse(SampleStep):
    """Keeps nothing."""

    name = "refuse"
    drops = frozenset({Reason.EMPTY_TEXT})
    reason: Reason = Reason.EMPTY_TEXT

    def apply(self, sample):
        return Drop(reason=self.reason)


def checked(step):
    recipe = recipes.find("gsm8k-screl")
    return check_recipe(replace(recipe, steps=(recipe.steps[0], step, *recipe.steps[1:])), [ROW])


def test_a_drop_for_a_reason_that_is_not_declared_is_told():
    assert checked(Refuse())[1]["drop"]["reason"] == "empty_text"
    with pytest.raises(RecipeError, match=r"step refuse drops for media_token, .*add it to Refuse\.drops"):
        checked(Refuse(reason=Reason.MEDIA_TOKEN))


def test_a_crawl_declares_all_that_the_web_may_do():
    lost = {reason for reason in Reason if phase_of(reason) in {Phase.FETCHING, Phase.CHECKING}}
    rows = {Reason.NO_SCORE, Reason.BELOW_FLOOR, Reason.BEYOND_SHARE, Reason.NOT_SAMPLED, Reason.NOT_CHOSEN}
    assert lost - rows - SITE - NO_VIDEO - Crawl.drops == {
        Reason.NOT_NEEDED,
        Reason.SAME_PICTURE,
        Reason.SIZE_MISMATCH,
        Reason.BENCHMARK_PICTURE,
        Reason.BENCHMARK_TEXT,
    }  # of a medium; of other steps
    lines = setting_lines(Crawl())
    assert any("http_404" in line for line in lines)
    assert max(len(line) for line in lines) < 120


def test_what_a_step_drops_for_is_shown():
    assert "    drops for: empty_text" in setting_lines(Refuse())
