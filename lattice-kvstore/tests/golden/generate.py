#!/usr/bin/env python3
"""Computes the golden files of core:kvstore: python3 generate.py OUTDIR

A second implementation, made from the description of the formats and not from the Rust code: bytes are packed by
hand, and the values of a key and the marks come from sets over the ops applied so far. No build runs it. It needs
the packages blake3 and cryptography.

    payloads.txt          payloads that must be encoded exactly so, and decode: a name and the bytes
    payload_hostile.txt   bytes that must not decode: a name and the bytes
    rows.txt              rows of `data`: a name, the key and the value
    elements.txt          elements of the state: a name, the user's key, the op's id, the element's key
    history.txt           a genesis; signed ops in the order of application, each with its effect, and the state hash
                          and a digest of all rows after it; the elements and the rows in the end
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
        "heaviest": heavy(171),
    }


def heavy(refs):
    """Two keys of 4,096 bytes, each with so many superseded values of the same ops. With 172 the keys of those
    values have more than 64 times as many bytes as the payload."""
    named = {made_up(n, n, n) for n in range(refs)}
    return payload([(b"a" * 4096, named, None), (b"b" * 4096, named, None)])


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
        "too-heavy": heavy(172),
        "option-tag-2": u8(1) + u64(0) + u64(1) + sized(b"a") + u64(0) + u8(2),
    }


# --- rows; a value is (hlc, reference, apply index, bytes)

MAX_INSIDE = 1024


def varint(number):
    """Unsigned LEB128, the shortest."""
    low, rest = number & 0x7F, number >> 7
    return u8(low | 0x80) + varint(rest) if rest else u8(low)


def rank(value):
    hlc, (_, _, id), _, _ = value
    return (hlc, id)


def cell_inside(key, index, value):
    assert len(value) <= MAX_INSIDE
    return (b"c" + key, varint(4 * index) + value)


def cell_apart(key, index):
    return (b"c" + key, varint(4 * index + 1))


def cell_of_siblings(key, current, count):
    assert count >= 2
    return (b"c" + key, varint(4 * current + 2) + varint(count))


def value_row(key, index, value):
    return (b"v" + u16be(len(key)) + key + u64be(index), value)


def sibling_row(key, hlc, ref, index):
    author, seq, id = ref
    return (b"s" + u16be(len(key)) + key + u64be(hlc) + id, author + u64(seq) + varint(index))


def mark(key, ref):
    author, seq, id = ref
    return (b"m" + blake3(author + u64be(seq) + id).digest() + blake3(key).digest(), b"")


def element_key(key, ref):
    return key + ref[2]


def golden_rows():
    ref = made_up(3, 0x0405, 6)
    return {
        "cell-inside": cell_inside(b"key", 5, b"seven"),
        "cell-inside-empty": cell_inside(b"key", 0, b""),
        "cell-inside-longest": cell_inside(b"key", 0x1020, bytes(range(256)) * 4),
        "cell-apart": cell_apart(b"key", 0x4081),
        "cell-of-siblings": cell_of_siblings(b"key", 31, 2),
        "cell-of-many-siblings": cell_of_siblings(b"key", 2**61 - 1, 301),
        "value": value_row(b"key", 0x0708, b"seven"),
        "value-empty": value_row(b"\xff" * 300, 2**64 - 1, b""),
        "sibling": sibling_row(b"key", 0x0102, ref, 0x4081),
        "mark": mark(b"key", ref),
        "mark-longest-key": mark(b"k" * 4096, ref),
    }


def golden_elements():
    first, other = made_up(3, 0x0405, 6), made_up(8, 0, 0xFF)
    return [(name, key, ref[2], element_key(key, ref)) for name, key, ref in
            [("element", b"key", first), ("element-of-other", b"k", other)]]


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


def values(ops):
    """The values of each key, by the set of ops that are applied; their order only gives the indexes."""
    superseded = {(key, ref) for op in ops for key, refs, _ in op["writes"] for ref in refs}
    found = {}
    for index, op in enumerate(ops):
        for key, _, value in op["writes"]:
            if value is not None and (key, op["ref"]) not in superseded:
                found.setdefault(key, []).append((op["hlc"], op["ref"], index, value))
    return found


def elements(ops):
    return {element_key(key, ref): value for key, found in values(ops).items() for _, ref, _, value in found}


def rows(ops):
    """The rows of a store that has applied these ops in this order."""
    apart, marks = set(), set()
    for count in range(1, len(ops) + 1):
        # A value that has been long or has had siblings, if only once, has a row of its own.
        for key, found in values(ops[:count]).items():
            apart |= {(key, index) for _, _, index, value in found if len(found) > 1 or len(value) > MAX_INSIDE}
        # An op leaves a mark for what it supersedes and is not applied; the other op takes those at its own keys.
        *before, last = ops[:count]
        marks -= {(key, last["ref"]) for key, _, _ in last["writes"]}
        marks |= {(key, ref) for key, refs, _ in last["writes"] for ref in refs - {op["ref"] for op in before}}
    out = dict(mark(key, ref) for key, ref in marks)
    for key, found in values(ops).items():
        out |= [value_row(key, index, value) for _, _, index, value in found if (key, index) in apart]
        hlc, ref, current, value = max(found, key=rank)
        if len(found) > 1:
            out |= [cell_of_siblings(key, current, len(found))]
            out |= [sibling_row(key, hlc, ref, index) for hlc, ref, index, _ in found]
        else:
            out |= [cell_apart(key, current) if (key, current) in apart else cell_inside(key, current, value)]
    return out


def lanes(elements):
    """The sum of elements, 1,024 numbers of 16 bits."""
    total = [0] * 1024
    for key, value in elements.items():
        expanded = derive("lattice 2026 state element v1", u32(len(key)) + key + value, 2048)
        total = [(x + y) % 2**16 for x, y in zip(total, struct.unpack("<1024H", expanded))]
    return total


def state_hash(store, elements):
    packed = struct.pack("<1024H", *lanes(elements))
    return derive("lattice 2026 state hash v1", store.hash + u64(len(elements)) + packed)


def effect(before, after):
    """Of the net change: how many elements more, and the sum of those that came less that of those that went."""
    change = [(x - y) % 2**16 for x, y in zip(lanes(after), lanes(before))]
    packed = struct.pack("<q", len(after) - len(before)) + struct.pack("<1024H", *change)
    return derive("lattice 2026 effect v1", packed, 16)


def digest(rows):
    """BLAKE3 of all rows in the order of their keys, each key and value after its length."""
    return blake3(b"".join(sized(key) + sized(value) for key, value in sorted(rows.items()))).digest()


def text(length):
    return (b"0123456789abcdef" * 200)[:length]


def history(store):
    ann, bob, cat = Author(1), Author(2), Author(3)
    t = 1_700_000_000_000 << 16
    ops = []

    def op(*args, **kwargs):
        ops.append(store.op(*args, **kwargs))
        return ops[-1]

    a0 = op(ann, None, [], t + 1, [(b"a", set(), b"1"), (b"b", set(), b""), (b"c", set(), b"3")])
    b0 = op(bob, None, [a0], t + 2, [(b"a", {a0["ref"]}, b"of bob")])
    # At the time of bob's, which bob has not seen: the greater id wins.
    c0 = op(cat, None, [], t + 2, [(b"a", set(), b"of cat"), (b"c", {a0["ref"]}, b"over what cat had not seen")])
    a1 = op(ann, a0, [], t + 3, [(b"b", {a0["ref"]}, None)])
    c1 = store.op(cat, c0, [], t + 4, [(b"d", set(), b"marked, never a value"), (b"e", set(), b"its other write"),
                                       (b"marked-delete", set(), None)])
    # Bob supersedes what has not come yet, at keys that it writes and at one that it does not, and what never will:
    # a lie about ann's number, and an op of no author.
    lie, ghost = (ann.key, 5, a0["ref"][2]), made_up(9, 9, 9)
    b1 = op(bob, b0, [], t + 5, [(b"a", {lie}, None), (b"d", {c1["ref"]}, None), (b"ghost", {ghost}, b"seen"),
                                 (b"marked-delete", {c1["ref"]}, None), (b"unwritten", {c1["ref"]}, None)])
    ops.append(c1)
    fork = op(ann, a0, [], t + 3, [(b"a", {a0["ref"]}, b"of ann's fork"), (b"b", set(), b"again")])
    merge = op(bob, b1, [a1, fork, c1], t + 6)
    void = store.op(cat, c1, [], t + 7, raw=pack_payload([made_up(1, 1, 1)], [(b"a", [], b"never")]))
    # The mark of an invalid op stays as well.
    a2 = op(ann, a1, [merge], t + 8, [(b"apart", set(), text(1025)), (b"inside", set(), text(1024)),
                                      (b"long", set(), text(3000)), (b"void", {void["ref"]}, b"over a void op"),
                                      (b"joined", set(), b"alone"), (b"kept-short", set(), text(1024)),
                                      (b"settled", set(), text(1025)), (b"to-be-long", set(), b"short"),
                                      (b"promoted", set(), text(1025))])
    ops.append(void)
    late = op(cat, void, [], t + 9, [(b"c", {c0["ref"]}, None), (b"f", {void["ref"]}, b"after the void op"),
                                     (b"joined", set(), b"with"), (b"kept-short", set(), text(3000)),
                                     (b"long", set(), text(1025)), (b"settled", set(), b""),
                                     (b"promoted", set(), b"of cat")])
    b2 = op(bob, merge, [], t + 9, [(b"long", set(), b"short among long ones"), (b"settled", set(), text(1024)),
                                    (b"to-be-long", {a2["ref"]}, text(2000)), (b"promoted", set(), b"of bob")])
    # Left alone again: a short value that was inside, a long one, and one of three; a put over three; two of three.
    current = max([late, b2], key=lambda op: (op["hlc"], op["ref"][2]))
    a3 = op(ann, a2, [late, b2], t + 10, [(b"joined", {late["ref"]}, None), (b"kept-short", {late["ref"]}, None),
                                          (b"long", {b2["ref"], late["ref"]}, None),
                                          (b"settled", {a2["ref"], b2["ref"], late["ref"]}, b"one again"),
                                          (b"promoted", {current["ref"]}, None)])
    # Two concurrent values of each size, in either order of their ranks.
    op(ann, a3, [], t + 12, [(b"two", set(), b"great"), (b"two-long", set(), text(1025))])
    op(bob, b2, [a3], t + 11, [(b"two", set(), text(1025)), (b"two-long", set(), text(3000))])
    op(cat, late, [a3], t + 13, [(b"two", set(), text(5)), (b"two-long", set(), b"")])
    return ops


def golden_history():
    store = Store(Author(1))
    ops = history(store)
    lines = [("genesis", store.genesis)]
    for count in range(1, len(ops) + 1):
        done = ops[:count]
        changed = effect(elements(done[:-1]), elements(done))
        lines.append(("op", done[-1]["bytes"], changed, state_hash(store, elements(done)), digest(rows(done))))
    lines += [("element", *element) for element in sorted(elements(ops).items())]
    return lines + [("row", *row) for row in sorted(rows(ops).items())]


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    lines = lambda found: [" ".join([name, *(part.hex() for part in parts)]) for name, *parts in found]
    write = lambda name, found: (out / name).write_text("".join(line.rstrip() + "\n" for line in lines(found)))
    write("payloads.txt", valid_payloads().items())
    write("payload_hostile.txt", hostile_payloads().items())
    write("rows.txt", ((name, *row) for name, row in golden_rows().items()))
    write("elements.txt", golden_elements())
    write("history.txt", golden_history())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
