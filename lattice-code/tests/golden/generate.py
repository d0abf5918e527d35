"""Writes the golden files of lattice-code: python3 generate.py OUTDIR

A second implementation of a registry's payloads, rows and state, made from the words of their
description with `struct` and the packages `blake3` and `cryptography` of PyPI, not from the Rust
code: an encoder cannot bless itself. Nothing in the build runs it. The files it writes are kept;
once a format is released, a case may be added, and no line changes.

A line is a name and byte strings in hexadecimal, an empty one written as `empty`. In `history.txt`
an op stands with its effect and the state hash after it; rows are those in the end.
"""

import hashlib
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
MAX_NOTES = 1024
MAX_MODULE = 4 * 1024 * 1024


def u8(number):
    return struct.pack("<B", number)


def u16(number):
    return struct.pack("<H", number)


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def byte_string(content):
    return u64(len(content)) + content


def cid(content):
    """A content id: version 1, raw bytes, BLAKE3 of 32 bytes."""
    return bytes([0x01, 0x55, 0x1E, 0x20]) + blake3(content).digest()


def sha_cid(content):
    return bytes([0x01, 0x55, 0x12, 0x20]) + hashlib.sha256(content).digest()


class Publish:
    def __init__(self, store_type, release, module, length=1000, abi=1, schemas=(1, 1),
                 replaces=None, notes=b""):
        self.store_type, self.release, self.module, self.length = store_type, release, module, length
        self.abi, self.schemas, self.replaces, self.notes = abi, schemas, replaces, notes

    def claim(self):
        """What payloads and rows have of it beside type and number."""
        replaces = u8(0) if self.replaces is None else u8(1) + self.replaces
        return (
            self.module + u32(self.length) + u16(self.abi)
            + u64(self.schemas[0]) + u64(self.schemas[1])
            + replaces + byte_string(self.notes)
        )

    def payload(self):
        return u8(1) + u32(0) + byte_string(self.store_type) + u64(self.release) + self.claim()

    def fields(self):
        """For the reader of `payloads.txt`: all fields, each as a byte string."""
        return [
            self.store_type, u64(self.release), self.module, u32(self.length), u16(self.abi),
            u64(self.schemas[0]), u64(self.schemas[1]), self.replaces or b"", self.notes,
        ]

    def row(self, op):
        key = (
            b"p" + self.store_type + b"\0" + op.author + struct.pack(">Q", self.release) + op.id
        )
        return key, u64(op.hlc) + self.claim()


class Withdraw:
    def __init__(self, module, reason):
        self.module, self.reason = module, reason

    def payload(self):
        return u8(1) + u32(1) + self.module + byte_string(self.reason)

    def fields(self):
        return [self.module, self.reason]

    def row(self, op):
        key = b"w" + self.module + op.author + struct.pack(">Q", op.hlc) + op.id
        return key, self.reason


KEYS = [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)) for secret in SECRETS]
AUTHORS = [key.public_key().public_bytes_raw() for key in KEYS]

