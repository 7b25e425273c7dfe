"""What all workers of a cluster have together is divided among them; nothing else of a step changes."""

from dataclasses import replace

from gristmill.steps.crawl import Crawl


def test_what_one_host_gets_is_divided_and_the_identity_stays():
    crawl = Crawl(per_host=6)
    assert crawl.divided(4) == replace(crawl, per_host=1, mirror_per_second=0.25)
    assert crawl.divided(2).per_host == 3
    assert crawl.divided(1) == crawl
    assert crawl.divided(40).identity() == crawl.identity()
