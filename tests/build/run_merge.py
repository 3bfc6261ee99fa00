#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rafs merge, diff, chunk dictionaries and the chunk store, against the reference builder's
images, against what layered builds show, and against nydus-image merge.

Usage: run_merge.py --rafs PATH

nydus-image is taken from $NYDUS_IMAGE or PATH, the larger golden images from
$RAFS_TESTDATA or ../shared/testdata beside the project; what needs them is skipped by name
where they are not.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from report import Report  # noqa: E402

report = Report()
ENV = dict(os.environ, RAFS_CACHE_DIR="")
NYDUS = os.environ.get("NYDUS_IMAGE") or shutil.which("nydus-image")
SHARED = os.path.join(os.environ.get("RAFS_TESTDATA") or
                      os.path.join(os.path.dirname(ROOT), "shared", "testdata"), "golden")


def rafs(*args):
    return subprocess.run([RAFS, *map(str, args)], stdout=subprocess.PIPE, timeout=300,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENV)


def good(name, run, code=0):
    return report.check(name, run.returncode == code, f"exit {run.returncode}: "
                        f"{run.stdout[-800:]!r} {(run.stderr or b'')[-800:]!r}")


def built(name, *args):
    """rafs build or merge; what it tells."""
    run = rafs(*args, "--json", "--no-sync")
    return json.loads(run.stdout) if good(name, run) else {}


def same(name, a, b, *options):
    good(name, rafs("diff", *options, a, b))


def sound(name, image, *dirs):
    """Every byte of it reads, and is what the bootstrap says."""
    good(name, rafs("check", *(x for d in dirs for x in ("--blob-dir", d)), image))


