"""How hosts are judged, without sockets or time."""

from dataclasses import replace

from crawl_server import QUICK

from gristmill.crawl.politeness import LEAST_LATENCY_S, Politeness
from gristmill.crawl.schedule import Host
from gristmill.spec.reasons import Reason

SETTINGS = replace(
    QUICK, per_host=8, host_failures=6, host_patience_s=10, host_memory_s=300, backoff_s=0.5, stall_s=10
)


def host() -> Host[int]:
    return Host("h", SETTINGS.per_host)


def fail(host: Host[int], began_s: float, now_s: float, reason: Reason = Reason.STALLED) -> None:
    Politeness(SETTINGS).failed(host, reason, "no answer", None, began_s=began_s, now_s=now_s)


def stall(host: Host[int], began_s: float, now_s: float, others_s: float | None = 0.0) -> bool:
    """A request that waited for nothing, while others of the host have waited for so long."""
    politeness, reason = Politeness(SETTINGS), Reason.STALLED
    waited = {"vain_s": now_s - began_s, "others_vain_s": others_s}
    return politeness.failed(host, reason, "no answer", None, began_s=began_s, now_s=now_s, **waited)


def good(host: Host[int], now_s: float, head_s: float = 0.1) -> None:
    Politeness(SETTINGS).answered(host, began_s=now_s - head_s, now_s=now_s, head_s=head_s)


def test_requests_that_time_out_together_halve_the_limit_once() -> None:
    h = host()
    for _ in range(8):
        fail(h, 1.0, 11.0)
    assert h.limit == 4
    for _ in range(9):
        fail(h, 12.0, 22.0)
    assert h.limit == 2


def test_good_answers_bring_the_limit_back_one_a_round() -> None:
    h = host()
    h.limit = 1.0
    good(h, 1)
    assert h.limit == 2
    good(h, 2)
    good(h, 3)
    assert 2.8 < h.limit < 3
    for i in range(200):
        good(h, 4 + i)
    assert h.limit == 8


def test_answers_that_come_ever_later_lower_the_limit() -> None:
    h = host()
    for i in range(50):
        good(h, i, 0.2)
    assert h.limit == 8
    for i in range(50):
        good(h, 100 + i * 0.01, 0.7)  # later, but not late
    assert h.limit == 8
    for i in range(8):
        good(h, 200 + i, 3 * LEAST_LATENCY_S)
    assert h.limit < 4


def test_a_host_that_was_always_slow_is_not_slowed_down_for_it() -> None:
    h = host()
    for i in range(50):
        good(h, i, 3.0)
    assert h.limit == 8


def test_a_host_is_given_up_after_so_many_failures_over_so_long() -> None:
    h = host()
    for _ in range(20):
        fail(h, 0.0, 0.1, Reason.RESET)
    assert h.closed_because is None  # a hiccup: many failures, but all at once
    assert h.paused_until_s == 2.1
    fail(h, 5.0, 10.5, Reason.RESET)
    assert h.closed_until_s == 310.5
    assert h.closed_because == (
        Reason.RESET,
        "not asked: the host failed 21 times in a row, over 10 s (no answer)",
    )


def test_one_that_was_given_up_gets_one_chance_when_it_is_asked_again() -> None:
    h = host()
    for _ in range(6):
        fail(h, 0.0, 15.0)
    assert h.closed_until_s == 315.0
    fail(h, 316.0, 326.0)
    assert h.closed_until_s == 626.0
    Politeness(SETTINGS).answered(h, began_s=700, now_s=701, head_s=0.1)
    assert h.failures == 0


def test_one_that_has_answered_before_is_given_more_time() -> None:
    h = host()
    good(h, 0.0)
    for i in range(6):
        fail(h, 1.0 + i, 15.0 + i)
    assert h.closed_because is None
    fail(h, 50.0, 61.5)
    assert h.closed_because is not None


def test_any_answer_is_a_sign_of_life() -> None:
    h = host()
    for i in range(60):
        fail(h, i, i + 1)
        Politeness(SETTINGS).failed(h, Reason.HTTP_404, "404", 404, began_s=i, now_s=i + 1)
    assert h.closed_because is None


