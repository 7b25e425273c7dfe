"""What a host may cost in processor time."""

from gristmill.crawl import costs
from gristmill.crawl.costs import Cost, Costs


def test_what_is_usual_is_never_too_much() -> None:
    cost = Cost(0.0)
    for _ in range(10_000):
        cost.begin(0.0)
        cost.spend(0.0001)
        cost.spend(0.0005, 32_768)
    assert not cost.too_much


def test_what_is_beyond_adds_up_over_answers_and_is_forgiven_in_time() -> None:
    cost = Cost(0.0)
    for _ in range(5):
        cost.begin(0.0)
        cost.spend(0.1, 1000)
    assert cost.too_much
    assert "processor" in cost.words
    cost.begin(1.0)
    assert cost.too_much
    cost.begin(300.0)
    assert not cost.too_much


def test_hosts_have_their_own_and_few_are_remembered(monkeypatch) -> None:
    monkeypatch.setattr(costs, "MOST_HOSTS", 2)
    known = Costs(lambda: 0.0)
    known.of("a").spend(9.0)
    assert known.of("a").too_much
    assert not known.of("b").too_much
    known.of("a")
    known.of("c")  # in place of b, which was asked before a
    assert known.of("a").too_much


def test_what_no_byte_came_for_is_never_in_its_favour() -> None:
    cost = Cost(0.0)
    cost.begin(0.0)
    for _ in range(100_000):
        cost.spend(0.000005)
    assert cost.too_much
