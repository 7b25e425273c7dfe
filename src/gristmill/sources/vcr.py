"""VCR: 110,000 frames of films, one zip of some 25 GB that is had by hand, after terms were agreed to.

In the archive a picture is ``vcr1images/FOLDER/FILE.jpg``; beside each lies a JSON of boxes, which is passed over.
Names of folders begin with ``lsmdc_`` or ``movieclips_``; those of files hold dots, times and ``@``. Sherlock's rows
name a picture by the address that it once had; the path here is that below ``vcr1images``.
"""

from __future__ import annotations

from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

_FILE = "movieclips_Titanic/a@1.jpg"

SOURCE = Source(
    key="vcr",
    role="media",
    title="VCR pictures",
    format="archives",
    by_hand=(
        "Agree to the terms at https://visualcommonsense.com/download/ and fetch vcr1images.zip, some 25 GB."
    ),
    patterns=("vcr1images.zip", "vcr1images*"),
    layouts=(
        MemberLayout(
            name="archive", member=r"vcr1images/([^/]+/[^/]+\.jpg)", path=r"\1", example=f"vcr1images/{_FILE}"
        ),
        MemberLayout(
            name="tree",
            member=r".*/vcr1images/([^/]+/[^/]+\.jpg)",
            path=r"\1",
            example=f"vcr/vcr1images/{_FILE}",
        ),
        MemberLayout(name="folders", member=r"(?:lsmdc|movieclips)_[^/]+/[^/]+\.jpg", example=_FILE),
    ),
    license="other",
    access="form",
    terms="https://visualcommonsense.com/license/: research only; the frames belong to the films' owners",
    address="https://visualcommonsense.com/download/",
    files=1,
    size_bytes=25_000_000_000,
)
