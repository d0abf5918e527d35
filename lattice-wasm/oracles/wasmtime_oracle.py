"""Replays recordings of modules with wasmtime: wasmtime_oracle.py DIR [NAME ...]

The imports are made from the words of docs/guest-abi.md over a sorted map, not from the Rust code:
a host cannot bless itself. README.md beside this file says what a recording is, and what is compared.
Needs the packages `wasmtime` and `blake3`. Nothing in the build runs this.
"""

import bisect
import collections
import json
import pathlib
import re
import struct
import sys

import blake3
import wasmtime

I32, I64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()

# The calls in which an import is available.
READ = {"prepare", "query", "apply", "migrate", "settle"}
WRITE = {"apply", "migrate", "settle"}
HISTORY = {"prepare", "query", "apply", "migrate", "elements"}
ELEMENTS = {"elements"}
ANY = None

# Name: calls, parameters, results.
IMPORTS = {
    "get": (READ, [I32] * 4, [I64]),
    "take": (ANY, [I32], []),
    "put": (WRITE, [I32] * 4, []),
    "remove": (WRITE, [I32] * 2, []),
    "scan": (READ, [I32] * 7, [I64]),
    "count": (HISTORY, [], [I64]),
    "number": (HISTORY, [I32] * 2, [I32]),
    "stamp": (HISTORY, [I64, I32], []),
    "op": (HISTORY, [I64, I32, I32], [I64]),
    "hash": (ANY, [I32] * 3, []),
    "element": (ELEMENTS, [I32] * 5, []),
    "fail": (ANY, [I32] * 2, []),
    "log": (ANY, [I32] * 3, []),
}
REFERENCE_LEN, STAMP_LEN = 72, 80
SCAN_ENDED = 1 << 62
MAX_ELEMENTS = 65_536
MAX_LOG_LINES = 64
SHOWN_BYTES = 400
SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
# Rows that one call of `lattice1_elements` gets here. Any number must do.
PAGE_ROWS = 100

calls_of_imports = collections.Counter()


class Trap(Exception):
    """A call ends without an answer."""


class Difference(Exception):
    """What was recorded and what was found here differ."""


class Rows:
    """A sorted map whose last changes can be undone."""

    def __init__(self):
        self.keys = []
        self.values = {}
        self.undo = []

    def put(self, key, value):
        self.undo.append((key, self.values.get(key)))
        self._set(key, value)

    def remove(self, key):
        self.undo.append((key, self.values.get(key)))
        self._set(key, None)

    def _set(self, key, value):
        if value is None:
            if self.values.pop(key, None) is not None:
                del self.keys[bisect.bisect_left(self.keys, key)]
        else:
            if key not in self.values:
                bisect.insort(self.keys, key)
            self.values[key] = value

    def commit(self):
        self.undo = []

    def roll_back(self):
        for key, value in reversed(self.undo):
            self._set(key, value)
        self.undo = []

    def range(self, start_kind, start, end_kind, end, descending):
        """A kind of bound is 0: none, 1: in the range, 2: not in it."""
        first, last = 0, len(self.keys)
        if start_kind:
            find = bisect.bisect_left if start_kind == 1 else bisect.bisect_right
            first = find(self.keys, start)
        if end_kind:
            find = bisect.bisect_right if end_kind == 1 else bisect.bisect_left
            last = find(self.keys, end)
        found = self.keys[first:last] if first < last else []
        return reversed(found) if descending else found


class History:
    def __init__(self):
        self.ops = []
        self.indexes = {}
        # The op that is being applied: stamp and payload.
        self.current = None

    def find(self, index):
        if index < len(self.ops):
            return self.ops[index]
        if index == len(self.ops) and self.current:
            return self.current
        raise Trap(f"no op has the apply index {index}")

    def push(self, stamp, payload):
        self.indexes[stamp[8:]] = len(self.ops)
        self.ops.append((stamp, payload))


