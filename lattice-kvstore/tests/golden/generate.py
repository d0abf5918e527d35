#!/usr/bin/env python3
"""Computes the golden files of core:kvstore: python3 generate.py OUTDIR

A second implementation, made from the description of the formats and not from the Rust code: bytes are packed by
hand, and heads and marks come from sets over the whole history, not from one op after another. No build runs it.
It needs the packages blake3 and cryptography.

    payloads.txt          payloads that must be encoded exactly so, and decode: a name and the bytes
    payload_hostile.txt   bytes that must not decode: a name and the bytes
    rows.txt              rows of `data`: a name, the key and the value
    history.txt           a genesis, signed ops in the order of application, the rows and the state hash they give
"""

import struct
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

u8 = lambda n: struct.pack("<B", n)
u16be = lambda n: struct.pack(">H", n)
u32 = lambda n: struct.pack("<I", n)
u64 = lambda n: struct.pack("<Q", n)
u64be = lambda n: struct.pack(">Q", n)
sized = lambda b: u64(len(b)) + b


# --- references: (author, seq, id), which order as these tuples do

def ref_bytes(ref):
    author, seq, id = ref
    return author + u64(seq) + id


def ref_ordered(ref):
    author, seq, id = ref
    return author + u64be(seq) + id


def made_up(author, seq, id):
    return (bytes([author]) * 32, seq, bytes([id]) * 32)


# --- payloads: writes are (key, set of superseded references, value or None)

def pack_payload(refs, writes, format=1):
    """Writes here are (key, places, value or None), taken as they are."""
    out = u8(format) + u64(len(refs)) + b"".join(map(ref_bytes, refs)) + u64(len(writes))
    for key, places, value in writes:
        out += sized(key) + u64(len(places)) + b"".join(map(u32, places))
        out += u8(0) if value is None else u8(1) + sized(value)
    return out


def payload(writes):
    refs = sorted(set().union(*(superseded for _, superseded, _ in writes)))
    placed = [(k, sorted(refs.index(r) for r in s), v) for k, s, v in sorted(writes, key=lambda w: w[0])]
    return pack_payload(refs, placed)


def valid_payloads():
    a, b = made_up(1, 1, 1), made_up(1, 256, 2)
    return {
        "put": payload([(b"key", set(), b"value")]),
        "empty-value": payload([(b"k", set(), b"")]),
        "delete": payload([(b"key", {a}, None)]),
        "delete-of-nothing": payload([(b"key", set(), None)]),
        "batch": payload([(b"a", {a, b}, b"1"), (b"a\x00", {b}, None), (b"\xff", set(), b"3")]),
        "longest-key": payload([(b"k" * 4096, set(), b"")]),
    }


def hostile_payloads():
    a, b = made_up(1, 1, 1), made_up(1, 256, 2)
    put = (b"a", [], b"1")
    good = pack_payload([a, b], [(b"a", [0], b"1"), (b"b", [1], None)])
    return {
        "empty": b"",
        "format-0": pack_payload([], [put], format=0),
        "format-2": pack_payload([], [put], format=2),
        "no-writes": pack_payload([], []),
        "empty-key": pack_payload([], [(b"", [], b"1")]),
        "key-too-long": pack_payload([], [(b"k" * 4097, [], b"1")]),
        "keys-unsorted": pack_payload([], [(b"b", [], b"1"), (b"a", [], b"2")]),
        "keys-twice": pack_payload([], [put, put]),
        "refs-unsorted": pack_payload([b, a], [(b"a", [0, 1], b"1")]),
        "refs-twice": pack_payload([a, a], [(b"a", [0, 1], b"1")]),
        "ref-unused": pack_payload([a, b], [(b"a", [0], b"1")]),
        "places-unsorted": pack_payload([a, b], [(b"a", [1, 0], b"1")]),
        "places-twice": pack_payload([a], [(b"a", [0, 0], b"1")]),
        "place-too-great": pack_payload([a], [(b"a", [0, 1], b"1")]),
        "place-far-too-great": pack_payload([a], [(b"a", [0, 2**32 - 1], b"1")]),
        "truncated": good[:-1],
        "trailing": good + b"\x00",
        "refs-claimed": u8(1) + u64(2**64 - 1),
        "writes-claimed": u8(1) + u64(0) + u64(2**63),
        "writes-claimed-65537": u8(1) + u64(0) + u64(65537),
        "key-claimed": u8(1) + u64(0) + u64(1) + u64(2**40) + b"a",
        "places-claimed": u8(1) + u64(0) + u64(1) + sized(b"a") + u64(2**62),
        "value-claimed": u8(1) + u64(0) + u64(1) + sized(b"a") + u64(0) + u8(1) + u64(2**62),
        "option-tag-2": u8(1) + u64(0) + u64(1) + sized(b"a") + u64(0) + u8(2),
    }


