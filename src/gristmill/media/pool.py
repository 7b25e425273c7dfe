"""Decoding in child processes: a decoder that crashes, hangs or eats memory costs one image."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from gristmill.media import wire
from gristmill.media.children import Child, ChildPool
from gristmill.media.errors import Undecodable
from gristmill.media.settings import ImageSettings
from gristmill.media.transcoded import Transcoded
from gristmill.spec.reasons import Reason

__all__ = ["CodecPool"]

# without the garbage collector until all is loaded: none of that is garbage
_MAIN = "import gc; gc.disable(); from gristmill.media.worker import main; main()"


class CodecPool(ChildPool):
    """A fixed number of codec processes, used by any number of tasks of one event loop.

    Args:
        settings: What to do with every image.
        processes: Children, and so images in work at the same time.
        deadline_s: Seconds of wall time after which a child is killed and its image given up.
        command: What to start instead of ``gristmill.media.worker``; for tests.
    """

    def __init__(
        self,
        settings: ImageSettings,
        *,
        processes: int,
        deadline_s: float = 20,
        command: Sequence[str] = (sys.executable, "-P", "-c", _MAIN),
    ) -> None:
        super().__init__(
            [*command, json.dumps(dataclasses.asdict(settings)), str(deadline_s)],
            module="gristmill.media.worker",
            processes=processes,
            deadline_s=deadline_s,
        )

    async def transcode(self, body: bytes) -> Transcoded:
        """``image.transcode`` in a child; waits for a free one.

        Raises:
            Undecodable: As ``image.transcode``, and as :meth:`insist`.
            MachineError: If no child can be started, or the pool was closed.
        """

        async def asked(child: Child) -> tuple[dict[str, Any], bytes]:
            return await child.ask(wire.lead_of(body), body)

        facts, stored = await self.insist(asked)
        if "reason" in facts:
            raise Undecodable(Reason(facts["reason"]), facts["detail"])
        return Transcoded(body=stored, **facts)
