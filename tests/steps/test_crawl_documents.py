"""The crawl step over documents: what is kept, what is not asked for, and what is said."""

import pytest
from crawl_box import Box

from gristmill.spec.errors import UsageError
from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Origin, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl


@pytest.fixture
def crawl(engines, web):
    web.forget()

    def crawl(*pages: list[str], done=None, **settings):
        box = Box(engines, done)
        step = Crawl(allow_private_addresses=True, phash=False, tries=1, **settings)
        return list(
            step.apply([page(n, [web.url(p) for p in paths]) for n, paths in enumerate(pages)], box)
        ), box

    return crawl


def page(row: int, urls: list[str]) -> Sample:
    names = [f"{n:03d}" for n in range(len(urls))]
    parts = [part for name in names for part in (Show(media=name), Text(text=f"about {name}"))]
    return Sample(
        key=f"page-{row}",
        media={name: MediaRef(at=Url(url)) for name, url in zip(names, urls, strict=True)},
        turns=(Turn(role="document", parts=tuple(parts)),),
        origin=Origin(source="s", file="f", row=row),
    )


def photo(n: int) -> str:
    return f"/photo/{n}.jpg?w=64"


def reasons(box, row):
    return [fate.reason for (r, _), fate in sorted(box.fates.items()) if r == row]


GONE, HTML = "/fault/404/1", "/fault/html/1"


def test_a_document_is_kept_only_whole_and_a_lost_one_costs_no_further_request(crawl, web):
    outcomes, box = crawl([photo(1), photo(2)], [photo(3), GONE, photo(4), HTML], [HTML])
    assert list(outcomes[0].media) == ["000.jpg", "001.jpg"]
    assert outcomes[0].columns == {}
    assert [o.reason for o in outcomes[1:]] == [Reason.HTTP_404, Reason.NOT_AN_IMAGE]
    assert reasons(box, 1) == [None, Reason.HTTP_404, Reason.NOT_NEEDED, Reason.NOT_NEEDED]
    assert photo(4) not in web.hits
    assert box.fates[1, "002.jpg"].url == web.url(photo(4))
    assert box.fates[1, "002.jpg"].tries == 0
    assert box.progressed[-1][:2] == (3, {"http_404": 1, "not_an_image": 1})


def test_a_url_is_asked_for_once_and_not_given_up_while_another_document_wants_it(crawl, web):
    outcomes, box = crawl([GONE, photo(1)], [photo(2), photo(1)], [photo(1), photo(1)])
    assert web.hits == {GONE: 1, photo(1): 1, photo(2): 1}
    assert [isinstance(o, Sample) for o in outcomes] == [False, True, True]
    assert box.bodies[2, "000.jpg"] == box.bodies[2, "001.jpg"] == box.bodies[1, "001.jpg"]


def test_keeping_documents_with_the_images_that_live(crawl, web):
    outcomes, box = crawl([photo(1), GONE, photo(2)], [GONE, HTML], [photo(3)], on_missing_image="drop_image")
    assert list(outcomes[0].media) == ["000.jpg", "002.jpg"]
    assert outcomes[0].columns == {"missing_media": ["001.jpg"]}
    assert outcomes[0].turns[0].parts == (
        Show(media="000.jpg"),
        Text(text="about 000"),
        Text(text="about 001"),
        Show(media="002.jpg"),
        Text(text="about 002"),
    )
    assert outcomes[1] == Drop(reason=Reason.HTTP_404, detail=box.fates[1, "000.jpg"].detail)
    assert outcomes[2].columns == {"missing_media": []}


def test_down_to_a_least_number(crawl, web):
    pages = [photo(1), GONE, photo(2)], [photo(3), GONE, HTML, photo(4)], [photo(5)], []
    outcomes, box = crawl(*pages, on_missing_image="drop_image", min_images=2)
    assert list(outcomes[0].media) == ["000.jpg", "002.jpg"]
    assert list(outcomes[1].media) == ["000.jpg", "003.jpg"]
    assert outcomes[2] == Drop(reason=Reason.FEW_IMAGES, detail="1 images, at least 2 wanted")
    assert photo(5) not in web.hits
    assert reasons(box, 2) == [Reason.NOT_NEEDED]
    assert isinstance(outcomes[3], Sample)  # nothing to ask for: not this step's business


def test_going_on_asks_for_the_rest_alone(crawl, web):
    _, before = crawl([photo(1), photo(2), GONE, photo(3)])
    done = {key: fate for key, fate in before.fates.items() if key[1] != "001.jpg"}
    web.forget()
    (outcome,), box = crawl([photo(1), photo(2), GONE, photo(3)], done=done)
    assert web.hits == {photo(2): 1}
    assert outcome.reason is Reason.HTTP_404
    assert reasons(box, 0) == [None, None, Reason.HTTP_404, Reason.NOT_NEEDED]


@pytest.mark.parametrize("settings", [{"on_missing_image": "drop_page"}, {"min_images": 0}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError, match="|".join(settings)):
        Crawl(**settings)
