# SPDX-License-Identifier: Apache-2.0
"""Arguments of every kind for every public function and method, in a process of its own:
whatever they are, nothing but Python's exceptions with a text may come of them.

Usage: arguments.py BOOT BLOBS COUNT
"""
import asyncio
import ctypes
import faulthandler
import inspect
import io
import itertools
import sys
import traceback
import warnings

import hypothesis
import hypothesis.strategies as st

import rafs

BOOT, BLOBS, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
#: Exceptions that say that somebody erred on this side.
OURS = (SystemError, AttributeError, NameError, AssertionError, RecursionError,
        ctypes.ArgumentError)


class Odd:
    """An object whose every answer is a bad one."""

    def __init__(self, answer, closes=None):
        self.answer, self.closes = answer, closes

    def say(self, *_):
        if self.closes is not None:
            self.closes.close()
        if isinstance(self.answer, type) and issubclass(self.answer, BaseException):
            raise self.answer("an odd answer")
        return self.answer

    __fspath__ = __index__ = __len__ = __float__ = __int__ = __bool__ = __getitem__ = say
    __iter__ = __enter__ = __exit__ = __call__ = __add__ = __mul__ = __ge__ = __hash__ = say
    read_range = size = say

    def __repr__(self):
        return f"Odd({self.answer!r})"


def opened():
    return rafs.open(BOOT, blob_dir=BLOBS, limits={"chunk_cache_bytes": 1 << 20})


def released():
    view = memoryview(bytearray(10))
    view.release()
    return view


def pick(*things):
    """One of them, which need not be hashable."""
    return st.integers(0, len(things) - 1).map(things.__getitem__)


closed = opened()
closed.close()
shut = opened().open("/data/text", "rb")
shut.close()

numbers = st.one_of(
    st.integers(-3, 3), st.integers(-1 << 70, 1 << 70),
    st.sampled_from([1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -1 << 63]))
floats = st.sampled_from([0.0, -0.0, 0.5, -1.5, float("nan"), float("inf"), -float("inf"), 1e308])
texts = st.one_of(
    st.text(max_size=6),
    st.sampled_from([
        "", "a", "b", "\0", "a\0b", "/data/text\0", "\ud800", "\udcff", "/data/text", "/data/large",
        "data", "/links/loop", "no/such", "..", "../..", "x" * 70000, "[", "[!", "**", "**/", "*",
        "r", "rb", "w", "rt", "utf-8", "utf-16", "strict", "\n", "sha256:" + "0" * 64, "md5:1",
        "oci:a", "oci-archive::", "linux/amd64", "file:", "a/" * 3000, "%00", "é" * 300]))
memory = pick(b"", b"abc", bytearray(), bytearray(5), memoryview(b"xyz"), released(),
              memoryview(bytearray(30))[::3], memoryview(bytearray(12)).cast("I"),
              io.BytesIO(b"abc"), (ctypes.c_char * 7)())
answers = pick(None, -1, 0, 1 << 80, "", "a", b"", b"abc", 1.5, [], ValueError, KeyError,
               TypeError, OSError, ZeroDivisionError)


def values(image):
    """What an argument may be."""
    odd = st.one_of(st.builds(Odd, answers), st.builds(Odd, answers, st.just(image)))
    things = pick(
        image, closed, shut, rafs, object(), print, len, Ellipsis, type, released,
        rafs.Path(image, "/data"), rafs.Path(image, "/data/text"), rafs.Path(closed))
    simple = st.one_of(st.none(), st.booleans(), numbers, floats, texts, memory, odd, things)
    return st.one_of(simple, st.lists(simple, max_size=3), st.tuples(simple, simple, simple),
                     st.dictionaries(st.one_of(texts, st.integers(0, 3)), simple, max_size=2))


def methods(thing):
    return {name: getattr(thing, name) for name in dir(type(thing))
            if not name.startswith("_") and name not in ("close", "detach", "raw")
            and not isinstance(getattr(type(thing), name), property)
            and callable(getattr(thing, name))}


