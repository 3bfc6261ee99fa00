# SPDX-License-Identifier: Apache-2.0
"""The table that the processes of a daemon share (examples/mount/mount.h), for tests that
have to know a process the moment it is there. `rafs status` says the same, but later."""
import mmap
import os
import struct
import time

import mounting

HEAD = "<IIiiiIII"  # version, size, pids of holder, pump, worker; how many of each so far
VERSION = 1


class Table:
    """Of the daemon that serves the mount at `point`."""

    def __init__(self, session, point):
        self.room = None
        pump = next((row["pump_pid"] for row in session.status() if row["dir"] == point), 0)
        if pump:
            self.room = open_table(pump)
        if self.room is None:
            raise LookupError(f"{point}: no process has a table of mounts open")

    def head(self):
        return struct.unpack_from(HEAD, self.room, 0)

    def pid(self, role):
        return self.head()[2 + ("holder", "pump", "worker").index(role)]

    def started(self, role):
        return self.head()[5 + ("holder", "pump", "worker").index(role)]

    def trio(self):
        return {role: self.pid(role) for role in ("holder", "pump", "worker")}

    def wait_for(self, role, other_than, seconds=mounting.PATIENCE):
        """A process of that role which lives and is not `other_than`; 0: none came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid = self.pid(role)
            if pid > 0 and pid != other_than and mounting.alive(pid):
                return pid
            time.sleep(0.0005)
        return 0


def open_table(pid):
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return None
    for name in names:
        try:
            if not os.readlink(f"{folder}/{name}").startswith("/memfd:rafs-table"):
                continue
            fd = os.open(f"{folder}/{name}", os.O_RDONLY)
        except OSError:
            continue
        try:
            size = os.fstat(fd).st_size
            if size >= struct.calcsize(HEAD):
                room = mmap.mmap(fd, size, prot=mmap.PROT_READ)
                if struct.unpack_from("<II", room, 0) == (VERSION, size):
                    return room
        except (OSError, ValueError):
            continue
        finally:
            os.close(fd)
    return None
