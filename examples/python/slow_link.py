#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A slow link to a server on this machine: a TCP relay with a latency and a rate.

    slow_link.py HOST:PORT [--delay MS] [--rate MBYTES]

It listens on a free port of 127.0.0.1 and prints the port. What the server sends arrives
--delay later (so a request costs one delay, and so does making a connection), at --rate for
all connections together. For each line on standard input it prints what passed since the line
before, as JSON; it ends with its input. Programs use the class Link.

    requests     HTTP requests; connections: TCP connections made
    received     bytes that the server sent, headers included
    round_trips  the time, in delays, in which nothing arrived although something was asked
                 for: those one after the other, not those side by side
"""
from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time

PIECE = 256 * 1024
METHODS = (b"GET ", b"HEAD ", b"PUT ", b"POST ", b"PATCH ", b"DELETE ")


class Relay:
    """Connections to one server, whose answers share a rate and come late."""

    def __init__(self, host: str, port: int, delay: float, rate: float) -> None:
        self.host, self.port, self.delay, self.rate = host, port, delay, rate
        self.end = 0.0  # when all that was sent so far will have arrived
        self.reset()

    def reset(self) -> None:
        self.requests = self.connections = self.received = 0
        self.waited = 0.0
        self.asked: dict[object, float] = {}  # when, by connections that wait for an answer

    def told(self) -> dict[str, float]:
        return {"requests": self.requests, "connections": self.connections,
                "received": self.received,
                "round_trips": round(self.waited / self.delay, 1) if self.delay else 0}

    def due(self, asker: object, size: int) -> float:
        """When so many bytes, sent now, will have arrived."""
        start = max(self.end, time.monotonic() + self.delay)
        if self.asked:
            self.waited += max(0, start - max(self.end, min(self.asked.values())))
            self.asked.pop(asker, None)
        self.end = start + (size / self.rate if self.rate else 0)
        self.received += size
        return self.end

    async def connected(self, reader: asyncio.StreamReader,
                        writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            server = await asyncio.open_connection(self.host, self.port, limit=PIECE)
        except OSError:
            writer.close()
            return
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        await asyncio.gather(self.questions(reader, server[1], writer),
                             self.answers(server[0], late, writer),
                             self.deliver(late, writer), return_exceptions=True)
        self.asked.pop(writer, None)
        for end in (writer, server[1]):
            end.close()

    async def questions(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter,
                        asker: object) -> None:
        fresh = True
        while piece := await reader.read(PIECE):
            if piece.startswith(METHODS):
                self.requests += 1
                self.asked[asker] = time.monotonic()
                if fresh:
                    await asyncio.sleep(self.delay)  # as long as the handshake would take
                fresh = False
            server.write(piece)
            await server.drain()
        server.write_eof()

    async def answers(self, reader: asyncio.StreamReader,
                      late: asyncio.Queue[tuple[float, bytes]], asker: object) -> None:
        while piece := await reader.read(PIECE):
            await late.put((self.due(asker, len(piece)), piece))
            early = self.end - self.delay - time.monotonic()
            if early > 0.01:  # no more is on its way than the link has room for
                await asyncio.sleep(early - 0.005)
        await late.put((0.0, b""))

    async def deliver(self, late: asyncio.Queue[tuple[float, bytes]],
                      writer: asyncio.StreamWriter) -> None:
        while True:
            due, piece = await late.get()
            if not piece:
                writer.write_eof()
                return
            await asyncio.sleep(max(0, due - time.monotonic()))
            writer.write(piece)
            await writer.drain()


async def serve(relay: Relay) -> None:
    server = await asyncio.start_server(relay.connected, "127.0.0.1", 0, limit=PIECE)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(relay.told()), flush=True)
        relay.reset()
    os._exit(0)  # with all connections that are left


class Link:
    """A relay in a process of its own; a context manager."""

    def __init__(self, server: str, delay_ms: float = 20, rate_mbytes: float = 0) -> None:
        self.child = subprocess.Popen(
            [sys.executable, __file__, server, "--delay", str(delay_ms), "--rate",
             str(rate_mbytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True)  # Ctrl-C is for us; the relay ends with its input
        assert self.child.stdout is not None
        port = self.child.stdout.readline().strip()
        if not port:
            raise OSError("the relay did not start")
        self.host = "127.0.0.1:" + port

    def count(self) -> dict[str, float]:
        """What passed since the last call."""
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise OSError("the relay has ended")
        return json.loads(line)  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the relay."""
        assert self.child.stdin is not None
        self.child.stdin.close()
        self.child.wait()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", metavar="HOST:PORT")
    parser.add_argument("--delay", type=float, default=20, metavar="MS")
    parser.add_argument("--rate", type=float, default=0, metavar="MBYTES",
                        help="10^6 bytes a second; 0: as fast as it goes")
    args = parser.parse_args()
    host, _, port = args.server.rpartition(":")
    if not port.isdigit() or args.delay < 0 or args.rate < 0:
        parser.error("it takes HOST:PORT, and numbers that are not negative")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve(Relay(host, int(port), args.delay / 1000, args.rate * 1e6)))


if __name__ == "__main__":
    main()