# --- rows; a head is (hlc, reference, value); cells as they were in schema 1, and as their leaves are

def rank(head):
    hlc, ref, _ = head
    return (hlc, ref[2])


def cell(key, heads):
    hlc, ref, value = max(heads, key=rank)
    return (b"c" + key, u32(len(heads) - 1) + u64(hlc) + ref_bytes(ref) + value)


def further(key, head):
    hlc, ref, value = head
    author, seq, id = ref
    return (b"h" + u16be(len(key)) + key + u64be(hlc) + id, author + u64(seq) + value)


def index(key, head):
    hlc, ref, _ = head
    return (b"i" + u16be(len(key)) + key + ref_ordered(ref), u64(hlc))


def mark(key, ref):
    return (b"m" + ref_ordered(ref) + key, b"")


def varint(number):
    """Unsigned LEB128, the shortest."""
    low, rest = number & 0x7F, number >> 7
    return u8(low | 0x80) + varint(rest) if rest else u8(low)


def short_cell(key, heads, number):
    """A cell since schema 2."""
    _, _, value = max(heads, key=rank)
    return (b"c" + key, short_header(len(heads) - 1, number) + value)


def short_header(others, number):
    """The number of the winner's op, whose lowest bit says whether a count of further heads follows."""
    return varint(2 * number + 1) + varint(others) if others else varint(2 * number)


def golden_rows():
    first, second = (0x0102, made_up(3, 0x0405, 6), b"seven"), (0x0102, made_up(8, 9, 10), b"")
    return {
        "cell": cell(b"key", [first]),
        "cell-of-two": cell(b"key", [first, second]),
        "further": further(b"key", first),
        "index": index(b"key", first),
        "mark": mark(b"key", first[1]),
        "short-cell": short_cell(b"key", [first], 5),
        "short-cell-of-two": short_cell(b"key", [first, second], 0x4081),
        "short-cell-of-many": short_cell(b"key", [first] * 301, 2**62 - 1),
    }


# --- a store

def derive(context, data, length=32):
    return blake3(data, derive_key_context=context).digest(length=length)


class Author:
    def __init__(self, number):
        self.secret = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        self.key = self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Store:
    def __init__(self, owner):
        self.genesis = u8(1) + sized(b"core:kvstore") + owner.key + bytes(range(16)) + u64(1_700_000_000_000 << 16) + u8(0)
        self.hash = derive("lattice 2026 store id v1", self.genesis)
        id = bytearray(self.hash[:16])
        id[6] = id[6] & 0x0F | 0x80  # version 8
        id[8] = id[8] & 0x3F | 0x80  # the variant of RFC 9562
        self.id = bytes(id)

    def op(self, author, prev, deps, hlc, writes=None, raw=None):
        """An application op that says `writes`, or carries `raw`; a merge if it has neither."""
        kind = 1 if writes is None and raw is None else 0
        carried = payload(writes) if writes is not None else raw or b""
        seq = 0 if prev is None else prev["ref"][1] + 1
        body = u8(1) + u8(kind) + self.id + author.key + u64(seq) + (prev["ref"][2] if prev else bytes(32)) + u64(hlc)
        body += u64(len(deps)) + b"".join(map(ref_bytes, sorted(dep["ref"] for dep in deps))) + sized(carried)
        id = derive("lattice 2026 op v1", self.hash + body)
        signature = author.secret.sign(b"lattice/op/v1\0" + id)
        return {"bytes": body + signature, "ref": (author.key, seq, id), "hlc": hlc, "writes": writes or []}


