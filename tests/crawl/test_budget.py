from gristmill.crawl.budget import FIRST_ESTIMATE_BYTES, ByteBudget

SIZE = FIRST_ESTIMATE_BYTES
LIMIT = 40 * SIZE


def opened(budget):
    holds = []
    while budget.admits():
        holds.append(budget.open())
    return holds


def test_all_of_it_may_be_under_way():
    budget = ByteBudget(LIMIT)
    assert len(opened(budget)) == 40
    assert budget.used_bytes == budget.peak_bytes == LIMIT


def test_complete_bodies_leave_less_to_begin():
    budget = ByteBudget(LIMIT)
    holds = opened(budget)
    for hold in holds:
        hold.settle(SIZE)
    while not budget.admits():
        holds.pop().close()
    assert len(holds) == 9  # nine complete ones count as 36, one to begin as 1
    assert budget.complete_bytes == budget.used_bytes == 9 * SIZE
    for hold in holds:
        hold.close()
        hold.close()  # does no harm
    assert (budget.complete_bytes, budget.used_bytes) == (0, 0)
    assert len(opened(budget)) == 40


def test_one_may_always_begin():
    budget = ByteBudget(SIZE // 8)
    hold = budget.open()
    assert not budget.admits()
    assert hold.grow(3 * SIZE)
    hold.settle(3 * SIZE)
    assert not budget.admits()
    hold.close()
    assert budget.admits()
