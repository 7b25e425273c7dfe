"""WikiArt: paintings, which ShareGPT4V was captioned on: some 500 pictures or more, out of the web.

Records name them ``wikiart/images/...``; the path here is what follows ``images/``. The archive on Drive,
``wikiart.zip``, has ``data/wikiart/images/`` in front. Names with letters that were decoded by the wrong table are
found all the same. A few pictures that records name are in no copy that is passed on: they are counted.
"""

from __future__ import annotations

from gristmill.sources._playground import web

__all__ = ["SOURCE"]

SOURCE = web("wikiart", title="WikiArt pictures", folder="wikiart", archive="wikiart.zip")