def state(ops):
    """The rows of a store that has applied these ops, in any order."""
    applied = {op["ref"] for op in ops}
    superseded = {(key, ref) for op in ops for key, refs, _ in op["writes"] for ref in refs}
    rows = dict(mark(key, ref) for key, ref in superseded if ref not in applied)
    heads = {}
    for op in ops:
        for key, _, value in op["writes"]:
            if value is not None and (key, op["ref"]) not in superseded:
                heads.setdefault(key, []).append((op["hlc"], op["ref"], value))
    for key, found in heads.items():
        rows.update([cell(key, found)])
        for head in sorted(found, key=rank)[:-1]:
            rows.update([further(key, head), index(key, head)])
    return rows


def others(cell):
    return struct.unpack("<I", cell[:4])[0]


def winner(cell):
    return (cell[12:44], struct.unpack("<Q", cell[44:52])[0], cell[52:84])


def state_hash(store, rows):
    leaves = [(key, value) for key, value in rows.items() if key[:1] != b"i"]
    lanes = [0] * 1024
    for key, value in leaves:
        expanded = derive("lattice 2026 state leaf v1", u32(len(key)) + key + value, 2048)
        for lane, more in enumerate(struct.unpack("<1024H", expanded)):
            lanes[lane] = (lanes[lane] + more) % 2**16
    return derive("lattice 2026 state hash v1", store.hash + u64(len(leaves)) + struct.pack("<1024H", *lanes))


def golden_history():
    ann, bob, cat = Author(1), Author(2), Author(3)
    store = Store(ann)
    t = 1_700_000_000_000 << 16
    a0 = store.op(ann, None, [], t + 1, [(b"a", set(), b"1"), (b"b", set(), b""), (b"c", set(), b"3")])
    b0 = store.op(bob, None, [a0], t + 2, [(b"a", {a0["ref"]}, b"of bob")])
    # At the time of bob's, which bob has not seen: the greater id wins.
    c0 = store.op(cat, None, [], t + 2, [(b"a", set(), b"of cat"), (b"c", {a0["ref"]}, b"over what cat had not seen")])
    a1 = store.op(ann, a0, [], t + 3, [(b"b", {a0["ref"]}, None)])
    c1 = store.op(cat, c0, [], t + 4, [(b"d", set(), b"marked, never a head"), (b"e", set(), b"its other write")])
    # Bob supersedes what has not come yet, and what never will: a lie about ann's number, and an op of nobody.
    lie, ghost = (ann.key, 5, a0["ref"][2]), made_up(9, 9, 9)
    b1 = store.op(bob, b0, [], t + 5, [(b"a", {lie}, None), (b"d", {c1["ref"]}, None), (b"ghost", {ghost}, b"seen")])
    fork = store.op(ann, a0, [], t + 3, [(b"a", {a0["ref"]}, b"of ann's fork"), (b"b", set(), b"again")])
    merge = store.op(bob, b1, [a1, fork, c1], t + 6)
    void = store.op(cat, c1, [], t + 7, raw=pack_payload([made_up(1, 1, 1)], [(b"a", [], b"never")]))
    late = store.op(cat, c1, [], t + 8, [(b"f", {void["ref"]}, b"over a void op"), (b"c", {c0["ref"]}, None)])
    a2 = store.op(ann, a1, [merge, late], t + 9, [(b"long", set(), bytes(range(256)) * 16)])
    ops = [a0, b0, c0, a1, b1, c1, fork, merge, void, late, a2]
    rows = state(ops)
    lines = [f"genesis {store.genesis.hex()}"] + [f"op {op['bytes'].hex()}" for op in ops]
    lines += [f"row {key.hex()} {value.hex()}" for key, value in sorted(rows.items())]
    numbers = {op["ref"]: number for number, op in enumerate(ops)}
    short = {key: short_header(others(value), numbers[winner(value)]) + value[84:]
             for key, value in rows.items() if key[:1] == b"c"}
    return (lines + [f"state_hash {state_hash(store, rows).hex()}"]
            + [f"short {key.hex()} {value.hex()}" for key, value in sorted(short.items())])


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    lines = lambda found: [" ".join([name, *(part.hex() for part in parts)]) for name, *parts in found]
    write = lambda name, lines: (out / name).write_text("".join(line.rstrip() + "\n" for line in lines))
    write("payloads.txt", lines(valid_payloads().items()))
    write("payload_hostile.txt", lines(hostile_payloads().items()))
    write("rows.txt", lines((name, *row) for name, row in golden_rows().items()))
    write("history.txt", golden_history())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
