#!/usr/bin/env python3
"""Make the image that examples/try shows: make.py [PATH-OF-nydus-image]. Needs root.

All texts are written here or put together from a fixed seed.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NOON = 1_750_000_000
OPTIONS = ("create -t dir-rafs --fs-version 6 --compressor zstd --digester blake3 "
           "--chunk-size 0x10000 -B image.boot -D blobs").split()

HELLO = """Hello.

If you read this through librafs, then every byte of it was hashed first and found to be
what the image's author put there. If one bit of the blob had been changed on its way to
you, you would be reading an error message now, and it would say which chunk of which
blob was wrong.
"""

ABOUT = """librafs opens container images without unpacking them
====================================================

An image of this format has two parts. The bootstrap is a small file of names, modes,
times and sizes, and for each file a list of chunks. A blob holds the chunks, compressed.
To read one page of one file, a reader looks into the bootstrap, fetches one chunk,
decodes it, hashes it, compares, and copies the page.

Nothing else has to be there. A program can start while most of its image is still on a
server far away.
"""

POEM = """On asking for one byte

The shelf is long, the night is late,
I only want the letter eight.
No need to carry down the wall
and every book, to read it all.

You bring one page. I do not look
before I weigh it by the book
that came to me by other ways
and lists the weight of every page.

It fits: then here is what it said.
It does not fit: it goes unread.
"""

SCRIPT = """#!/bin/sh
# Greet whoever calls, or the world.
set -eu
echo "hello, ${1:-world}"
"""

NOTES = "Notes are kept one to a file: to read one is not to read them all.\n"


def almanac(size):
    """A long text with little repetition: the weather of a place that does not exist."""
    rng = random.Random("almanac")
    sky = "clear|grey|broken clouds|high cloud|fog until noon|haze|thunder".split("|")
    wind = "calm|a light breeze|gusts|a steady wind|strong wind".split("|")
    side = "north north-east east south-east south south-west west north-west".split()
    notes = ("first swallows seen|river high|the ferry did not sail|good visibility|"
             "frost on the lower meadow|nothing to report|instruments cleaned|"
             "the lamp was lit early|a ship passed without lights").split("|")
    out, day, length = [], 0, 0
    while length < size:
        day += 1
        line = (f"Day {day}: {rng.choice(sky)}, {rng.choice(wind)} from the "
                f"{rng.choice(side)}, {rng.randint(-120, 310) / 10:.1f} degrees, "
                f"{rng.randint(9600, 10450) / 10:.1f} hPa, "
                f"rain {rng.randint(0, 220) / 10:.1f} mm; {rng.choice(notes)}.\n")
        out.append(line)
        length += len(line)
    return "".join(out)


FILES = {
    "hello.txt": HELLO,
    "bin/greet": SCRIPT,
    "doc/about.txt": ABOUT,
    "doc/poem.txt": POEM,
    "share/almanac.txt": almanac(300_000),
    "share/notes/one.txt": NOTES,
    "share/notes/empty.txt": "",
}
LINKS = {"README": "doc/about.txt", "share/today": "almanac.txt"}


def create(root):
    for name, text in FILES.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o755 if name.startswith("bin/") else 0o644)
    for name, target in LINKS.items():
        os.symlink(target, os.path.join(root, name))
    os.link(os.path.join(root, "doc/poem.txt"), os.path.join(root, "share/poem.txt"))
    for top, dirs, files in os.walk(root, topdown=False):
        for name in files + dirs:
            os.utime(os.path.join(top, name), (NOON, NOON), follow_symlinks=False)
    os.chmod(root, 0o755)


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "nydus-image"
    os.umask(0o022)
    shutil.rmtree(os.path.join(HERE, "blobs"), ignore_errors=True)
    os.mkdir(os.path.join(HERE, "blobs"))
    with tempfile.TemporaryDirectory() as source:
        create(source)
        subprocess.run([os.path.abspath(shutil.which(program)), *OPTIONS, source],
                       cwd=HERE, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