def functions(image):
    """Name and function of all that is public, by introspection."""
    out = {}
    for name in rafs.__all__:
        thing = getattr(rafs, name)
        if callable(thing) and not (inspect.isclass(thing) and issubclass(thing, BaseException)):
            out[name] = thing
    entry = next(iter(image.scandir("/data")))
    link = next(one for one in image.scandir("/links") if one.is_symlink())
    for thing in (image, rafs.Path(image, "/data/text"), rafs.Path(image, "/data"), entry, link,
                  image.open("/data/text", "rb", 0), image.open("/data/text", "rb"),
                  image.open("/data/text", encoding="latin-1"), closed, image.scandir("/")):
        for name, method in methods(thing).items():
            out.setdefault(f"{type(thing).__name__}.{name} of {thing!r:.30}", method)
    for thing in (image.info, image.stat("/")):
        for name, method in methods(thing).items():
            out.setdefault(f"{type(thing).__name__}.{name}", method)
    for name in ("__truediv__", "__eq__", "__lt__", "__contains__", "__getitem__"):
        if hasattr(rafs.Path, name):
            out[f"Path.{name}"] = getattr(rafs.Path(image, "/data"), name)
    return out


def use(result):
    """Look at what a function gave."""
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    if isinstance(result, str) or result is None:
        return
    if hasattr(result, "__next__"):
        for one in itertools.islice(result, 40):
            repr(one)
    if isinstance(result, rafs.Image) and not result.closed:
        result.listdir()
    if isinstance(result, io.IOBase) and not isinstance(result, rafs.File):
        result.readable() and result.read(3)
    repr(result)
    if hasattr(result, "close"):
        result.close()


wrong = {}


def attempt(name, function, args, kwargs):
    """Call it; what may not be goes to `wrong`, the first of each kind."""
    try:
        use(function(*args, **kwargs))
    except OURS as error:
        if not (isinstance(error, AttributeError) and "'Odd'" in str(error)):
            kind = f"{name.split(' ')[0]}: {type(error).__name__}: {error}"
            wrong.setdefault(kind[:120], f"(*{args!r:.300}, **{kwargs!r:.300})\n" +
                             "".join(traceback.format_exception(None, error,
                                                                error.__traceback__)[-3:]))
    except Exception as error:
        if not str(error).strip() and not isinstance(error, (StopIteration, MemoryError)):
            wrong.setdefault(f"{name.split(' ')[0]}: {type(error)} without a text",
                             f"(*{args!r:.300}, **{kwargs!r:.300})")


def parameters(function):
    try:
        return [one for one in inspect.signature(function).parameters.values()
                if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    except (TypeError, ValueError):
        return []


def main():
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging_off()
    names = sorted(functions(opened()))
    kept = {"image": opened()}

    @hypothesis.settings(max_examples=COUNT, derandomize=True, database=None, deadline=None,
                         phases=[hypothesis.Phase.generate],
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(st.data())
    def run(data):
        if kept["image"].closed:
            kept["image"] = opened()
        image = kept["image"]
        name = data.draw(st.sampled_from(names))
        function = functions(image).get(name)
        if function is None:
            return
        # Most calls are right but for one or two arguments: the others would be refused first.
        every, args, kwargs = values(image), [], {}
        likely = {"path": "/data/text", "top": "/data", "pattern": "*", "mode": "r",
                  "reference": BOOT, "blob_dir": BLOBS, "image": image, "source": "tree",
                  "out": "out", "target": "oci:out2:a", "bootstrap": BOOT, "size": 3,
                  "buffer": bytearray(10), "offset": 1, "length": 2, "directory": "cache"}
        for one in parameters(function):
            wanted = data.draw(st.integers(0, 3))
            if wanted == 0:
                value = data.draw(every)
            elif one.name in likely:
                value = likely[one.name]
            elif one.default is one.empty:
                value = data.draw(every)
            else:
                continue
            if one.kind is one.KEYWORD_ONLY:
                kwargs[one.name] = value
            elif len(args) == len(parameters(function)[:len(args)]) and not kwargs:
                args.append(value)
            else:
                kwargs[one.name] = value
        if data.draw(st.integers(0, 20)) == 0:
            args.append(data.draw(every))
        if name == "open":
            kwargs.setdefault("timeout", 5)
        attempt(name, function, args, kwargs)

    run()
    with opened() as image:
        image.read_bytes("/data/text")
    for kind, how in wrong.items():
        print(kind, how, sep="\n  ")
    if wrong:
        sys.exit(1)
    print(f"well: {len(names)} functions, {COUNT} calls")


def logging_off():
    import logging
    logging.getLogger("rafs").addHandler(logging.NullHandler())
    logging.getLogger("rafs").propagate = False


if __name__ == "__main__":
    main()