def write(path, data=b"", mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def noise(tag, size):
    return (b"%s %d " % (tag, size) * (size // 4 + 1))[:size]


def make_trees(top):
    """A lower layer, with a whiteout that hides nothing, and an upper one."""
    lower, upper = os.path.join(top, "lower"), os.path.join(top, "upper")
    for name, size in (("keep", 10), ("gone", 5000), ("change", 300000), ("opq/old", 7),
                       ("opq/deep/er", 8), ("type/a", 9), ("dir/below/x", 100000)):
        write(os.path.join(lower, name), noise(name.encode(), size))
    os.link(os.path.join(lower, "keep"), os.path.join(lower, "linked"))
    os.symlink("keep", os.path.join(lower, "soft"))
    os.link(os.path.join(lower, "soft"), os.path.join(lower, "soft2"), follow_symlinks=False)
    os.mkfifo(os.path.join(lower, "pipe"))
    write(os.path.join(lower, ".wh.nothing"))
    write(os.path.join(upper, ".wh.gone"))
    write(os.path.join(upper, "change"), noise(b"changed", 200000), 0o600)
    write(os.path.join(upper, "opq", ".wh..wh..opq"))
    write(os.path.join(upper, "opq", "new"), noise(b"change", 300000))
    write(os.path.join(upper, "type"), b"a file now")
    write(os.path.join(upper, "linked"), b"no link any more")
    return lower, upper


def ours(top, version):
    """Merging what we built layer by layer is building the layers at once."""
    lower, upper = make_trees(os.path.join(top, f"trees{version}"))
    at = os.path.join(top, f"ours{version}")
    blobs = os.path.join(at, "blobs")
    options = ["--fs-version", version, "--chunk-size", "65536",
               "--blob-dir", blobs]
    boots = []
    for i, tree in enumerate((lower, upper)):
        boots.append(os.path.join(at, f"l{i}.boot"))
        built(f"v{version}: layer {i}", "build", *options, "--keep-whiteouts", "--bootstrap",
              boots[i], tree)
    whole, merged = os.path.join(at, "whole.boot"), os.path.join(at, "merged.boot")
    built(f"v{version}: both at once", "build", *options, "--bootstrap", whole, lower, upper)
    told = built(f"v{version}: merge", "merge", "-o", merged, *boots)
    same(f"v{version}: merged is as built at once", whole, merged)
    good(f"v{version}: and not as the lower one", rafs("diff", boots[0], merged), 5)
    sound(f"v{version}: merged reads", merged, blobs)
    names = [json.loads(x)["path"] for x in rafs("find", "--json", merged).stdout.splitlines()]
    report.check(f"v{version}: whiteouts are gone, also the lowest layer's", names and
                 not any("/.wh." in n for n in names) and "/gone" not in names and
                 "/opq/old" not in names and "/opq/new" in names, names)
    links = json.loads(rafs("stat", "--json", merged, "/keep").stdout)
    soft = [json.loads(rafs("stat", "--json", merged, p).stdout)["ino"] for p in
            ("/soft", "/soft2")]
    report.check(f"v{version}: links are what is left of them", links["nlink"] == 1 and
                 soft[0] == soft[1], (links, soft))
    again = built(f"v{version}: once more", "merge", "--force", "-o", merged, *boots)
    report.check(f"v{version}: the same bytes", told.get("bootstrap_sha256") ==
                 again.get("bootstrap_sha256") is not None, (told, again))
    good(f"v{version}: nothing is replaced unasked", rafs("merge", "-o", merged, *boots), 2)
    parent = os.path.join(at, "parent.boot")
    built(f"v{version}: with a parent", "merge", "-o", parent, "--parent", boots[0], boots[1])
    same(f"v{version}: a parent is a lowest layer", parent, merged)
    lists(at, version, boots, told)
    return boots, merged, blobs


def lists(at, version, boots, told):
    """What is said of layers' own blobs."""
    out = os.path.join(at, "named.boot")
    a, b = "a" * 64, "b" * 64
    named = built(f"v{version}: named", "merge", "-o", out, "--blob-digests", f"sha256:{a},{b}",
                  "--blob-sizes", "123456789,", *boots)
    got = {blob["id"]: blob["size"] for blob in named.get("blobs", [])}
    size = {blob["layer"]: blob["size"] for blob in told.get("blobs", [])}
    report.check(f"v{version}: blobs are called and sized as said",
                 got == {a: 123456789, b: size.get(1)}, (got, size))
    for wrong in (["--blob-digests", a], ["--blob-digests", f"{a},nonsense"],
                  ["--blob-sizes", "1,x"], ["--blob-toc-sizes", "1,2,3"]):
        good(f"v{version}: {wrong} is a mistake",
             rafs("merge", "--force", "-o", out, *wrong, *boots), 2)


def refused(top, v5, v6):
    out = os.path.join(top, "refused.boot")
    run = rafs("merge", "-o", out, v6, v5)
    report.check("versions are not mixed", run.returncode == 4 and
                 b"version 5; version 6 is built" in run.stderr and not os.path.exists(out), run)
    golden = os.path.join(ROOT, "tests", "golden")
    run = rafs("merge", "-o", out, os.path.join(golden, "v6-zstd", "image.boot"),
               os.path.join(golden, "v6-chunk64k", "image.boot"))
    report.check("nor chunk sizes", run.returncode == 4 and b"chunks of 65536" in run.stderr, run)
    run = rafs("merge", "-o", out, os.path.join(golden, "v5-zstd", "image.boot"),
               os.path.join(golden, "v5-lz4", "image.boot"))
    report.check("nor, in v5, compressors", run.returncode == 4 and
                 b"has one compressor" in run.stderr, run)


def inlined(top, tree):
    """A layer whose bootstrap lies in its blob is called by its file's name."""
    for version in (5, 6):
        at = os.path.join(top, f"inlined{version}")
        told = built(f"v{version}: inlined", "build", "--fs-version", version,
                     "--inline-bootstrap", "-o", at, tree)
        blob = told["blobs"][0]["id"] if told.get("blobs") else ""
        merged = os.path.join(at, "merged.boot")
        told = built(f"v{version}: inlined merge", "merge", "-o", merged,
                     os.path.join(at, "blobs", blob))
        report.check(f"v{version}: the blob's name", [b["id"] for b in told.get("blobs", [])] ==
                     [blob], told)
        sound(f"v{version}: it reads", merged, os.path.join(at, "blobs"))


def dictionaries(top, version, tree):
    at = os.path.join(top, f"dict{version}")
    base, dup = os.path.join(at, "base"), os.path.join(at, "dup")
    options = ["--fs-version", version]
    built(f"v{version}: dictionary", "build", *options, "-o", base, tree)
    extra = os.path.join(at, "tree")
    shutil.copytree(tree, extra, symlinks=True, ignore=shutil.ignore_patterns("pipe"))
    write(os.path.join(extra, "extra"), noise(b"only here", 50000))
    told = built(f"v{version}: with a dictionary", "build", *options, "-o", dup, "--chunk-dict",
                 os.path.join(base, "image.boot"), extra)
    report.check(f"v{version}: only what is new is stored", told.get("stored_chunks") == 1 and
                 told.get("same_dictionary_bytes", 0) > 300000 and len(told["blobs"]) == 2, told)
    image, boot = os.path.join(dup, "image.boot"), os.path.join(base, "image.boot")
    same(f"v{version}: it is the tree", image, extra)
    sound(f"v{version}: it reads", image, os.path.join(dup, "blobs"), os.path.join(base, "blobs"))
    only = built(f"v{version}: all of it is known", "build", *options, "-o",
                 os.path.join(at, "only"), "--chunk-dict", boot, tree)
    report.check(f"v{version}: an image without a blob of its own", only.get("stored_chunks") == 0
                 and [b["written"] for b in only["blobs"]] == [False], only)
    out, new = os.path.join(at, "merged.boot"), "c" * 64
    run = rafs("merge", "-o", out, "--blob-digests", new, image)
    report.check(f"v{version}: which of two blobs is meant is asked", run.returncode == 4 and
                 b"dictionaries" in run.stderr, run)
    told = built(f"v{version}: and told", "merge", "-o", out, "--blob-digests", new,
                 "--chunk-dict", boot, image)
    report.check(f"v{version}: the dictionary's blob keeps its name",
                 sorted(b["id"] for b in told.get("blobs", [])) ==
                 sorted([new, only["blobs"][0]["id"]]), told)
    other = os.path.join(at, "other")
    run = rafs("build", *options, "--chunk-size", "65536", "-o", other, "--chunk-dict", boot, tree)
    report.check(f"v{version}: a dictionary of another chunk size is refused",
                 run.returncode != 0 and b"chunks of 1048576" in run.stderr, run)


def store(top, tree):
    """The builder's own index, with the blobs where it left them, and not."""
    at, index = os.path.join(top, "store"), os.path.join(top, "store", "index")

    def build(n, *more):
        out = os.path.join(at, f"{n}.boot")
        told = built(f"store {n}", "build", "--bootstrap", out, "--blob-dir",
                     os.path.join(at, "blobs"), "--chunk-store", index, *more, tree)
        same(f"store {n}: the tree", out, tree)
        sound(f"store {n}: reads", out, os.path.join(at, "blobs"))
        return told
    first = build(1)
    report.check("the first build stores everything", first.get("stored_chunks", 0) > 5 and
                 first["same_index_bytes"] == 0, first)
    second = build(2)
    report.check("the second nothing", second.get("stored_chunks") == 0 and
                 second["same_index_bytes"] > 300000 and
                 [b["id"] for b in second["blobs"]] == [first["blobs"][0]["id"]], second)
    report.check("of another kind all of it", build(3, "--chunk-size", "65536")["same_index_bytes"]
                 == 0)
    for compressor in ("zstd", "lz4"):
        told = build("5" + compressor, "--fs-version", "5", "--compressor", compressor)
        report.check(f"nor of a v5 image of another compressor: {compressor}",
                     told["same_index_bytes"] == 0, told)
    report.check("but of a v6 image of any", build("6lz4", "--compressor", "lz4")
                 ["stored_chunks"] == 0)
    os.remove(os.path.join(at, "blobs", first["blobs"][0]["id"]))
    gone = build(4)
    report.check("a blob that is gone is not referred to", gone.get("same_index_bytes") == 0 and
                 gone["stored_chunks"] == first["stored_chunks"], gone)
    report.check("and what took its place is", build(5).get("stored_chunks") == 0)
    name = next(n for n in os.listdir(index) if n.startswith("v6-blake3-1048576"))
    with open(os.path.join(index, name), "r+b") as f:
        f.seek(100)
        f.write(b"damaged")
    os.remove(os.path.join(at, "blobs", gone["blobs"][0]["id"]))
    report.check("a damaged index is as good as none", build(6).get("same_index_bytes") == 0)
    report.check("and is made anew", build(7).get("stored_chunks") == 0)


def golden(top, version):
    """The golden merge of the reference builder, from the same inputs."""
    lower = os.path.join(SHARED, f"v{version}-zstd")
    want = os.path.join(SHARED, f"v{version}-merge")
    tar = os.path.join(SHARED, "upper-layer.tar")
    if not os.path.exists(tar):
        report.skip(f"golden v{version}-merge", f"no {tar}")
        return
    at = os.path.join(top, f"golden{version}")
    blobs = os.path.join(at, "blobs")
    os.makedirs(blobs)
    uppers = [os.path.join(at, "ours.boot")]
    built(f"golden v{version}: upper layer", "build", "--fs-version", version, "--keep-whiteouts",
          "--bootstrap", uppers[0], "--blob-dir", blobs, tar)
    if NYDUS:
        uppers.append(os.path.join(at, "reference.boot"))
        subprocess.run([NYDUS, "create", "-t", "tar-rafs", "--fs-version", str(version),
                        "--whiteout-spec", "oci", "-B", uppers[1], "-D", blobs, tar], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    else:
        report.skip(f"golden v{version}-merge of a reference layer", "no nydus-image")
    with open(os.path.join(want, "expected.jsonl"), encoding="utf-8") as f:
        listing = [json.loads(line) for line in f]
    for upper in uppers:
        name = f"golden v{version}, upper layer {os.path.basename(upper)}"
        merged = upper + ".merged"
        built(name, "merge", "-o", merged, os.path.join(lower, "image.boot"), upper)
        run = rafs("ls", "-R", "--json", "--digest", "sha256", "--blob-dir", blobs, "--blob-dir",
                   os.path.join(lower, "blobs"), merged)
        rows = [json.loads(line) for line in run.stdout.splitlines()]
        wrong = [(a, b) for a, b in zip(rows, listing) if a != b]
        report.check(f"{name}: listing and content", len(rows) == len(listing) and not wrong,
                     (len(rows), len(listing), wrong[:2], run.stderr))
        same(f"{name}: attributes", merged, os.path.join(want, "image.boot"))


def known(top, version):
    """A tar of the golden tree with the reference builder's image as dictionary."""
    for folder in (SHARED, os.path.join(ROOT, "tests", "golden")):
        want = os.path.join(folder, f"v{version}-zstd")
        if os.path.isdir(want):
            break
    at = os.path.join(top, f"known{version}")
    os.mkdir(at)
    tar, image = os.path.join(at, "tree.tar"), os.path.join(want, "image.boot")
    with open(tar, "wb") as f:  # sockets are told of, and left out
        subprocess.run([RAFS, "tar", image], stdout=f, stderr=subprocess.DEVNULL, env=ENV)
    told = built(f"v{version}: golden dictionary", "build", "--fs-version", version, "-o",
                 os.path.join(at, "out"), "--chunk-dict", image, tar)
    report.check(f"v{version}: nothing of it is stored again", told.get("stored_chunks") == 0 and
                 told["same_dictionary_bytes"] > 0 and
                 [b["id"] for b in told["blobs"]] == os.listdir(os.path.join(want, "blobs")), told)
    out = os.path.join(at, "out", "image.boot")
    sound(f"v{version}: it reads from the reference builder's blob", out,
          os.path.join(want, "blobs"))
    run = rafs("diff", "--ignore", "links", image, out)
    lines = [line for line in run.stdout.splitlines() if b"sock" not in line]
    report.check(f"v{version}: it is the golden tree", not lines and not run.stderr, run)


def alone(top):
    """Each image of the reference builder, merged with nothing, is itself."""
    folders = [d for d in (os.path.join(ROOT, "tests", "golden"), SHARED) if os.path.isdir(d)]
    for folder, name in ((d, n) for d in folders for n in sorted(os.listdir(d))):
        image = os.path.join(folder, name, "image.boot")
        blobs = os.path.join(folder, name, "blobs")
        if not os.path.isdir(blobs) or name == "v6-tarfs":
            continue
        if not os.path.exists(image):
            image = os.path.join(blobs, os.listdir(blobs)[0])
        out = os.path.join(top, f"alone-{name}.boot")
        run = rafs("merge", "--force", "--no-sync", "-o", out, image)
        if name == "v6-encrypted":
            report.check(f"{name} is refused", run.returncode == 4 and b"is encrypted" in
                         run.stderr, run)
            continue
        if not good(f"{name} alone", run):
            continue
        # The reader does not read these two.
        if name not in ("v6-zran", "v6-tarref"):
            sound(f"{name} alone reads", out, blobs,
                  *(os.path.join(folder, n, "blobs") for n in ("v5-zstd", "v6-zstd")))
        good(f"{name} alone is itself", rafs("diff", "--blob-dir", blobs, image, out))


def reference(top, version, boots, merged):
    """nydus-image merges what we built to the same tree, and ours passes its check."""
    if not NYDUS:
        report.skip(f"v{version}: nydus-image merge", "no nydus-image")
        return
    theirs = os.path.join(top, f"theirs{version}.boot")
    run = subprocess.run([NYDUS, "merge", "-B", theirs, *boots], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    # It leaves whiteouts of the lowest layer in sight, and parts linked symbolic links.
    if good(f"v{version}: nydus-image merges our layers", run):
        run = rafs("diff", "--ignore", "links", theirs, merged)
        report.check(f"v{version}: to the same tree, less the lowest layer's whiteouts",
                     run.stdout in (b"- /.wh.nothing\n", b""), run)
    run = subprocess.run([NYDUS, "check", "-B", merged], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    good(f"v{version}: nydus-image checks our merge", run)


def differences(top, tree):
    """diff sees one change of each kind, and nothing in an archive of the same tree."""
    at = os.path.join(top, "differ")
    image = os.path.join(at, "image.boot")
    built("diff: image", "build", "-o", at, tree)
    tar = os.path.join(top, "tree.tar")
    subprocess.run(["tar", "-C", tree, "--format=pax", "-cf", tar, "."], check=True)
    same("diff: a tar", image, tar)
    good("diff: what is no archive", rafs("diff", image, os.path.join(tree, "change")), 1)
    changed = os.path.join(top, "changed")
    subprocess.run(["cp", "-a", tree, changed], check=True)
    same("diff: a copy", image, changed)
    path = os.path.join(changed, "change")
    before = os.stat(path)
    with open(path, "r+b") as f:
        f.seek(before.st_size - 1)
        f.write(b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(os.path.join(changed, "keep"), 0o755)
    top_before = os.stat(os.path.join(changed, "dir"))
    os.remove(os.path.join(changed, "gone"))
    os.mkdir(os.path.join(changed, "type", "more"))
    os.utime(os.path.join(changed, "dir"), ns=(top_before.st_atime_ns, top_before.st_mtime_ns))
    run = rafs("diff", "--ignore", "mtime", image, changed)
    want = ("~ /change: content\n- /gone\n~ /keep: mode 644 → 755\n~ /linked: mode 644 → 755\n"
            "+ /type/more\n")
    report.check("diff: one of each", run.returncode == 5 and run.stdout.decode() == want, run)
    run = rafs("diff", "--json", "--ignore", "mtime,mode,content", image, changed)
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    report.check("diff: --ignore and --json", [(r["change"], r["path"]) for r in rows] ==
                 [("removed", "/gone"), ("added", "/type/more")], run)
    other = os.path.join(top, "small")
    built("diff: other chunks", "build", "--chunk-size", "4096", "--digest", "sha256", "-o", other,
          changed)
    run = rafs("diff", "--ignore", "mtime,mode", "--blob-dir", os.path.join(at, "blobs"),
               "--blob-dir", os.path.join(other, "blobs"), image,
               os.path.join(other, "image.boot"))
    report.check("diff: images that are cut otherwise are read", run.returncode == 5 and
                 run.stdout == b"~ /change: content\n- /gone\n+ /type/more\n", run)


def main():
    with tempfile.TemporaryDirectory(prefix="rafs-merge-") as top:
        kinds = {}
        for version in (5, 6):
            kinds[version] = ours(top, version)
            reference(top, version, *kinds[version][:2])
            golden(top, version)
            known(top, version)
        alone(top)
        tree = os.path.join(top, "trees6", "lower")
        os.remove(os.path.join(tree, ".wh.nothing"))
        refused(top, kinds[5][1], kinds[6][1])
        inlined(top, tree)
        for version in (5, 6):
            dictionaries(top, version, tree)
        store(top, tree)
        differences(top, tree)
    return report.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rafs", required=True)
    RAFS = os.path.abspath(parser.parse_args().rafs)
    sys.exit(main())