class Instance:
    """One instance of a module."""

    def __init__(self, module, phase):
        self.module, self.phase = module, phase
        self.kept = None
        self.log_lines = 0
        self.elements, self.page_rows, self.last_row = [], 0, 0
        self.elements_of_row = 0
        self.store = wasmtime.Store(module.engine)
        linker = wasmtime.Linker(module.engine)
        for name, (phases, params, results) in IMPORTS.items():
            function = self._import(name, phases, params)
            linker.define_func("lattice1", name, wasmtime.FuncType(params, results), function)
        self.exports = linker.instantiate(self.store, module.compiled).exports(self.store)
        self.memory = self.exports["memory"]

    def _import(self, name, phases, params):
        body = getattr(self, name)
        masks = [0xFFFF_FFFF if param == I32 else 0xFFFF_FFFF_FFFF_FFFF for param in params]

        def call(*args):
            if phases is not ANY and self.phase not in phases:
                raise Trap(f"`{name}` is not available in `{self.phase}`")
            calls_of_imports[name] += 1
            return body(*(arg & mask for arg, mask in zip(args, masks)))

        return call

    # Memory

    def check(self, at, length):
        if at + length > self.memory.data_len(self.store):
            raise Trap(f"{length} bytes at {at} are beyond the memory")

    def read(self, at, length):
        self.check(at, length)
        return bytes(self.memory.read(self.store, at, at + length))

    def write(self, at, content):
        self.check(at, len(content))
        self.memory.write(self.store, content, at)

    def deliver(self, content, buffer, capacity):
        if len(content) <= capacity:
            self.write(buffer, content)
        else:
            self.kept = content
        return len(content)

    # Imports

    def get(self, key, key_len, buffer, capacity):
        key = self.read(key, key_len)
        self.check(buffer, capacity)
        self.kept = None
        value = self.module.rows.values.get(key)
        return -1 if value is None else self.deliver(value, buffer, capacity)

    def take(self, buffer):
        if self.kept is None:
            raise Trap("nothing to take")
        self.write(buffer, self.kept)
        self.kept = None

    def put(self, key, key_len, value, value_len):
        self.module.rows.put(self.read(key, key_len), self.read(value, value_len))

    def remove(self, key, key_len):
        self.module.rows.remove(self.read(key, key_len))

    def scan(self, flags, start, start_len, end, end_len, buffer, capacity):
        start, end = self.read(start, start_len), self.read(end, end_len)
        self.check(buffer, capacity)
        start_kind, end_kind = flags & 3, flags >> 2 & 3
        if flags >> 5 or start_kind == 3 or end_kind == 3:
            raise Trap(f"flags {flags:#x}")
        rows, page = self.module.rows, b""
        for key in rows.range(start_kind, start, end_kind, end, flags >> 4 & 1):
            row = page_row(key, rows.values[key])
            if len(page) + len(row) > capacity:
                if not page:
                    return -len(row)
                self.write(buffer, page)
                return len(page)
            page += row
        self.write(buffer, page)
        return len(page) | SCAN_ENDED

    def count(self):
        return len(self.module.history.ops)

    def number(self, op, out):
        op = self.read(op, REFERENCE_LEN)
        self.check(out, 8)
        index = self.module.history.indexes.get(op)
        if index is None:
            return 0
        self.write(out, struct.pack("<Q", index))
        return 1

    def stamp(self, index, out):
        self.check(out, STAMP_LEN)
        self.write(out, self.module.history.find(index)[0])

    def op(self, index, buffer, capacity):
        self.check(buffer, capacity)
        stamp, payload = self.module.history.find(index)
        self.kept = None
        return self.deliver(stamp + payload, buffer, capacity)

    def hash(self, content, length, out):
        self.write(out, blake3.blake3(self.read(content, length)).digest())

    def element(self, row, key, key_len, value, value_len):
        key, value = self.read(key, key_len), self.read(value, value_len)
        if row < self.last_row or row >= self.page_rows:
            raise Trap(f"an element of row {row}")
        self.elements_of_row = self.elements_of_row + 1 if row == self.last_row else 1
        if self.elements_of_row > MAX_ELEMENTS:
            raise Trap(f"row {row} has too many elements")
        self.last_row = row
        self.elements.append((key, value))

    def fail(self, message, length):
        raise Trap(self.read(message, length).decode(errors="replace"))

    def log(self, _level, message, length):
        self.read(message, length)
        self.log_lines += 1
        if self.log_lines > MAX_LOG_LINES:
            raise Trap("too many lines in the log")

    # Calls of exports

    def call(self, name, *args):
        try:
            return self.exports["lattice1_" + name](self.store, *args)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise Trap(str(error)) from error

    def input(self, content):
        at = self.call("alloc", signed(len(content), 32)) & 0xFFFF_FFFF
        self.write(at, content)
        return signed(at, 32), signed(len(content), 32)

    def output(self, result):
        """0 is no output."""
        result &= 0xFFFF_FFFF_FFFF_FFFF
        return self.read(result >> 32, result & 0xFFFF_FFFF) if result else None


