"""Progressive JPEGs without the scans that refine their luma."""

import numpy as np
import pytest
from made_images import photo, psnr, saved

from gristmill.media.decode import decoded
from gristmill.media.errors import Undecodable
from gristmill.media.head import head
from gristmill.media.scans import without_refinements
from gristmill.spec.reasons import Reason

HALF = (400, 300)


def progressive(**options) -> bytes:
    return saved(photo(800, 600, 6), progressive=True, **options)


def scans(body: bytes) -> int:
    return body.count(b"\xff\xda")


def at_half(body: bytes, *, rough: bool) -> np.ndarray:
    return decoded(body, head(body), least=HALF, alpha="drop", rough=rough)


def test_the_head_says_what_is_progressive():
    assert head(progressive()).progressive
    assert not head(saved(photo(800, 600, 6))).progressive


def test_two_luma_scans_are_left_out():
    body = progressive()
    thin = without_refinements(body)
    assert (scans(body), scans(thin)) == (10, 8)
    assert len(thin) < 0.6 * len(body)


def test_a_half_hardly_shows_it():
    body = progressive()
    rough, exact = at_half(body, rough=True), at_half(body, rough=False)
    assert rough.shape == exact.shape == (300, 400, 3)
    assert not np.array_equal(rough, exact)
    assert psnr(rough, exact) > 35


def test_every_bit_is_used_where_more_than_a_half_is_wanted():
    body = progressive(subsampling="4:4:4")
    exact, rough = (
        decoded(body, head(body), least=(401, 300), alpha="drop", rough=rough) for rough in (False, True)
    )
    assert np.array_equal(rough, exact)


@pytest.mark.parametrize("body", [saved(photo(80, 60)), saved(photo(80, 60).convert("L")), b"\xff\xd8", b""])
def test_what_has_no_refinements_comes_back(body):
    assert without_refinements(body) == body


def test_rgb_has_no_luma():
    """Adobe's marker says so; the components may be numbered as those of luma and chroma are."""
    body = saved(photo(160, 120, 6), progressive=True, keep_rgb=True)
    assert without_refinements(body) == body
    body = body.replace(b"\x01R", b"\x01\x01")
    assert without_refinements(body) == body
    assert without_refinements(body.replace(b"Adobe", b"Other")) != body


def test_grey_has_only_luma():
    body = saved(photo(800, 600, 6).convert("L"), progressive=True)
    assert scans(without_refinements(body)) == scans(body) - 2


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 0.999])
def test_a_cut_one_is_still_called_cut(share):
    body = progressive()
    with pytest.raises(Undecodable) as caught:
        at_half(body[: int(share * len(body))], rough=True)
    assert caught.value.reason == Reason.TRUNCATED


def test_metadata_is_not_taken_for_scans():
    thumbnail = saved(photo(64, 48), progressive=True)
    body = progressive(comment=thumbnail)
    assert at_half(body, rough=True).tobytes() == at_half(progressive(), rough=True).tobytes()
