import pytest

from gristmill.crawl.retry import backoff_s, retry_after_s, time_of

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1000000000", 1e9),
        ("9" * 400, 999999999999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Friday, 15-Jan-27 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 08:00:30", 30.0),
        ("Thu, 14 Jan 2027 08:00:00 GMT", 0.0),
        ("Fri, 99 Jan 2027 08:00:30 GMT", None),
        ("Fri, 15 Jan 99999 08:00:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, wanted: float | None) -> None:
    assert retry_after_s(header, NOW) == wanted


def test_backoff_doubles_and_jitters_around_its_base() -> None:
    assert [backoff_s(0.5, tries, lambda: 0.5) for tries in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert backoff_s(0.5, 1, lambda: 0.0) == 0.25
    assert backoff_s(0.5, 1000, lambda: 0.5) < 1e6


def test_a_date_is_meant_by_the_servers_clock() -> None:
    assert time_of("Fri, 15 Jan 2027 08:00:00 GMT", NOW - 3600) == NOW
    for nothing in (None, "", "yesterday", "Fri, 99 Jan 2027 08:00:30 GMT"):
        assert time_of(nothing, NOW) == NOW