def signed(number, bits):
    return number - (1 << bits) if number >> (bits - 1) else number


def page_row(key, value):
    return struct.pack("<II", len(key), len(value)) + key + value


class Reader:
    def __init__(self, content):
        self.content, self.at = content, 0

    def take(self, length):
        if length > len(self.content) - self.at:
            raise ValueError("the manifest ends too early")
        self.at += length
        return self.content[self.at - length : self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def string(self):
        return self.take(self.number("Q")).decode()

    def varint(self):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number


class Manifest:
    def __init__(self, content):
        reader = Reader(content)
        if reader.number("H") != 1:
            raise ValueError("a manifest of another version")
        self.store_type = reader.string()
        self.first_schema, self.last_schema = reader.number("Q"), reader.number("Q")
        self.elements = reader.number("B")
        self.methods = [self._method(reader) for _ in range(reader.number("Q"))]
        self.converts = [reader.string() for _ in range(reader.number("Q"))]
        if reader.at != len(content):
            raise ValueError("bytes follow the manifest")

    @staticmethod
    def _method(reader):
        kind, name, _doc, _result = reader.number("B"), reader.string(), reader.string(), reader.number("B")
        for _ in range(reader.number("Q")):
            reader.string(), reader.string(), reader.number("B"), reader.number("B")
        return kind, name


def manifest_of(wasm):
    """The manifest in the one custom section `lattice.store`."""
    sections, found = Reader(wasm), []
    if sections.take(8) != b"\0asm\1\0\0\0":
        raise ValueError("no module of version 1")
    while sections.at < len(wasm):
        kind, content = sections.take(1), Reader(sections.take(sections.varint()))
        if kind == b"\0" and content.take(content.varint()) == b"lattice.store":
            found.append(content.content[content.at :])
    if len(found) != 1:
        raise ValueError(f"{len(found)} sections `lattice.store`")
    return Manifest(found[0])


class Module:
    """A module, and the rows and the history of its store."""

    def __init__(self, path):
        wasm = path.read_bytes()
        self.manifest = manifest_of(wasm)
        self.engine = wasmtime.Engine()
        self.compiled = wasmtime.Module(self.engine, wasm)
        self.names = {export.name for export in self.compiled.exports}
        self.rows, self.history = Rows(), History()

    def has(self, export):
        return "lattice1_" + export in self.names

    def pure(self, export, content):
        instance = Instance(self, export)
        return instance.output(instance.call(export, *instance.input(content)))

    def method(self, export, number, content):
        instance = Instance(self, export)
        at, length = instance.input(content)
        output = instance.output(instance.call(export, number, at, length))
        match output[:1] if output else b"":
            case b"\0":
                return {"answer": output[1:]}
            case b"\1":
                return {"param": b"", "reason": output[1:]}
            case b"\2":
                param, zero, reason = output[1:].partition(b"\0")
                return {"param": param, "reason": reason} if zero else {"param": b"", "reason": param}
        raise Trap("an answer without a tag")

    def apply(self, index, kind, stamp, payload, is_valid):
        """Applies an op, or changes nothing and traps."""
        content = struct.pack("<Q", index) + stamp + payload
        if not is_valid and not self.has("settle"):
            return
        try:
            instance = Instance(self, "decode" if is_valid else "settle")
            self.history.current = (stamp, payload) if is_valid else None
            at, length = instance.input(content)
            if is_valid:
                if instance.call("decode", at + length - len(payload), len(payload)):
                    raise Trap("a valid payload is invalid where it is applied")
                instance.phase = "apply"
                instance.call("apply", at, length)
            self.history.current = None
            if self.has("settle"):
                instance.phase = "settle"
                instance.call("settle", kind, at, length)
            self.rows.commit()
        except Trap:
            self.rows.roll_back()
            raise
        finally:
            self.history.current = None

    def elements(self):
        rows = [(key, self.rows.values[key]) for key in self.rows.keys]
        if not self.manifest.elements:
            return rows
        elements = []
        for first in range(0, len(rows), PAGE_ROWS):
            page = rows[first : first + PAGE_ROWS]
            instance = Instance(self, "elements")
            instance.page_rows = len(page)
            at, length = instance.input(b"".join(page_row(*row) for row in page))
            instance.call("elements", self.manifest.last_schema, at, length)
            elements += instance.elements
        return elements


# Comparing


def differ(what, recorded, found):
    def shown(value):
        text = value.hex() if isinstance(value, bytes) else repr(value)
        return text if len(text) <= 400 else text[:400] + "..."

    if isinstance(recorded, bytes) and isinstance(found, bytes):
        pairs = enumerate(zip(recorded, found))
        first = next((at for at, (one, other) in pairs if one != other), min(len(recorded), len(found)))
        what = f"{what}, byte {first}"
    raise Difference(f"{what}: recorded {shown(recorded)}, found {shown(found)}")


def compare(what, recorded, found):
    if recorded != found:
        differ(what, recorded, found)


def compare_text(what, recorded, found):
    """The host escapes some characters, and shows the first bytes of a long text, and dots."""
    if found is None or recorded is None:
        return compare(what, recorded, found)
    patterns = [escaped(found)]
    if len(found) > SHOWN_BYTES:
        # No character is cut in two.
        ends = range(SHOWN_BYTES - 3, SHOWN_BYTES + 1)
        patterns = [escaped(found[:end]) + re.escape("...") for end in ends]
    text = recorded.decode()
    if not any(re.fullmatch(pattern, text, re.DOTALL) for pattern in patterns):
        differ(what, recorded, found)


def escaped(text):
    """What matches a text as the host shows it. Which characters it escapes is its own matter."""

    def pattern(character):
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            return rf"\\x{code - 0xDC00:02x}"
        if character == "\\":
            return r"\\\\"
        if " " <= character <= "~":
            return re.escape(character)
        return rf"(?:{re.escape(character)}|\\u\{{{code:x}\}}|{re.escape(SHORT.get(character, character))})"

    return "".join(map(pattern, text.decode(errors="surrogateescape")))


def outcome_of(call):
    try:
        return call()
    except Trap:
        return {"fault": 1}


def compare_outcome(what, line, found):
    recorded = {
        name: line[name] if name == "fault" else bytes.fromhex(line[name])
        for name in ("answer", "param", "reason", "fault")
        if name in line
    }
    if recorded.keys() != found.keys():
        differ(what, recorded, found)
    for name, value in recorded.items():
        check = compare_text if name == "reason" else compare
        check(f"{what}, {name}", value, found[name])


class Replay:
    def __init__(self, path):
        self.lines = path.read_text().splitlines()
        first = json.loads(self.lines[0])
        self.module = Module(path.parent / first["file"])
        self.rows, self.elements = [], []

    def run(self):
        for number, text in enumerate(self.lines[1:], 2):
            line = json.loads(text)
            what = f"line {number}, {line['line']}"
            getattr(self, "on_" + line["line"])(what, line)
        compare("the last line", "end", line["line"])

    def verdict(self, what, line):
        """Decodes and describes a payload; gives whether it is valid."""
        payload, is_valid = bytes.fromhex(line["payload"]), False
        try:
            reason = self.module.pure("decode", payload)
            compare(f"{what}, a fault of `decode`", line.get("decode_fault"), None)
            recorded = line["invalid"]
            recorded = None if recorded is None else bytes.fromhex(recorded)
            compare_text(f"{what}, why it is invalid", recorded, reason)
            is_valid = reason is None
        except Trap as trap:
            compare(f"{what}, a fault of `decode` ({trap})", line.get("decode_fault"), 1)
        if self.module.has("describe"):
            found = self.module.pure("describe", payload) or b""
            compare_text(f"{what}, description", bytes.fromhex(line["described"]), found)
        return is_valid

    def on_decode(self, what, line):
        self.verdict(what, line)

    def on_op(self, what, line):
        stamp, payload = bytes.fromhex(line["stamp"]), bytes.fromhex(line["payload"])
        compare(f"{what}, apply index", line["index"], len(self.module.history.ops))
        is_valid = line["kind"] == 0 and self.verdict(what, line)
        try:
            self.module.apply(line["index"], line["kind"], stamp, payload, is_valid)
        except Trap as trap:
            differ(what, "an op that is applied", f"a trap: {trap}")
        self.module.history.push(stamp, payload)

    def on_fault(self, what, line):
        stamp, payload = bytes.fromhex(line["stamp"]), bytes.fromhex(line["payload"])
        is_valid = line["kind"] == 0 and self.verdict(what, line)
        if "decode_fault" in line:
            return
        try:
            self.module.apply(line["index"], line["kind"], stamp, payload, is_valid)
        except Trap:
            return
        differ(what, "a trap", "an op that is applied")

    def method(self, export, what, line):
        content = bytes.fromhex(line["input"])
        found = outcome_of(lambda: self.module.method(export, line["method"], content))
        compare_outcome(what, line, found)

    def on_prepare(self, what, line):
        self.method("prepare", what, line)

    def on_query(self, what, line):
        self.method("query", what, line)

    def on_convert(self, what, line):
        content = bytes.fromhex(line["input"])
        found = outcome_of(lambda: {"answer": self.module.pure("convert", content)})
        compare_outcome(what, line, found)

    def on_row(self, _, line):
        self.rows.append((bytes.fromhex(line["key"]), bytes.fromhex(line["value"])))

    def on_element(self, _, line):
        self.elements.append((bytes.fromhex(line["key"]), bytes.fromhex(line["value"])))

    def on_end(self, _, line):
        rows = [(key, self.module.rows.values[key]) for key in self.module.rows.keys]
        elements = self.module.elements()
        compare("keys of elements that differ", len(dict(elements)), len(elements))
        for name, recorded, found in [("row", self.rows, rows), ("element", self.elements, elements)]:
            for nth, (one, other) in enumerate(zip(recorded, found)):
                compare(f"{name} {nth}, key", one[0], other[0])
                compare(f"{name} {nth}, value", one[1], other[1])
            compare(f"number of {name}s", len(recorded), len(found))
            compare(f"number of {name}s in the last line", line[name + "s"], len(found))
        compare("number of ops in the last line", line["ops"], len(self.module.history.ops))


def main(directory, *names):
    paths = sorted(pathlib.Path(directory).glob("*.jsonl"))
    paths = [path for path in paths if not names or path.stem in names]
    if not paths:
        sys.exit(f"no recordings in {directory}")
    for path in paths:
        try:
            replay = Replay(path)
            replay.run()
        except Difference as difference:
            sys.exit(f"{path.stem}: {difference}")
        except Trap as trap:
            sys.exit(f"{path.stem}: recorded an answer, found a trap: {trap}")
        module = replay.module
        counts = [len(module.history.ops), len(replay.rows), len(replay.elements)]
        print("{}: {:,} ops, {:,} rows, {:,} elements match".format(path.stem, *counts), flush=True)
    called = (f"{name} {calls_of_imports[name]:,}" for name in IMPORTS)
    print(f"imports called: {', '.join(called)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: wasmtime_oracle.py DIR [NAME ...]")
    main(*sys.argv[1:])
