"""Paths into the values of columns, and checksums as lists write them."""

import base64
import hashlib

import pytest

from gristmill.spec.checksums import DIGEST_BYTES, checksum_of, is_missing
from gristmill.spec.columns import value_at

ROW = {
    "image": {"url": "u", "of": [{"raw": "a"}, {"raw": "b"}, {}]},
    "image.alt": "dotted",
    "many": ["x", "y"],
    "n": 3,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("n", 3),
        ("image.url", "u"),
        ("image.alt", "dotted"),
        ("image.of.raw", ["a", "b", None]),
        ("image.of.1.raw", "b"),
        ("many.1", "y"),
        ("many.2", None),
        ("many.99999999999999999999", None),
        ("many.x", [None, None]),
        ("n.x", None),
        ("none", None),
        ("none.x", None),
        ("", None),
        ("image.", None),
    ],
)
def test_what_a_path_leads_to(path, value):
    assert value_at(ROW, path) == value


@pytest.mark.parametrize("kind", DIGEST_BYTES)
def test_checksums_in_all_their_forms(kind):
    digest = hashlib.new(kind, b"picture").digest()
    whole = f"{kind}:{digest.hex()}"
    plain, safe = base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()
    forms = [digest.hex(), digest.hex().upper(), f" {digest.hex()}\n", digest, digest.hex().encode()]
    forms += [plain, plain.rstrip("="), safe, f"{kind}:{digest.hex()}", f"{kind.upper()}-{plain}"]
    assert [checksum_of(form, kind) for form in forms] == [whole] * len(forms)
    other = next(name for name in DIGEST_BYTES if name != kind)
    assert checksum_of(whole, other) == whole  # the kind that stands there is what counts
    wrong = [
        digest.hex()[1:],
        plain[4:],
        "",
        "nothing",
        7,
        1.5,
        None,
        [plain],
        digest[1:],
        "=" * 24,
        "é" * 32,
    ]
    assert [checksum_of(form, kind) for form in wrong] == [None] * len(wrong)


def test_what_is_no_checksum_and_what_is_none_at_all():
    assert all(map(is_missing, [None, "", "  ", "nan", "NaN", "None", "null", float("nan"), b"", b"nan"]))
    assert not any(map(is_missing, ["0", "abc", 0, 1.5, b"\x00" * 16, [], "nano"]))
