"""``python -m bench.bad_web_server PORT``: pictures on many loopback hosts, three in ten of them bad.

A host's number is the last two parts of its address. Of ten, numbers 0, 3 and 6 are bad if the path says so
(``/bad/``): they take turns to stall, to drip a byte a second, and to reset. ``/stats`` says how many requests came
and when the last one did.
"""

import asyncio
import json
import socket
import struct
import sys
import time

import uvloop

from gristmill.testing.pictures import shipped_pictures

PICTURES = 64
WIDTH_PX = 800
BAD = {0: "stall", 3: "drip", 6: "reset"}


class Server:
    def __init__(self) -> None:
        pictures = shipped_pictures()
        self.bodies = [pictures.get(number, "jpg", WIDTH_PX).data for number in range(PICTURES)]
        self.requests, self.last_at = 0, 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0].split(".")
        kind = BAD.get((int(address[2]) * 256 + int(address[3])) % 10)
        try:
            while await self._answer(await reader.readuntil(b"\r\n\r\n"), writer, kind):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, RuntimeError):
            pass  # the client left; uvloop says so in three ways
        finally:
            writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter, kind: str | None) -> bool:
        path = head.split(b" ", 2)[1].decode()
        if path == "/stats":
            await self._send(
                writer, json.dumps({"requests": self.requests, "last_at": self.last_at}).encode()
            )
            return True
        self.requests, self.last_at = self.requests + 1, time.time()
        body = self.bodies[int(path.rpartition("/")[2]) % PICTURES]
        if kind is None or not path.startswith("/bad/"):
            await self._send(writer, body)
            return True
        if kind == "stall":
            await asyncio.sleep(3600)
        elif kind == "drip":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            for at in range(len(body)):
                writer.write(body[at : at + 1])
                await writer.drain()
                await asyncio.sleep(1)
        else:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return False

    async def _send(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()


async def main(port: int) -> None:
    server = await asyncio.start_server(Server().serve, "0.0.0.0", port, backlog=4096)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
