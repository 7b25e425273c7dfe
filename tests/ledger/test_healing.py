from gristmill.ledger.funnel import Funnel, Level
from gristmill.ledger.losses import Phase
from gristmill.ledger.retry_advice import may_heal, retry_advice
from gristmill.spec.reasons import GONE, OURS, TRANSIENT, Reason


def levels(lost: dict[str, int]) -> Funnel:
    rows = Level(name="annotated", title="", count=99, phase=Phase.SELECTING, lost={"dns_failed": 7})
    asked = Level(name="asked", title="", count=92, phase=Phase.FETCHING, lost=lost)
    return Funnel(levels=(rows, asked), adds_up=True, files=1, files_read=1)


def test_what_may_heal_is_what_a_default_retry_asks_for_and_what_is_ours():
    assert {reason for reason in Reason if may_heal(reason)} == TRANSIENT | OURS
    assert not any(map(may_heal, GONE))
    assert not may_heal("a_reason_of_a_newer_version")


def test_both_kinds_with_the_line_to_type():
    said = retry_advice(levels({"http_404": 5, "http_5xx": 3, "stalled": 1})).sentences(
        "my data/x", mirrored=False
    )
    assert said[0] == (
        "http_5xx 3, stalled 1 may come back: gristmill retry 'my data/x' --reason http_5xx,stalled"
    )
    assert said[1] == "It does not bring back http_404 5."
    assert said[2].startswith("Gone from their hosts: 5. A mirror")
    assert "--set crawl.mirror=" in said[2]


def test_nothing_that_may_come_back():
    lost = {"http_403": 5, "not_an_image": 4, "too_small": 3, "robots": 2, "opted_out": 1}
    said = retry_advice(levels(lost)).sentences("d", mirrored=False)
    assert said == [
        "Asking again does not bring back http_403 5, not_an_image 4, too_small 3, robots 2, 1 more."
    ]  # a refusal is not got round by a mirror


def test_what_an_option_would_allow():
    said = retry_advice(levels({"tls": 5, "private_address": 4, "too_small": 1})).sentences(
        "d", mirrored=False
    )
    assert said[1:] == [
        "Only if these hosts are your own: --no-verify-tls would allow tls: "
        "gristmill retry d --reason tls --no-verify-tls",
        "Only if these hosts are your own: --allow-private-addresses would allow private_address: "
        "gristmill retry d --reason private_address --allow-private-addresses",
    ]


def test_a_mirror_that_was_asked_is_not_advised():
    assert len(retry_advice(levels({"http_404": 5})).sentences("d", mirrored=True)) == 1
    assert len(retry_advice(levels({"http_404": 5})).sentences("d", mirrored=False)) == 2


def test_rows_that_were_never_chosen_are_not_asked_for():
    assert retry_advice(levels({})).sentences("d", mirrored=False) == []