def test_what_only_concerns_the_url_or_our_names_does_not_count() -> None:
    h = host()
    for reason in (Reason.DNS_FAILED, Reason.SHORT_BODY, Reason.BAD_HTTP, Reason.TOO_LARGE):
        for i in range(60):
            Politeness(SETTINGS).failed(h, reason, "", None, began_s=i, now_s=i + 1)
    assert (h.failures, h.limit, h.closed_because) == (0, 8, None)


def test_nobody_is_given_up_if_so_set() -> None:
    h = host()
    politeness = Politeness(replace(SETTINGS, host_failures=0))
    for i in range(100):
        politeness.failed(h, Reason.STALLED, "", None, began_s=i, now_s=i + 10)
    assert h.closed_because is None


def test_a_host_that_never_answered_is_given_up_once_its_requests_waited_long_enough_together() -> None:
    h = host()
    assert not stall(h, 0.0, 10.0)
    assert not stall(h, 0.5, 10.5)
    assert h.silent
    assert stall(h, 1.0, 11.0)
    assert h.closed_until_s == 311.0
    words = "not asked: the host has answered nothing, and kept requests waiting for 30 s in all (no answer)"
    assert h.closed_because == (Reason.STALLED, words)


def test_what_its_other_requests_wait_counts_once_one_has_timed_out() -> None:
    h = host()
    assert not stall(h, 0.0, 10.0, others_s=15.0)
    h = host()
    assert stall(h, 0.0, 10.0, others_s=20.0)


def test_two_tries_of_one_url_are_enough_since_the_second_waits_twice_as_long() -> None:
    h, politeness = host(), Politeness(SETTINGS)
    assert (politeness.patience_s(h, 1), politeness.patience_s(h, 2), politeness.patience_s(h, 3)) == (
        10,
        20,
        20,
    )
    assert not stall(h, 0.0, 10.0)
    assert stall(h, 11.0, 31.0)


def test_a_host_that_answered_is_not_silent() -> None:
    for sign in (good, lambda h, now_s: Politeness(SETTINGS).alive(h)):
        h = host()
        stall(h, 0.0, 10.0)
        sign(h, 11.0)
        assert not h.silent
        for i in range(5):
            assert not stall(h, 12.0, 22.0 + i, others_s=40.0)
        assert h.closed_because is None


def test_a_host_of_which_an_answer_is_under_way_is_not_silent() -> None:
    h = host()
    for i in range(5):
        assert not stall(h, 0.0, 10.0 + i, others_s=None)
    assert h.closed_because is None


def test_a_blink_is_no_silence_however_many_wait() -> None:
    h = host()
    assert not stall(h, 0.0, 5.0, others_s=100.0)


def test_an_answer_that_comes_after_all_opens_the_host_again() -> None:
    h = host()
    for i in range(3):
        stall(h, i, 10.0 + i)
    assert h.closed_until_s > 13.0
    good(h, 13.0)
    assert (h.closed_until_s, h.closed_because, h.silent, h.vain_s) == (0.0, None, False, 0.0)


def test_slow_hosts_that_answer_are_given_time_by_how_long_they_take() -> None:
    h, politeness = host(), Politeness(SETTINGS)
    good(h, 1.0, 0.2)
    assert politeness.patience_s(h, 1) == politeness.patience_s(h, 3) == SETTINGS.stall_s
    for i in range(30):
        good(h, 2.0 + i, 8.0)
    assert 23 < politeness.patience_s(h, 1) <= 24


def test_a_host_that_fails_at_once_is_asked_one_at_a_time_until_it_answers() -> None:
    h = host()
    fail(h, 0.0, 0.1, Reason.RESET)
    assert h.limit == 8
    fail(h, 0.2, 0.3, Reason.RESET)
    assert h.limit == 1
    good(h, 1.0)
    assert h.limit == 2


def test_the_last_pause_ends_when_the_host_may_be_given_up() -> None:
    h = host()
    for at_s in (0.0, 1.0, 3.0, 5.0, 7.0, 9.0):
        fail(h, at_s, at_s, Reason.RESET)
    assert h.paused_until_s == 10.0
