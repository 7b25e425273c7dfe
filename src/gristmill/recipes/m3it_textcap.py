"""M3IT's subset textcap: pictures with text in them and captions that read it.

TextCaps (Sidorov et al., 2020): captions that need the text within the picture. Several captions of a picture
are rows of their own, so the same picture lies in the file, and in the shards, several times.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "textcap",
    task="captioning",
    title="TextCaps",
    description="Pictures with text in them and captions that read it.",
    rows=97_765,
    size_gb=6.15,
)
