import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from blocking_pool import BlockingPool
from made_images import photo, saved

from gristmill.media import children
from gristmill.media.image import Undecodable, transcode
from gristmill.media.settings import ImageSettings
from gristmill.spec.errors import MachineError
from gristmill.spec.reasons import Reason

SETTINGS = ImageSettings(size_px=100)

FAKE = """
import ctypes, os, pathlib, signal, sys, time
from gristmill.media import worker
from gristmill.media.image import transcode

def codec(body, settings):
    if body.startswith(b"crash once") and not pathlib.Path(FLAG).exists():
        pathlib.Path(FLAG).touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    if body == b"segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if body == b"abort":
        os.abort()
    if body == b"hang":
        ctypes.PyDLL(None).sleep(90)  # holds the GIL, as a looping decoder may
    if body == b"eat":
        bytearray(300 << 20)  # much for a picture of no size
    if body == b"leak":
        worker.kept = [*getattr(worker, "kept", ()), b"x" * (90 << 20)]
    if body == b"compute":
        while True:
            pass
    if body == b"write":
        with open(FLAG, "wb") as file:
            file.write(b"x")
    body = body.removeprefix(b"crash once")
    return transcode(BODY if body in (b"leak", b"pid") else body, settings)

BODY = pathlib.Path(sys.argv.pop(1)).read_bytes()
FLAG = sys.argv.pop(1)
worker.CPU_S = 0.5
worker.main(codec=codec)
"""


@pytest.fixture(scope="module")
def body():
    return saved(photo(300, 200))


def faked(folder, body, deadline_s=60):
    """A pool of one child with the codec above. Its deadline is long: a busy machine is not what ends a picture."""
    (folder / "fake.py").write_text(textwrap.dedent(FAKE))
    (folder / "body.jpg").write_bytes(body)
    command = (sys.executable, str(folder / "fake.py"), str(folder / "body.jpg"), str(folder / "flag"))
    return BlockingPool(SETTINGS, processes=1, deadline_s=deadline_s, command=command)


@pytest.fixture(scope="module")
def fake(body, tmp_path_factory):
    """It outlives whatever its children do, so one serves all: a child takes a third of a second to begin."""
    with faked(tmp_path_factory.mktemp("fake"), body) as pool:
        yield pool


@pytest.mark.slow
def test_same_as_in_process_from_many_threads(body):
    bodies = [
        saved(photo(150 + 40 * n, 160, n), kind) for n, kind in enumerate(["JPEG", "PNG", "WEBP", "GIF"] * 3)
    ]
    with BlockingPool(SETTINGS, processes=2) as pool, ThreadPoolExecutor(6) as threads:
        assert list(threads.map(pool.transcode, bodies)) == [transcode(each, SETTINGS) for each in bodies]
        with pytest.raises(Undecodable) as caught:
            pool.transcode(body[:-30])
        assert caught.value.reason is Reason.TRUNCATED
        big = saved(photo(200, 150).resize((2000, 1500)), "BMP")
        assert len(big) > 8 << 20
        assert pool.transcode(big) == transcode(big, SETTINGS)


@pytest.mark.parametrize("how", [b"segv", b"abort"])
def test_a_crash_costs_its_image_only(fake, body, how):
    before = fake.pids()
    with pytest.raises(Undecodable) as caught:
        fake.transcode(how)
    assert caught.value.reason is Reason.DECODER_CRASH
    assert {b"segv": "SIGSEGV", b"abort": "SIGABRT"}[how] in caught.value.detail
    assert fake.transcode(body).width_px == 150
    assert not before & fake.pids()


def test_an_image_is_tried_again_after_a_crash(fake, body):
    assert fake.transcode(b"crash once" + body).width_px == 150


def test_a_child_killed_while_idle_costs_nothing(fake, body):
    fake.transcode(body)
    for pid in fake.pids():
        os.kill(pid, signal.SIGKILL)
    assert fake.transcode(body).width_px == 150


def test_a_hang_ends_at_the_deadline(body, tmp_path):
    with faked(tmp_path, body, deadline_s=2) as fake:
        fake.transcode(body)
        began_s = time.monotonic()
        with pytest.raises(Undecodable) as caught:
            fake.transcode(b"hang")
        assert caught.value.reason is Reason.DECODER_TIMEOUT
        assert time.monotonic() - began_s < 60
        assert fake.transcode(body).width_px == 150


def test_processor_time_is_bounded(fake, body):
    with pytest.raises(Undecodable, match="processor time") as caught:
        fake.transcode(b"compute")
    assert caught.value.reason is Reason.DECODER_TIMEOUT
    assert fake.transcode(body).width_px == 150


def test_a_decoder_writes_no_file(fake, body):
    with pytest.raises(Undecodable) as caught:
        fake.transcode(b"write")
    assert caught.value.reason is Reason.DECODER_CRASH
    assert fake.transcode(body).width_px == 150


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_memory_is_bounded(fake, body):
    with pytest.raises(Undecodable) as caught:
        fake.transcode(b"eat")
    assert caught.value.reason is Reason.UNDECODABLE
    assert "memory" in caught.value.detail
    assert fake.transcode(body).width_px == 150


