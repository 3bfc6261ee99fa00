#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One cache directory, many rafs commands at once, one registry that counts: each chunk
travels once, and a command that is killed takes nobody along.

What processes do to each other inside the library is tests/cache/processes.c; this is the
same from outside, by HTTP. Usage: run_cache.py --rafs PATH
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, os.path.join(ROOT, "tests", "remote"))
import run_pull as pull  # noqa: E402
from report import Report  # noqa: E402

report = Report()
RAFS = None
FULL = bool(os.environ.get("RAFS_TEST_FULL"))


def start(cache, image, kind="tar"):
    return subprocess.Popen([RAFS, kind, "--stats=json", "--cache-dir", cache,
                             "--timeout", "60", image],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=dict(pull.ENV))


def fetched(told):
    """How many chunks a command says that it fetched itself; None if it does not."""
    lines = [line for line in told.decode().splitlines() if line.startswith("{")]
    if not lines:
        return None
    return sum(sample["value"] for sample in json.loads(lines[-1])["rafs_chunks"]
               if sample["origin"] == "fetched")


def together(folder, count):
    fault = pull.Fault("v6-chunk4k")
    server = pull.Server(fault)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    image = f"docker://127.0.0.1:{server.server_port}/lib/app@{pull.sha(fault.manifest)}"
    want = pull.local("v6-chunk4k", "tar").stdout
    cache = os.path.join(folder, f"together{count}")
    children = [start(cache, image) for _ in range(count)]
    # One thread for each, since a full pipe stops whoever writes to it.
    outs = [None] * count
    threads = [threading.Thread(target=lambda i=i: outs.__setitem__(
        i, children[i].communicate(timeout=90))) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = all(c.returncode == 0 and o[0] == want for c, o in zip(children, outs))
    report.check(f"{count} commands at once: right bytes", good,
                 [(c.returncode, o and o[1][-200:]) for c, o in zip(children, outs)])
    # Chunks, not bytes: what lies between two that are wanted may travel with them, also
    # where it is a chunk that another command fetches at that moment.
    alone = start(os.path.join(folder, f"alone{count}"), image).communicate(timeout=90)
    each = [fetched(out[1]) for out in outs]
    report.check(f"{count} commands at once: no chunk is fetched twice",
                 fetched(alone[1]) and None not in each and sum(each) == fetched(alone[1]),
                 (each, fetched(alone[1])))
    server.shutdown()
    server.server_close()


def killed(folder, rounds):
    """Kill who fetches, with his request unanswered; the two others take over."""
    fault = pull.Fault("v6-chunk4k")
    server = pull.Server(fault)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    image = f"docker://127.0.0.1:{server.server_port}/lib/app@{pull.sha(fault.manifest)}"
    want = pull.local("v6-chunk4k", "tar").stdout
    bad = []
    for number in range(rounds):
        cache = os.path.join(folder, f"killed{number}")
        seen, gone = threading.Event(), threading.Event()

        def behave(handler, body, first, last, seen=seen, gone=gone):
            if not seen.is_set():
                seen.set()
                gone.wait(60)
            return False
        fault.behave = behave
        children = [start(cache, image)]
        if not seen.wait(60):
            bad.append((number, "asked for nothing"))
        children += [start(cache, image) for _ in range(2)]
        children[0].kill()
        gone.set()
        outs = [c.communicate(timeout=90) for c in children]
        for child, out in list(zip(children, outs))[1:]:
            if child.returncode != 0 or out[0] != want:
                bad.append((number, child.returncode, out[1][-200:]))
        fault.behave = None
        after = pull.rafs("tar", "--cache-dir", cache, image)
        if after.returncode != 0 or after.stdout != want:
            bad.append((number, "afterwards", pull.shown(after)))
    report.check(f"{rounds} commands were killed, and nobody noticed", not bad, bad)
    server.shutdown()
    server.server_close()


def main():
    global RAFS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = pull.RAFS = os.path.abspath(parser.parse_args().rafs)
    with tempfile.TemporaryDirectory() as folder:
        pull.ENV["HOME"] = folder
        together(folder, 2)
        together(folder, 8)
        killed(folder, 300 if FULL else 6)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
