"""DocVQA: 12,767 pages of scanned documents, three tar.gz of a portal that wants a registration.

Mathew et al., 2021 (https://www.docvqa.org). A page is ``train/documents/ffbf0023_4.png``, which is how records name
it below the family's folder, and the path here. The portal's certificates are said not to verify, and are never left
unverified here: its files are had by hand, if InternVL's repository does not have them.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="docvqa",
    role="media",
    title="DocVQA pages",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/docvqa*", "train.tar.gz", "val.tar.gz", "test.tar.gz"),
    by_hand=(
        "Register at https://rrc.cvc.uab.es/?ch=17 and fetch train.tar.gz, whose size is published nowhere. "
        "val.tar.gz and test.tar.gz are not needed."
    ),
    layouts=family(
        r"(?:train|val|test)/documents/[^/]+\.png",
        below="",
        folder="docvqa",
        example="docvqa/train/documents/xnbl0037_1.png",
    ),
    license="other",
    access="login",
    terms="the portal's; documents are of UCSF's Industry Documents Library",
    address="https://rrc.cvc.uab.es/?ch=17&com=downloads",
    files=3,
)