GENESIS = (
    u8(1) + byte_string(b"core:registry") + AUTHORS[0] + bytes(range(16)) + u64(HLC) + u8(0)
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
    """The first 16 bytes of a hash over the net change: a registry only gains elements."""
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


CHAT = b"org.example.chat"
ONE, TWO = cid(b"module one"), cid(b"module two")

PAYLOADS = [
    Publish(CHAT, 1, ONE),
    Publish(CHAT, 2**64 - 1, sha_cid(b"module one"), length=1, abi=2**16 - 1,
            schemas=(0, 2**64 - 1), replaces=TWO, notes="café\n".encode()),
    Publish(b"a:b", 0, TWO, length=MAX_MODULE, schemas=(3, 3), notes=b"n" * MAX_NOTES),
    Withdraw(ONE, b""),
    Withdraw(sha_cid(b""), b"r" * MAX_NOTES),
]


def hostile_payloads():
    good = Publish(CHAT, 7, ONE, replaces=TWO, notes=b"notes")
    bytes_of = good.payload()
    other = lambda **fields: Publish(CHAT, 7, ONE, **fields).payload()
    # Format, tag, length of the type, type, release.
    cid_at = 1 + 4 + 8 + len(CHAT) + 8
    option_at = cid_at + 36 + 4 + 2 + 16
    withdraw = Withdraw(ONE, b"reason").payload()
    return [
        ("nothing", b""),
        ("format_0", u8(0) + bytes_of[1:]),
        ("format_2", u8(2) + bytes_of[1:]),
        ("format_alone", u8(1)),
        ("tag_2", u8(1) + u32(2) + bytes_of[5:]),
        ("tag_of_one_byte", u8(1) + u8(0) + bytes_of[5:]),
        ("one_byte_short", bytes_of[:-1]),
        ("trailing_byte", bytes_of + u8(0)),
        ("type_without_separator", Publish(b"chat", 7, ONE).payload()),
        ("type_in_upper_case", Publish(b"Org.example", 7, ONE).payload()),
        ("type_with_zero", Publish(b"org.exa\0mple", 7, ONE).payload()),
        ("type_not_utf8", Publish(b"org.\xff", 7, ONE).payload()),
        ("type_too_long", Publish(b"a." + b"b" * 127, 7, ONE).payload()),
        ("type_length_huge", bytes_of[:5] + u64(2**63) + bytes_of[13:]),
        ("cid_version_0", bytes_of[:cid_at] + u8(0) + bytes_of[cid_at + 1:]),
        ("cid_codec", bytes_of[:cid_at + 1] + u8(0x70) + bytes_of[cid_at + 2:]),
        ("cid_hash", bytes_of[:cid_at + 2] + u8(0x13) + bytes_of[cid_at + 3:]),
        ("cid_length", bytes_of[:cid_at + 3] + u8(0x1F) + bytes_of[cid_at + 4:]),
        ("cid_with_length", bytes_of[:cid_at] + u64(36) + bytes_of[cid_at:]),
        ("replaces_option_2", bytes_of[:option_at] + u8(2) + bytes_of[option_at + 1:]),
        ("replaces_cid", bytes_of[:option_at + 1] + u8(2) + bytes_of[option_at + 2:]),
        ("length_0", other(length=0)),
        ("length_too_great", other(length=MAX_MODULE + 1)),
        ("abi_0", other(abi=0)),
        ("schemas_descending", other(schemas=(2, 1))),
        ("notes_too_long", other(notes=b"n" * (MAX_NOTES + 1))),
        ("notes_not_utf8", other(notes=b"\xff")),
        ("notes_length_huge", bytes_of[:-13] + u64(2**64 - 1) + b"notes"),
        ("withdraw_one_byte_short", withdraw[:-1]),
        ("withdraw_trailing_byte", withdraw + u8(0)),
        ("withdraw_cid", withdraw[:5] + u8(2) + withdraw[6:]),
        ("reason_too_long", Withdraw(ONE, b"r" * (MAX_NOTES + 1)).payload()),
        ("reason_not_utf8", Withdraw(ONE, b"\xc3").payload()),
    ]


def history():
    """Two authors, concurrently: a conflict of one number, a withdrawal by a stranger, one by the
    publisher, an op that is invalid, a merge, a release that replaces one."""
    first = Publish(CHAT, 1, ONE, length=73_000, notes=b"the first")
    again = Publish(CHAT, 1, TWO, length=73_001, notes=b"under the same number")
    theirs = Publish(CHAT, 1, ONE, notes=b"of a different publisher")
    strange = Withdraw(ONE, b"by a stranger")
    own = Withdraw(TWO, b"by its publisher")
    other_type = Publish(b"org.example.chat.v2", 1, cid(b"v2"), abi=2, schemas=(1, 2), replaces=TWO)

    a0 = Op(0, 0, None, HLC, [], first.payload())
    a1 = Op(0, 1, a0, HLC + 1, [], again.payload())
    fork = Op(0, 1, a0, HLC + 1, [], own.payload())
    b0 = Op(1, 0, None, HLC, [], theirs.payload())
    b1 = Op(1, 1, b0, HLC + 2, [a1], strange.payload())
    b2 = Op(1, 2, b1, HLC + 3, [], theirs.payload()[:-1])
    b3 = Op(1, 3, b2, HLC + 4, [fork], b"", kind=1)
    a2 = Op(0, 2, a1, HLC + (5000 << 16), [b3], other_type.payload())
    applied = [(a0, first), (a1, again), (fork, own), (b0, theirs), (b1, strange), (b2, None),
               (b3, None), (a2, other_type)]
    lines, rows = [("genesis", GENESIS)], []
    for op, command in applied:
        added = [command.row(op)] if command else []
        rows += added
        lines.append(("op", op.bytes, effect(added), state_hash(rows)))
    return lines + [("row", *row) for row in sorted(rows)]


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    write(directory, "payloads.txt",
          [(type(command).__name__.lower(), command.payload(), *command.fields())
           for command in PAYLOADS])
    write(directory, "payload_hostile.txt", hostile_payloads())
    write(directory, "history.txt", history())


if __name__ == "__main__":
    main()
