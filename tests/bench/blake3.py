#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast librafs' BLAKE3 is against the PyPI package blake3, in this process, on one
thread, one shot. The buffer is reused, so it lies in a cache if it fits one.

Both are called from a Python loop, so each call costs more than its hash: through ctypes
for librafs, through a C extension for the package. Hashing no bytes costs a call and one
block in either. The raw ratio compares whole calls; the net ratio first takes each side's
time for no bytes off, which leaves the bytes. It is what counts for short buffers; for
long ones the two agree. The sides take turns, and each has the median of its rounds.

Exit: 0 measured, or skipped with a message; 1 with --check if a goal is missed, or if the
digests differ.
"""

import argparse
import ctypes
import importlib.metadata
import os
import platform
import statistics
import sys
import time

RAFS_DIGEST_BLAKE3 = 0

# Buffer size, least net ratio wanted (None: shown only).
SIZES = [(64, None), (1024, None), (4096, 0.8), (16384, None), (65536, 0.8),
         (1 << 20, 0.9), (16 << 20, None)]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(0)


def cpu_level():
    """The widest of our levels that this processor should get, and its name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
            lines = [line.split(":", 1) for line in f if ":" in line]
    except OSError:
        return platform.machine()
    facts = {key.strip(): value.strip() for key, value in reversed(lines)}
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    level = "portable"
    if {"avx512f", "avx512vl"} <= flags:
        level = "AVX-512"
    elif "avx2" in flags:
        level = "AVX2"
    elif "sse4_1" in flags:
        level = "SSE4.1"
    elif "asimd" in flags:
        level = "NEON"
    return f"{facts.get('model name', platform.machine())}, {level}"


def load_package():
    # This file has the package's name: look elsewhere than in its folder.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != here]
    try:
        import blake3
    except ImportError:
        skip("no Python package blake3 here (pip install blake3)")
    return blake3.blake3, importlib.metadata.version("blake3")


def load_library(path):
    if not path:
        skip("no library named: give --lib PATH or set RAFS_LIBRARY")
    try:
        lib = ctypes.CDLL(os.path.abspath(path))
        digest = lib.rafs_digest_bytes
    except (OSError, AttributeError) as e:
        skip(f"cannot use {path}: {e}")
    version = "unknown"
    if hasattr(lib, "rafs_version"):
        lib.rafs_version.restype = ctypes.c_char_p
        version = lib.rafs_version().decode()
    return digest, version


def rafs_caller(digest, data):
    """A function without arguments that hashes data, and where its result lies. The
    arguments are converted once, so that ctypes has the least to do per call."""
    out = ctypes.create_string_buffer(32)
    args = (ctypes.c_uint32(RAFS_DIGEST_BLAKE3), ctypes.c_char_p(data),
            ctypes.c_size_t(len(data)), out)

    def call():
        return digest(*args)
    return call, out


def seconds_per_call(call, times):
    numbers = range(times)
    start = time.perf_counter()
    for _ in numbers:
        call()
    return (time.perf_counter() - start) / times


def callers(digest, package, size):
    """Functions that hash size bytes, by librafs and by the package."""
    data = bytes(i % 251 for i in range(251)) * (size // 251 + 1)
    data = data[:size]
    ours, out = rafs_caller(digest, data)

    def theirs():
        return package(data).digest()

    if ours() != 0 or out.raw != theirs():
        print(f"WRONG: the digests of {size} bytes differ")
        sys.exit(1)
    return [ours, theirs]


def measure(digest, package, size, rounds, round_s):
    """Median seconds per call: librafs, package; both again with no bytes."""
    calls = callers(digest, package, size) + callers(digest, package, 0)
    times = [max(1, int(round_s / max(seconds_per_call(c, 3), 1e-9))) for c in calls]
    samples = [[seconds_per_call(c, t) for c, t in zip(calls, times)]
               for _ in range(rounds)]
    return [statistics.median(side) for side in zip(*samples)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--lib", default=os.environ.get("RAFS_LIBRARY"),
                        help="librafs.so (default: RAFS_LIBRARY)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--round-ms", type=float, default=20)
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    options = parser.parse_args()
    digest, version = load_library(options.lib)
    package, package_version = load_package()
    round_s = options.round_ms / 1000

    print(f"BLAKE3, one thread, one shot: librafs {version} against the PyPI package "
          f"blake3 {package_version}")
    print(f"{cpu_level()}; Python {platform.python_version()}; one buffer, reused; "
          f"median of {options.rounds} rounds of {options.round_ms:g} ms, taking turns")
    print("net: less the time for no bytes (a call and one block), taken in the same "
          "rounds\n")
    print(f"{'bytes':>9} {'librafs':>9} {'package':>9} {'ratio':>6} | {'librafs':>9} "
          f"{'package':>9} {'ratio':>6}  goal (net)")
    print(f"{'':>9} {'raw GB/s':>9} {'raw GB/s':>9} {'raw':>6} | {'net GB/s':>9} "
          f"{'net GB/s':>9} {'net':>6}")
    missed = 0
    for size, goal in SIZES:
        medians = measure(digest, package, size, options.rounds, round_s)
        raw, idle = medians[:2], medians[2:]
        net = [max(r - i, 1e-12) for r, i in zip(raw, idle)]
        line = f"{size:>9}"
        for seconds, last in ((raw, " |"), (net, "")):
            line += "".join(f" {size / s / 1e9:>9.2f}" for s in seconds)
            line += f" {seconds[1] / seconds[0]:>6.2f}{last}"
        if size <= 64: # one block as well: nothing is left
            line = line[:line.index("|") + 1]
        if goal is not None:
            met = net[1] / net[0] >= goal
            missed += not met
            line += f"  >= {goal:.1f} {'met' if met else 'MISSED'}"
        print(line)
    print(f"\nno bytes: librafs by ctypes {idle[0] * 1e9:.0f} ns, package "
          f"{idle[1] * 1e9:.0f} ns")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