def test_a_child_that_has_grown_is_replaced(fake, body):
    fake.transcode(body)
    before = fake.pids()
    for _ in range(3):
        assert fake.transcode(b"leak").width_px == 150
    assert not before & fake.pids()
    same = fake.pids()
    assert fake.transcode(body).width_px == 150
    assert fake.pids() == same


def test_close_ends_the_children_and_wakes_who_waits(body, tmp_path):
    with faked(tmp_path, body) as fake:
        children = [psutil.Process(pid) for pid in fake.pids()]
        waiting = fake.begin(b"hang")
        time.sleep(1)
        fake.close()
        with pytest.raises(MachineError):
            waiting.result(timeout=5)
        assert not any(child.is_running() for child in children)


def test_a_child_that_cannot_start_is_said(body):
    command = (sys.executable, "-c", "raise SystemExit(3)")
    with (
        BlockingPool(SETTINGS, processes=1, command=command) as pool,
        pytest.raises(MachineError, match="code 3"),
    ):
        pool.transcode(body)


PLAYED = """
import os, pathlib, socket, struct, sys
flag, signals = pathlib.Path(sys.argv[1]), sys.argv[2].split(",")
with socket.socket(fileno=0) as sock:
    sock.sendall(b"R")
    while lead := sock.recv(8, socket.MSG_WAITALL):
        sock.recv(struct.unpack("<Q", lead)[0], socket.MSG_WAITALL)
        died = len(flag.read_bytes())
        if died < len(signals):
            flag.write_bytes(bytes(died + 1))
            os.kill(os.getpid(), int(signals[died]))
        said = b'{"leave": false, "reason": "truncated", "detail": "looked at"}'
        sock.sendall(struct.pack("<II", len(said), 0) + said)
"""
"""A child without codecs: it dies of these signals, one after another, whoever it is, and then says a word."""


@pytest.mark.parametrize(
    ("signals", "reason", "said"),
    [
        ((9,) * 5, "truncated", "looked at"),
        ((9,) * 6, "killed", "6 decoders in a row were killed over it by others; memory may be short"),
        ((11,), "truncated", "looked at"),
        ((9, 11, 9), "truncated", "looked at"),
        ((11, 11), "decoder_crash", "ended by SIGSEGV"),
        ((9, 6, 9, 6), "decoder_crash", "ended by SIGABRT"),
    ],
)
def test_whom_others_kill_is_asked_again_and_a_crash_is_believed_when_it_repeats(
    tmp_path, monkeypatch, signals, reason, said
):
    monkeypatch.setattr(children, "_WAIT_S", 0.0)
    (tmp_path / "flag").touch()
    command = (sys.executable, "-S", "-E", "-c", PLAYED, tmp_path / "flag", ",".join(map(str, signals)))
    with BlockingPool(SETTINGS, processes=2, command=[*map(str, command)]) as pool:
        with pytest.raises(Undecodable) as caught:
            pool.transcode(b"body")
        assert (caught.value.reason, caught.value.detail) == (reason, said)
        assert len((tmp_path / "flag").read_bytes()) == len(signals)
        many = [pool.begin(b"body") for _ in range(5)]  # every child is free again
        assert {type(one.exception()) for one in many} == {Undecodable}


def test_a_cancelled_wait_does_not_mix_up_answers(fake, body):
    fake.transcode(body)
    waiting = fake.begin(b"hang")
    time.sleep(0.3)
    waiting.cancel()
    other = saved(photo(220, 300))
    assert fake.transcode(other) == transcode(other, SETTINGS)


def test_answers_in_pieces_are_put_together(body):
    """A stored picture that is larger than a socket's buffer."""
    settings = ImageSettings(resize_mode="no", format="png")
    big = saved(photo(1600, 1200))
    with BlockingPool(settings, processes=1) as pool:
        made = pool.transcode(big)
        assert len(made.body) > 2 << 20
        assert made == transcode(big, settings)
        assert pool.transcode(body) == transcode(body, settings)


def test_where_memory_is_short_a_decoder_goes_before_its_worker(body):
    with BlockingPool(SETTINGS, processes=1) as pool:
        pool.transcode(body)
        (pid,) = pool.pids()
        scores = [int(Path(f"/proc/{n}/oom_score_adj").read_text()) for n in (pid, "self")]
        assert scores[0] == max(500, scores[1])


def test_children_go_when_the_parent_is_killed():
    script = """
        import time
        from gristmill.media.pool import CodecPool
        from gristmill.media.settings import ImageSettings
        pool = CodecPool(ImageSettings(), processes=2)
        print(*(child.pid for child in pool._children), flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    with parent:
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(children) == 2
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_the_crawling_process_loads_no_codec_and_a_child_nothing_else():
    light = "import sys, gristmill.media.pool, gristmill.media.hamming; print(*sys.modules)"
    heavy = "import sys, gristmill.media.worker; print(*sys.modules)"
    parent, child = (
        set(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout.split()
        )
        for code in (light, heavy)
    )
    assert not {"cv2", "numpy", "PIL", "simplejpeg"} & parent
    assert not {"pyarrow", "aiohttp", "asyncio", "click", "huggingface_hub", "scipy"} & child
