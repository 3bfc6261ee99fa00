# SPDX-License-Identifier: Apache-2.0
"""How the test scripts of this project report: a line for what failed or was left out,
and at the end `N passed, N failed, N skipped`, which tests/run adds up."""
import sys


class Report:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def check(self, name, good, detail=""):
        """One test: passed if `good`; `detail` says what was seen instead."""
        if good:
            self.passed += 1
        else:
            self.failed += 1
            lines = str(detail).strip().splitlines() or ["no detail"]
            print(f"FAIL {name}: " + "\n    ".join(lines), flush=True)
        return bool(good)

    def skip(self, name, reason):
        self.skipped += 1
        print(f"SKIP {name}: {reason}", flush=True)

    def finish(self):
        """Print the last line and give the exit code."""
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        sys.stdout.flush()
        return 1 if self.failed else 0
