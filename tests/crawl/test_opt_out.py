import pytest

from gristmill.crawl import CrawlSettings
from gristmill.crawl.optout import directives_for_us, opted_out

SETTINGS = CrawlSettings()

REFUSING = [
    ["noai"],
    ["noimageai"],
    ["noindex"],
    ["noimageindex"],
    ["none"],
    ["NoAI"],
    ["NOINDEX"],
    ["  noai  "],
    ["noai,noimageai"],
    ["noai, noimageai"],
    ["noai , noimageai"],
    ["noai; noimageai"],
    ["nofollow, noai"],
    ["noai, max-image-preview:large"],
    ["max-image-preview:large, noai"],
    ["max-image-preview: large,max-snippet: -1,noimageai"],
    ["all", "noai"],
    ["nofollow", "noarchive", "noindex"],
    ["gristmill: noai"],
    ["Gristmill: nofollow, noai"],
    ["Gristmill/0.1: noai"],
    ["bot: noai"],
    ["*: noai"],
    ["robots:noimageai"],
    ["googlebot: nofollow, gristmill: noai"],
    ["googlebot: noindex", "noai"],
    ["unavailable_after: 25 Jun 2027 15:00:00 PST, noai"],
    ["unavailable_after: Friday, 25-Jun-27 15:00:00 UTC", "noai"],
    ["noai,"],
    [",,noai"],
    ["noai:"],
]
ALLOWING = [
    [],
    [""],
    ["all"],
    ["nofollow"],
    ["noarchive, nosnippet"],
    ["max-image-preview:none"],
    ["max-image-preview: none"],
    ["max-snippet:-1"],
    ["googlebot: noindex"],
    ["googlebot: noindex, noai"],
    ["GoogleBot: none", "nofollow"],
    ["unavailable_after: 25 Jun 2027 15:00:00 PST"],
    ["noaix", "xnoai"],
    [":::", ","],
]


@pytest.mark.parametrize("headers", REFUSING, ids=str)
def test_meant_for_us(headers: list[str]) -> None:
    directives = directives_for_us(headers, SETTINGS.agent_names)
    assert opted_out(directives, SETTINGS.opt_out_directives), directives


@pytest.mark.parametrize("headers", ALLOWING, ids=str)
def test_not_meant_for_us_or_no_objection(headers: list[str]) -> None:
    directives = directives_for_us(headers, SETTINGS.agent_names)
    assert not opted_out(directives, SETTINGS.opt_out_directives), directives
