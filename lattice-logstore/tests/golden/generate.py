"""Writes the golden files of lattice-logstore: python3 generate.py OUTDIR

A second implementation of a log's payloads, rows and state, made from the words of their
description with `struct` and the packages `blake3` and `cryptography` of PyPI, not from the Rust
code: an encoder cannot bless itself. Nothing in the build runs it. The files it writes are kept;
once a format is released, a case may be added, and no line changes.

A line is a name and byte strings in hexadecimal, an empty one written as `empty`. In `history.txt`
an op stands with its effect and the state hash after it; elements and rows are those in the end.
"""

import pathlib
import struct
import sys

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# RFC 8032, section 7.1: secret keys of TEST 1 and TEST 2.
SECRETS = [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
]
HLC = 1_700_000_000_000 << 16
ZERO = bytes(32)


def u8(number):
    return struct.pack("<B", number)


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def byte_string(content):
    return u64(len(content)) + content


def payload(entries, format=1):
    return u8(format) + u64(len(entries)) + b"".join(map(byte_string, entries))


KEYS = [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)) for secret in SECRETS]
AUTHORS = [key.public_key().public_bytes_raw() for key in KEYS]

GENESIS = (
    u8(1) + byte_string(b"core:logstore") + AUTHORS[0] + bytes(range(16)) + u64(HLC) + u8(0)
)
GENESIS_HASH = blake3(GENESIS, derive_key_context="lattice 2026 store id v1").digest()
STORE_ID = bytearray(GENESIS_HASH[:16])
STORE_ID[6] = (STORE_ID[6] & 0x0F) | 0x80
STORE_ID[8] = (STORE_ID[8] & 0x3F) | 0x80


class Op:
    def __init__(self, author, seq, prev, hlc, deps, content, kind=0):
        """`prev` is an op or nothing, `deps` are ops; `content` is the payload."""
        self.author, self.seq, self.hlc, self.content = AUTHORS[author], seq, hlc, content
        deps = sorted(dep.reference() for dep in deps)
        body = (
            u8(1) + u8(kind) + STORE_ID + self.author + u64(seq)
            + (prev.id if prev else ZERO) + u64(hlc)
            + u64(len(deps)) + b"".join(a + u64(s) + i for a, s, i in deps)
            + byte_string(content)
        )
        context = "lattice 2026 op v1"
        self.id = blake3(GENESIS_HASH + body, derive_key_context=context).digest()
        self.bytes = body + KEYS[author].sign(b"lattice/op/v1\0" + self.id)

    def reference(self):
        return (self.author, self.seq, self.id)


def elements(op, entries):
    """An element is an entry: keys order as (hlc, op id, index) do; a value is the author and the
    content."""
    key = struct.pack(">Q", op.hlc) + op.id
    return [
        (key + struct.pack(">I", index), op.author + content)
        for index, content in enumerate(entries)
    ]


def varint(number):
    """Unsigned LEB128, the shortest."""
    low, rest = number & 0x7F, number >> 7
    return u8(low | 0x80) + varint(rest) if rest else u8(low)


def row(index, op, entries):
    """A row is an op that appends: its apply index, and how many entries it has."""
    return struct.pack(">Q", op.hlc) + op.id, varint(index) + varint(len(entries))


def lanes(elements):
    """The sum of elements, as the bytes of its 1,024 lanes."""
    total = [0] * 1024
    for key, value in elements:
        keyed = blake3(derive_key_context="lattice 2026 state element v1")
        keyed.update(u32(len(key)) + key + value)
        expanded = struct.unpack("<1024H", keyed.digest(length=2048))
        total = [(x + y) % 65536 for x, y in zip(total, expanded)]
    return struct.pack("<1024H", *total)


def effect(added):
    """The first 16 bytes of a hash over the net change: a log only gains elements."""
    content = struct.pack("<q", len(added)) + lanes(added)
    return blake3(content, derive_key_context="lattice 2026 effect v1").digest()[:16]


def state_hash(elements):
    content = GENESIS_HASH + u64(len(elements)) + lanes(elements)
    return blake3(content, derive_key_context="lattice 2026 state hash v1").digest()


def write(directory, name, lines):
    content = "".join(
        " ".join([line[0], *(field.hex() or "empty" for field in line[1:])]) + "\n"
        for line in lines
    )
    (directory / name).write_text(content)


PAYLOADS = [
    [b""],
    [b"one line"],
    [b"", b"", b""],
    [b"b", b"a", b"\0\xff"],
    [bytes(range(256))],
]


def hostile_payloads():
    good = payload([b"one", b"two"])
    return [
        ("nothing", b""),
        ("no_entries", payload([])),
        ("format_0", payload([b"one"], format=0)),
        ("format_2", payload([b"one"], format=2)),
        ("format_alone", u8(1)),
        ("one_byte_short", good[:-1]),
        ("trailing_byte", good + u8(0)),
        ("count_one_more", u8(1) + u64(3) + good[9:]),
        ("count_one_less", u8(1) + u64(1) + good[9:]),
        ("count_huge", u8(1) + u64(2**64 - 1) + good[9:]),
        ("count_too_great", payload([b""] * 3)[:1] + u64(65_537) + byte_string(b"") * 3),
        ("entry_length_huge", u8(1) + u64(1) + u64(2**63) + b"one"),
        ("entry_length_one_more", u8(1) + u64(1) + u64(4) + b"one"),
        ("entry_length_one_less", u8(1) + u64(1) + u64(2) + b"one"),
        ("count_of_32_bits", u8(1) + u32(1) + byte_string(b"one")),
    ]


def history():
    """Two authors: concurrent appends, an op that is void, a merge, an append on top."""
    first = [b"a begins", b"", b"and goes on"]
    a0 = Op(0, 0, None, HLC, [], payload(first))
    b0 = Op(1, 0, None, HLC, [], payload([b"b knows nothing of it"]))
    a1 = Op(0, 1, a0, HLC + 1, [], payload([b"late"])[:-1])
    b1 = Op(1, 1, b0, HLC + 2, [a1], b"", kind=1)
    a2 = Op(0, 2, a1, HLC + (5000 << 16), [b1], payload([b"on top", b"of all"]))
    applied = [(a0, first), (b0, [b"b knows nothing of it"]), (a1, []), (b1, [])]
    applied.append((a2, [b"on top", b"of all"]))
    lines, all_elements = [("genesis", GENESIS)], []
    for op, entries in applied:
        added = elements(op, entries)
        all_elements += added
        lines.append(("op", op.bytes, effect(added), state_hash(all_elements)))
    rows = [row(index, op, entries) for index, (op, entries) in enumerate(applied) if entries]
    return (
        lines
        + [("element", *element) for element in sorted(all_elements)]
        + [("row", *row) for row in sorted(rows)]
    )


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    write(directory, "payloads.txt",
          [("payload", payload(entries), *entries) for entries in PAYLOADS])
    write(directory, "payload_hostile.txt", hostile_payloads())
    write(directory, "history.txt", history())


if __name__ == "__main__":
    main()
