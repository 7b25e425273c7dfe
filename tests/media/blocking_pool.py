"""A codec pool for those who run no event loop."""

from gristmill.media.pool import CodecPool
from gristmill.media.transcoded import Transcoded
from gristmill.steps.loop_thread import LoopThread


class BlockingPool:
    """A pool in an event loop of its own; ``transcode`` may be called by any thread."""

    def __init__(self, *settings, **more):
        self.pool = CodecPool(*settings, **more)
        self._loop = LoopThread("codecs")

    def transcode(self, body: bytes) -> Transcoded:
        return self._loop.wait_for(self.pool.transcode(body))

    def begin(self, body: bytes):
        return self._loop.submit(self.pool.transcode(body))

    def close(self):
        self._loop.wait_for(self.pool.close())

    def pids(self) -> set[int]:
        return self.pool.pids()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        self._loop.close()
