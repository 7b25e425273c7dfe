import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.crawl import CrawlSettings
from gristmill.crawl.guard import Refused, join, parse
from gristmill.spec.reasons import Reason

SETTINGS = CrawlSettings()

SAME = [
    "http://example.org/",
    "https://img.example.org/a/b.jpg?x=1&y=%20z",
    "http://my_bucket.example.org:8080/a(1)~.jpg",
    "https://example.org/100%.jpg",
    "https://example.org/a|b",
    "https://xn--bcher-kva.example/",
    "http://[2001:4860:4860::8888]/x",
]
NORMALISED = [
    ("HTTP://EXAMPLE.org", "http://example.org/"),
    ("  http://example.org/a ", "http://example.org/a"),
    ("\t\r\n http://example.org/a \r\n", "http://example.org/a"),
    ("\x00\x0chttp://example.org/a\x1f", "http://example.org/a"),
    ("http://example.org:80/", "http://example.org/"),
    ("https://example.org:443/", "https://example.org/"),
    ("http://example.org./a", "http://example.org/a"),
    ("http://example.org/a b.jpg", "http://example.org/a%20b.jpg"),
    ("http://example.org/ü.jpg?q=ü", "http://example.org/%C3%BC.jpg?q=%C3%BC"),
    ("http://example.org/a#b#c", "http://example.org/a"),
    ("http://example.org#x/y@z", "http://example.org/"),
    ("http://example.org/a/../b/./c", "http://example.org/b/c"),
    ("http://example.org/a/%2E%2e/b", "http://example.org/b"),
    ("http://example.org/../../a/..", "http://example.org/"),
    ("http://example.org/a/b/..", "http://example.org/a/"),
    ("http://example.org\\a\\b?c\\d", "http://example.org/a/b?c\\d"),
    ("http:example.org/a", "http://example.org/a"),
    ("http:////example.org/a", "http://example.org/a"),
    ("http://example.org?q", "http://example.org/?q"),
    ("http://user:secret@example.org/a", "http://example.org/a"),
    ("http://a@b@example.org/a", "http://example.org/a"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ("http://BÜCHER.example/", "http://xn--bcher-kva.example/"),
    ("http://ｅｘａｍｐｌｅ．org/", "http://example.org/"),
    ("http://ex%61mple.org/", "http://example.org/"),
    ("http://example。org/", "http://example.org/"),
    ("http://i❤.example/", "http://xn--i-7iq.example/"),
    ("http://0x8.8.2056/", "http://8.8.8.8/"),
    ("http://134744072/", "http://8.8.8.8/"),
    ("http://[2001:4860:4860:0:0:0:0:8888]/", "http://[2001:4860:4860::8888]/"),
    ('http://example.org/"<>`{}^', "http://example.org/%22%3C%3E%60%7B%7D%5E"),
    ("http://example.org/?'\"<>", "http://example.org/?%27%22%3C%3E"),
    ("http://example.org/caf\udce9", "http://example.org/caf%E9"),
]
REFUSED = [
    ("", Reason.BAD_URL),
    ("   ", Reason.BAD_URL),
    ("http://", Reason.BAD_URL),
    ("http:///", Reason.BAD_URL),
    ("http://example.org/a\nb", Reason.BAD_URL),
    ("http://exa\tmple.org/", Reason.BAD_URL),
    ("http://example.org/\x00a", Reason.BAD_URL),
    ("http://" + "ü" * 10_000 + ".example/", Reason.BAD_URL),
    ("http://example.org/\r\nHost: x", Reason.BAD_URL),
    ("http://example.org/\ud800", Reason.BAD_URL),
    ("http://example.org:x/", Reason.BAD_URL),
    ("http://example.org:99999/", Reason.BAD_URL),
    ("http://example.org:-1/", Reason.BAD_URL),
    ("http://example.org:" + "9" * 5000 + "/", Reason.BAD_URL),
    ("http://a b/", Reason.BAD_URL),
    ("http://a%20b.org/", Reason.BAD_URL),
    ("http://a%00b.org/", Reason.BAD_URL),
    ("http://a..b/", Reason.BAD_URL),
    ("http://.a.org/", Reason.BAD_URL),
    ("http://" + "a" * 64 + ".org/", Reason.BAD_URL),
    ("http://" + "a." * 10_000 + "org/", Reason.BAD_URL),
    ("http://" + "ab." * 100 + "org/", Reason.BAD_URL),
    ("http://example.org/" + "a" * 1_000_000, Reason.BAD_URL),
    ("http://1.2.3.4.5/", Reason.BAD_URL),
    ("http://256.1.1.1/", Reason.BAD_URL),
    ("http://1.2.3.09/", Reason.BAD_URL),
    ("http://4294967296/", Reason.BAD_URL),
    ("http://[::1/", Reason.BAD_URL),
    ("http://[::1]x/", Reason.BAD_URL),
    ("http://[fe80::1%25eth0]/", Reason.BAD_URL),
    ("http://[v1.x]/", Reason.BAD_URL),
    ("http://\u00ad/", Reason.BAD_URL),
    ("example.org/a.jpg", Reason.BAD_SCHEME),
    ("//example.org/a.jpg", Reason.BAD_SCHEME),
    ("/etc/hostname", Reason.BAD_SCHEME),
    ("C:\\a.jpg", Reason.BAD_SCHEME),
    *(
        (f"{scheme}://example.org/a", Reason.BAD_SCHEME)
        for scheme in [
            "file",
            "ftp",
            "gopher",
            "ws",
            "wss",
            "s3",
            "ssh",
            "ldap",
            "dict",
            "jar",
            "data",
            "javascript",
        ]
    ),
    ("file:///etc/hostname", Reason.BAD_SCHEME),
    ("data:image/png;base64,AAAA", Reason.BAD_SCHEME),
    *((f"http://example.org:{port}/", Reason.BAD_PORT) for port in (0, 22, 25, 6379, 9200, 65535)),
    ("http://localhost/", Reason.PRIVATE_ADDRESS),
    ("http://a.LOCALHOST./", Reason.PRIVATE_ADDRESS),
    ("http://[::1]/", Reason.PRIVATE_ADDRESS),
    ("http://[::ffff:127.0.0.1]/", Reason.PRIVATE_ADDRESS),
]


@pytest.mark.parametrize("url", SAME)
def test_a_normal_url_stays_as_it_is(url: str) -> None:
    assert parse(url, SETTINGS).text == url
    assert str(parse(url, SETTINGS).url()) == url


@pytest.mark.parametrize(("url", "wanted"), NORMALISED)
def test_normalised(url: str, wanted: str) -> None:
    assert parse(url, SETTINGS).text == wanted


@pytest.mark.parametrize(
    ("url", "reason"), REFUSED, ids=[url[:40].encode("unicode_escape").decode() for url, _ in REFUSED]
)
def test_refused(url: str, reason: Reason) -> None:
    with pytest.raises(Refused) as caught:
        parse(url, SETTINGS)
    assert caught.value.reason is reason
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("/x", "http://example.org/x"),
        ("x", "http://example.org/a/x"),
        ("../x", "http://example.org/x"),
        ("?y", "http://example.org/a/b?y"),
        ("", "http://example.org/a/b?q"),
        ("#z", "http://example.org/a/b?q"),
        ("//other.org/x", "http://other.org/x"),
        ("\\\\other.org\\x", "http://other.org/x"),
        ("https://other.org", "https://other.org/"),
        (" /x ", "http://example.org/x"),
        ("/caf\udcc3\udca9", "http://example.org/caf%C3%A9"),
    ],
)
def test_join(location: str, wanted: str) -> None:
    assert join(parse("http://example.org/a/b?q", SETTINGS), location, SETTINGS).text == wanted


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "//127.0.0.1/", "http:127.0.0.1", "http://[::1]", "//x:22/"]
)
def test_join_checks_the_target(location: str) -> None:
    with pytest.raises(Refused):
        join(parse("http://example.org/", SETTINGS), location, SETTINGS)


@given(st.text(max_size=60) | st.from_regex(r"https?://[^/]{0,20}(:[0-9]{0,6})?[/?#\\].{0,20}"))
def test_any_text_is_refused_or_becomes_a_stable_plain_ascii_url(text: str) -> None:
    try:
        target = parse(text, SETTINGS)
    except Refused:
        return
    assert target.text.isascii()
    assert target.text.isprintable()
    assert " " not in target.text
    assert "@" not in target.authority
    assert parse(target.text, SETTINGS) == target
    assert target.url().raw_host == target.host
    assert target.url().port == target.port
