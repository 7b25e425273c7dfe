"""A recipe whose crawl kills, or hangs, the worker process that checks certain bytes."""

import ctypes
import os
import signal
import threading
import time

from gristmill import recipes
from gristmill.steps.transcoders.image import ImageTranscoder

POISON = b"POISON"


def _checked(check, how):
    def poisoned(transcoder, body, *more):
        if body.startswith(POISON):
            if how == "hang":
                ctypes.PyDLL(None).sleep(600)  # native code that keeps the GIL
            while how == "loop":
                pass
            if how == "wait":
                threading.Event().wait()
            os.kill(os.getpid(), signal.Signals[how])
            time.sleep(60)  # another thread may be the one that takes the signal
        return check(transcoder, body, *more)

    return poisoned


def load(how, *arguments):
    if "GRISTMILL_TEST_WORKER" in os.environ:  # not in the process of the tests
        ImageTranscoder.take = _checked(ImageTranscoder.take, how)
    return recipes.load(*arguments)
