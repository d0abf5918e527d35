"""Writes the golden files of lattice-backend: python3 generate.py OUTDIR

A second implementation of ops, their ids and signatures, of the state hash and of effects, made
from the words of their description with `struct` and the packages `blake3` and `cryptography` of
PyPI, not from the Rust code: an encoder cannot bless itself. Nothing in the build runs it. The
files it writes are kept; once a format is released, a case may be added, and no line changes.

A line is a name and byte strings in hexadecimal, an empty one written as `empty`, one that is not
there as `none`. The name of a hostile bundle is followed by that of its error. `journal_cases.py`
says what the lines of `journal_cases.txt` are.
"""

import base64
import hashlib
import pathlib
import struct
import sys

import journal_cases
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# RFC 8032, section 7.1: secret and public keys of TEST 1, TEST 2 and TEST 3.
KEYS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
]
# RFC 8032, section 5.1: the field's prime, the group's order and the curve's constant.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

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


class Store:
    """A store's genesis: what ops and the state hash are bound to."""

    def __init__(self, store_type, owner, nonce):
        self.record = (
            u8(1) + byte_string(store_type) + owner + nonce + u64(HLC) + u8(0)
        )
        self.hash = blake3(self.record, derive_key_context="lattice 2026 store id v1").digest()
        store_id = bytearray(self.hash[:16])
        store_id[6] = (store_id[6] & 0x0F) | 0x80
        store_id[8] = (store_id[8] & 0x3F) | 0x80
        self.id = bytes(store_id)


class Author:
    def __init__(self, secret, public):
        self.secret = bytes.fromhex(secret)
        self.key = Ed25519PrivateKey.from_private_bytes(self.secret)
        self.public = self.key.public_key().public_bytes_raw()
        assert self.public.hex() == public

    def sign(self, op_id):
        return self.key.sign(b"lattice/op/v1\0" + op_id)


AUTHORS = [Author(*pair) for pair in KEYS]
STORE = Store(b"org.example.golden", AUTHORS[0].public, bytes(range(16)))
OTHER = Store(b"org.example.golden", AUTHORS[0].public, bytes(range(1, 17)))


def op_ref(author, seq, op_id):
    return author + u64(seq) + op_id


def body(author, seq, prev, hlc, deps=(), payload=b"", kind=0, format=1, store=STORE):
    return (
        u8(format)
        + u8(kind)
        + store.id
        + author
        + u64(seq)
        + prev
        + u64(hlc)
        + u64(len(deps))
        + b"".join(deps)
        + byte_string(payload)
    )


def op_id(encoded, store=STORE):
    return blake3(store.hash + encoded, derive_key_context="lattice 2026 op v1").digest()


def signed(author, encoded, store=STORE):
    return encoded + author.sign(op_id(encoded, store))


def op_fields(author, seq, prev, hlc, deps=(), payload=b"", kind=0):
    """An op's ingredients and what has to become of them."""
    encoded = body(author.public, seq, prev, hlc, deps, payload, kind)
    return [
        ("secret", author.secret),
        ("author", author.public),
        ("kind", u8(kind)),
        ("seq_le", u64(seq)),
        ("prev", prev),
        ("hlc_le", u64(hlc)),
        *[("dep", dep[:32], dep[32:40], dep[40:]) for dep in deps],
        ("payload", payload),
        ("body", encoded),
        ("id", op_id(encoded)),
        ("signature", author.sign(op_id(encoded))),
    ]


def write(directory, name, lines):
    def text(field):
        return "none" if field is None else field.hex() or "empty"

    content = "".join(" ".join([line[0], *map(text, line[1:])]) + "\n" for line in lines)
    (directory / name).write_text(content)


def no_point():
    """The least y that is no point: (y^2 - 1) / (d y^2 + 1) has no square root."""
    for y in range(2, 100):
        x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        if pow(x_squared, (P - 1) // 2, P) == P - 1:
            return y.to_bytes(32, "little")
    raise AssertionError("half of all y are no points")


def hostile_ops(first_id, other_id):
    """Ops that are refused; for each its bytes, the one thing wrong with it in its name."""
    a, b, c = AUTHORS
    dep_b = op_ref(b.public, 0, other_id)
    dep_c = op_ref(c.public, 0, other_id)
    dep_b2 = op_ref(b.public, 1, other_id)
    low, high = sorted([dep_b, dep_c])
    good = body(a.public, 0, ZERO, HLC, payload=b"payload")
    op = signed(a, good)
    scalar = int.from_bytes(op[-32:], "little")

    def made(**changes):
        fields = dict(author=a.public, seq=0, prev=ZERO, hlc=HLC, payload=b"payload")
        fields.update(changes)
        return signed(a, body(**fields))

    def later(deps):
        return made(seq=1, prev=first_id, hlc=HLC + 1, deps=deps)

    # Author and R are the neutral element and S is 0: the cofactorless equation holds for
    # every message, which is why strict verification refuses keys of small order.
    neutral = u8(1) + bytes(31)
    fixed = len(good) - 8 - 8 - len(b"payload")
    return [
        ("signature_bit", op[:-64] + u8(op[-64] ^ 1) + op[-63:]),
        ("signature_zero", op[:-64] + bytes(64)),
        ("signature_of_other_author", good + b.sign(op_id(good))),
        ("signature_of_bare_id", good + a.key.sign(op_id(good))),
        ("signature_of_other_store", good + a.sign(op_id(good, OTHER))),
        ("signature_scalar_not_reduced", op[:-32] + (scalar + L).to_bytes(32, "little")),
        ("author_of_small_order", body(neutral, 0, ZERO, HLC) + neutral + bytes(32)),
        ("author_no_point", body(no_point(), 0, ZERO, HLC) + bytes(64)),
        ("body_bit", u8(op[0]) + op[1:-66] + u8(op[-66] ^ 1) + op[-65:]),
        ("deps_descending", later([high, low])),
        ("deps_twice_the_same", later([dep_b, dep_b])),
        ("deps_descending_seq", later([dep_b2, dep_b])),
        ("dep_is_prev", later([op_ref(a.public, 0, first_id)])),
        ("first_with_prev", made(prev=first_id)),
        ("later_without_prev", made(seq=1)),
        ("merge_with_payload", made(kind=1)),
        ("kind_2", made(kind=2)),
        ("kind_255", made(kind=255)),
        ("format_0", made(format=0)),
        ("format_2", made(format=2)),
        ("store_other", signed(a, body(a.public, 0, ZERO, HLC, store=OTHER), OTHER)),
        ("trailing_byte_in_body", signed(a, good + u8(0))),
        ("trailing_byte", op + u8(0)),
        ("one_byte_short", op[:-1]),
        ("no_signature", good),
        ("nothing", b""),
        ("deps_length_huge", signed(a, good[:fixed] + u64(2**64 - 1) + good[fixed + 8:])),
        ("deps_length_lying", signed(a, good[:fixed] + u64(1024) + good[fixed + 8:])),
        ("payload_length_huge", signed(a, good[: fixed + 8] + u64(2**63) + b"payload")),
        ("payload_length_one_more", signed(a, good[: fixed + 8] + u64(8) + b"payload")),
        ("payload_length_one_less", signed(a, good[: fixed + 8] + u64(6) + b"payload")),
    ]


def many_deps(count):
    """A first op with deps made up by a rule: strictly ascending authors."""
    deps = [op_ref(struct.pack(">I", n) * 8, n, blake3(u32(n)).digest()) for n in range(count)]
    return signed(AUTHORS[0], body(AUTHORS[0].public, 0, ZERO, HLC, deps))


def expand(key, value):
    """An element's 1,024 lanes."""
    keyed = blake3(derive_key_context="lattice 2026 state element v1")
    keyed.update(u32(len(key)) + key + value)
    return struct.unpack("<1024H", keyed.digest(length=2048))


def lanes(numbers):
    return struct.pack("<1024H", *numbers)


def added(a, b):
    return tuple((x + y) % 65536 for x, y in zip(a, b))


def state_hash(count, total, store=STORE):
    content = store.hash + u64(count) + lanes(total)
    return blake3(content, derive_key_context="lattice 2026 state hash v1").digest()


ELEMENTS = [
    (b"", b""),
    (b"", b"\0"),
    (b"\0", b""),
    (b"key", b"value"),
    (b"ke", b"yvalue"),
    (b"k", b"\xff" * 3000),
    (bytes(range(256)), b"long key"),
]


def state_file():
    total = (0,) * 1024
    lines = [("genesis", STORE.record), ("empty_hash", state_hash(0, total))]
    for count, (key, value) in enumerate(ELEMENTS, 1):
        total = added(total, expand(key, value))
        lines += [
            ("element", key, value),
            ("expanded", lanes(expand(key, value))),
            ("state_hash", state_hash(count, total)),
            ("state_hash_of_other_store", state_hash(count, total, OTHER)),
        ]
    return [*lines, ("sum", lanes(total))]


EFFECTS = [
    [],
    [(b"key", None, b"value")],
    [(b"key", b"value", None)],
    [(b"key", b"", b"value")],
    [(b"", None, b"")],
    [(b"a", None, b"1"), (b"b", b"2", b"3"), (b"c", b"4", None)],
    [(b"a", None, b"1"), (b"bb", b"23", None)],
]


def effect(changes):
    """The first 16 bytes of a hash over the net change: the number of elements, and their sum."""
    more, net = 0, (0,) * 1024
    for key, before, after in changes:
        if before is not None:
            more, net = more - 1, tuple((x - y) % 65536 for x, y in zip(net, expand(key, before)))
        if after is not None:
            more, net = more + 1, added(net, expand(key, after))
    content = struct.pack("<q", more) + lanes(net)
    return blake3(content, derive_key_context="lattice 2026 effect v1").digest()[:16]


def effect_file():
    lines = []
    for changes in EFFECTS:
        lines += [("change", *change) for change in changes]
        lines.append(("effect", effect(changes)))
    return lines


def writes(changes):
    """A payload of the test's state machine, which writes rows as it is told."""

    def optional(content):
        return u8(0) if content is None else u8(1) + byte_string(content)

    return u64(len(changes)) + b"".join(byte_string(k) + optional(v) for k, v in changes)


def branch_key(number):
    """Orders as numbers do: how many bytes follow, then the number without leading zeroes."""
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return u8(len(digits)) + digits


def tables_file():
    """All rows of a store with a fixed history: two authors, an op in several parts, a fork, two ops
    that are long enough to bring the index up to date, and an op that is not in the index yet."""
    a, b, _ = AUTHORS
    state, effects, ops = {}, [], []

    def apply(author, seq, prev, hlc, deps, changes):
        encoded = body(author.public, seq, prev, hlc, deps, writes(changes))
        reference = op_ref(author.public, seq, op_id(encoded))
        net = [(k, state.get(k), v) for k, v in sorted(changes) if state.get(k) != v]
        for key, value in changes:
            state.pop(key, None) if value is None else state.update({key: value})
        effects.append(effect(net))
        ops.append((reference, signed(author, encoded), hlc))
        return reference

    a0 = apply(a, 0, ZERO, HLC, [], [(b"k1", b"v1")])
    b0 = apply(b, 0, ZERO, HLC + 1, [a0], [(b"k1", b"v2"), (b"k2", b"\x5a" * 5000)])
    a1 = apply(a, 1, a0[40:], HLC + 2, [b0], [(b"k3", b"\x11" * 300 * 1024)])
    fork = apply(a, 1, a0[40:], HLC + 3, [], [(b"k2", None)])
    b1 = apply(b, 1, b0[40:], HLC + 4, [fork], [(b"k4", b"\x22" * 300 * 1024)])
    tail = apply(a, 2, fork[40:], HLC + 5, [], [(b"k5", b"v5")])
    # The branches of the first author: the first one, and the one that `fork` begins.
    branches = [0, 0, 0, 1, 0, 1]

    def key_of(reference):
        return reference[:32] + struct.pack(">Q", *struct.unpack("<Q", reference[32:40])) + reference[40:]

    total = (0,) * 1024
    for key, value in state.items():
        total = added(total, expand(key, value))
    rows = [
        ("meta", b"store_id", STORE.id),
        ("meta", b"store_type", b"org.example.golden"),
        ("meta", b"schema_version", u64(1)),
        ("meta", b"tip/" + a.public, tail[40:]),
        ("meta", b"tip/" + b.public, b1[40:]),
        ("system", b"genesis", STORE.record),
        ("system", b"logic", b"rows/1"),
        ("system", b"ledger", u64(6) + u64(5) + u64(HLC + 5) + u64(len(state)) + lanes(total)),
        ("system", b"frontier/" + key_of(a1), u64(HLC + 2)),
        ("system", b"frontier/" + key_of(b1), u64(HLC + 4)),
        ("system", b"frontier/" + key_of(tail), u64(HLC + 5)),
        # The first sequence number, the end, and the branch that it left.
        ("system", b"branch/" + a.public + branch_key(0), u64(0) + u64(1) + a1[40:]),
        ("system", b"branch/" + a.public + branch_key(1), u64(1) + u64(2) + tail[40:] + u64(0)),
        ("system", b"fork/" + key_of(fork), u64(1)),
        *[
            ("applied", op[:32] + branch_key(branch) + key_of(op)[32:40], u64(index) + op[40:])
            for index, (op, branch) in enumerate(zip([a0, b0, a1, fork, b1], branches))
        ],
        *[("data", key, value) for key, value in state.items()],
    ]
    for index, ((_, encoded, _), hashed) in enumerate(zip(ops, effects)):
        record = u8(branches[index]) + hashed + encoded
        for part, start in enumerate(range(0, len(record), 1340)):
            key = struct.pack(">Q", index) + (struct.pack(">I", part) if part else b"")
            rows.append(("ops", key, record[start : start + 1340]))

    order = ["meta", "system", "ops", "applied", "data"]
    rows.sort(key=lambda row: (order.index(row[0]), row[1]))
    # A long value stands as its hash: BLAKE3 of 300 KiB says as much as they do.
    short = [
        (table, key, value) if len(value) <= 200 else (table + "_hashed", key, blake3(value).digest())
        for table, key, value in rows
    ]
    return [*short, ("state_hash", state_hash(len(state), total))]


BUNDLE_MAGIC = b"lattice bundle\n\x01"


def record(content):
    return u32(len(content)) + content


def bundle_end(genesis, ops, count=None, total=None):
    """Mark, counts and digest; counts that lie are hashed as they stand."""
    count = len(ops) if count is None else count
    total = sum(map(len, ops)) if total is None else total
    counts = u64(count) + u64(total)
    content = record(genesis) + b"".join(map(record, ops)) + counts
    digest = blake3(content, derive_key_context="lattice 2026 bundle v1").digest()
    return u32(0) + counts + digest


def bundle_ops():
    """Two ops of two authors."""
    a, b, _ = AUTHORS
    return [
        signed(a, body(a.public, 0, ZERO, HLC, [], b"first")),
        signed(b, body(b.public, 0, ZERO, HLC + 1)),
    ]


def bundle(genesis=STORE.record, ops=None, end=None):
    ops = bundle_ops() if ops is None else ops
    end = bundle_end(genesis, ops) if end is None else end
    return BUNDLE_MAGIC + record(genesis) + b"".join(map(record, ops)) + end


def flipped(content, at):
    return content[:at] + u8(content[at] ^ 1) + content[at + 1 :]


def hostile_bundles():
    """Bundles that are refused: for each its name and the error that a verification gives."""
    genesis, (first, second) = STORE.record, bundle_ops()
    good, end = bundle(), bundle_end(genesis, [first, second])
    # Where each part begins.
    genesis_at = 16
    first_at = genesis_at + 4 + len(genesis)
    second_at = first_at + 4 + len(first)
    mark_at = second_at + 4 + len(second)
    counts_at = mark_at + 4
    digest_at = counts_at + 16
    assert digest_at + 32 == len(good)
    total = len(first) + len(second)
    cuts = [
        ("nothing", "empty", 0),
        ("in_magic", "cut_magic", 1),
        ("before_format", "cut_magic", 15),
        ("after_magic", "cut_genesis", genesis_at),
        ("in_genesis_length", "cut_genesis", genesis_at + 3),
        ("after_genesis_length", "cut_genesis", genesis_at + 4),
        ("in_genesis", "cut_genesis", first_at - 1),
        ("after_genesis", "cut_next", first_at),
        ("in_first_length", "cut_next", first_at + 1),
        ("after_first_length", "cut_op", first_at + 4),
        ("in_first_op", "cut_op", second_at - 1),
        ("after_first_op", "cut_next", second_at),
        ("in_second_op", "cut_op", mark_at - 64),
        ("after_last_op", "cut_next", mark_at),
        ("in_mark", "cut_next", mark_at + 3),
        ("after_mark", "cut_counts", counts_at),
        ("in_op_count", "cut_counts", counts_at + 7),
        ("between_counts", "cut_counts", counts_at + 8),
        ("in_byte_count", "cut_counts", digest_at - 1),
        ("after_counts", "cut_digest", digest_at),
        ("in_digest", "cut_digest", len(good) - 1),
    ]

    def counted(**lie):
        return bundle(end=bundle_end(genesis, [first, second], **lie))

    def digested(digest):
        return good[:digest_at] + digest

    context = "lattice 2026 bundle v1"
    short = u32(len(first) - 1) + first
    # The last byte of an op is of its signature.
    forged = flipped(first, len(first) - 1)
    other_op = signed(AUTHORS[0], body(AUTHORS[0].public, 0, ZERO, HLC, store=OTHER), OTHER)
    newer_genesis = u8(2) + genesis[1:]
    vectors = [
        *[("cut_" + name, kind, good[:at]) for name, kind, at in cuts],
        ("other_magic", "not_a_bundle", b"L" + good[1:]),
        ("format_0", "format", BUNDLE_MAGIC[:-1] + u8(0) + good[16:]),
        # The genesis record is taken for claims.
        ("format_2", "claims", BUNDLE_MAGIC[:-1] + u8(2) + good[16:]),
        # Or for what it follows.
        ("format_3", "follows", BUNDLE_MAGIC[:-1] + u8(3) + good[16:]),
        ("format_4", "format", BUNDLE_MAGIC[:-1] + u8(4) + good[16:]),
        ("genesis_length_0", "genesis", bundle(b"")),
        ("genesis_length_1025", "length_genesis", bundle(genesis.ljust(1025, b"\0"))),
        ("genesis_length_huge", "length_genesis", BUNDLE_MAGIC + u32(2**32 - 1) + good[20:]),
        ("genesis_length_1024_of_nothing", "cut_genesis", BUNDLE_MAGIC + u32(1024)),
        ("genesis_trailing_byte", "genesis", bundle(genesis + u8(0))),
        ("genesis_of_format_2", "genesis", bundle(newer_genesis)),
        ("genesis_bit", "digest", flipped(good, first_at - 9)),
        ("op_length_over_limit", "length_op",
         good[:first_at] + u32((16 << 20) + 1) + good[first_at + 4 :]),
        ("op_length_huge", "length_op",
         good[:second_at] + u32(2**32 - 1) + good[second_at + 4 :]),
        ("op_length_16_mib_of_nothing", "cut_op", good[:first_at] + u32(16 << 20)),
        # The op's last byte and three of the next length are 256 times that length: more than is left.
        ("op_length_one_less", "cut_op", good[:first_at] + short + good[second_at:]),
        ("op_length_0", "op_count", good[:first_at] + u32(0) + good[first_at + 4 :]),
        ("op_bit", "digest", flipped(good, first_at + 20)),
        ("op_signature_bit", "digest", flipped(good, second_at - 1)),
        ("op_forged_under_a_right_digest", "op", bundle(ops=[forged, second])),
        ("op_of_other_store_under_a_right_digest", "op", bundle(ops=[first, other_op])),
        ("op_of_one_byte_under_a_right_digest", "op", bundle(ops=[b"x"])),
        ("ops_swapped", "digest", bundle(ops=[second, first], end=end)),
        ("op_missing", "op_count", bundle(ops=[first], end=end)),
        ("op_twice", "op_count", bundle(ops=[first, second, second], end=end)),
        # The count of ops, 2, is taken for the length of an op of two bytes; then the low bytes of
        # the count of bytes are the high ones of a length.
        ("end_mark_missing", "length_op", bundle(end=end[4:])),
        ("end_mark_twice", "op_count", bundle(end=u32(0) + end)),
        ("op_count_one_more", "op_count", counted(count=3)),
        ("op_count_one_less", "op_count", counted(count=1)),
        ("op_count_huge", "op_count", counted(count=2**64 - 1)),
        ("op_count_bit", "op_count", flipped(good, counts_at)),
        ("byte_count_one_more", "byte_count", counted(total=total + 1)),
        ("byte_count_one_less", "byte_count", counted(total=total - 1)),
        ("byte_count_bit", "byte_count", flipped(good, counts_at + 8)),
        ("digest_first_bit", "digest", flipped(good, digest_at)),
        ("digest_last_byte", "digest", flipped(good, len(good) - 1)),
        ("digest_without_counts", "digest", digested(
            blake3(good[genesis_at:mark_at], derive_key_context=context).digest())),
        ("digest_with_end_mark", "digest", digested(
            blake3(good[genesis_at:digest_at], derive_key_context=context).digest())),
        ("digest_without_context", "digest", digested(
            blake3(good[genesis_at:mark_at] + good[counts_at:digest_at]).digest())),
        ("counts_before_ops", "length_op",
         good[:first_at] + end[4:] + good[first_at:mark_at]),
        ("op_after_end_mark", "op_count", good[:counts_at] + record(second) + good[counts_at:]),
        ("op_after_end", "trailing", good + record(second)),
        ("byte_after_end", "trailing", good + u8(0)),
        ("bundle_after_end", "trailing", good + good),
    ]
    return [(f"{name} {kind}", content) for name, kind, content in vectors]


CODE_MAGIC = b"lattice bundle\n\x02"
MODULES = [b"a module", b"a module that is named by its SHA2-256"]


def cid_blake3(content):
    return bytes([1, 0x55, 0x1E, 32]) + blake3(content).digest()


def cid_sha256(content):
    return bytes([1, 0x55, 0x12, 32]) + hashlib.sha256(content).digest()


def cid_text(cid):
    return b"b" + base64.b32encode(cid).rstrip(b"=").lower()


def module(cid, content):
    return cid + record(content)


def code_frontier():
    """Neither op of the bundle follows the other."""
    return [
        op_ref(author.public, 0, op_id(op[:-64]))
        for author, op in sorted(zip(AUTHORS, bundle_ops()), key=lambda pair: pair[0].public)
    ]


def claims(logic=None, state=None, frontier=None):
    logic = cid_text(cid_blake3(MODULES[0])) if logic is None else logic
    state = state_hash(0, (0,) * 1024) if state is None else state
    frontier = code_frontier() if frontier is None else frontier
    return byte_string(logic) + state + u64(len(frontier)) + b"".join(frontier)


def code_modules():
    first, second = MODULES
    return [module(cid_blake3(first), first), module(cid_sha256(second), second)]


def code_section(claimed=None, modules=None, count=None):
    claimed = claims() if claimed is None else claimed
    modules = code_modules() if modules is None else modules
    count = len(modules) if count is None else count
    return record(claimed) + u8(count) + b"".join(modules)


def code_bundle(section=None, context="lattice 2026 bundle v2"):
    """A bundle of format 2. Whatever its section has is under a right digest."""
    section = code_section() if section is None else section
    ops = bundle_ops()
    content = section + record(STORE.record) + b"".join(map(record, ops))
    counts = u64(len(ops)) + u64(sum(map(len, ops)))
    digest = blake3(content + counts, derive_key_context=context).digest()
    return CODE_MAGIC + content + u32(0) + counts + digest


AFTER_MAGIC = b"lattice bundle\n\x03"


def follows(name=b"monday.db", ops=None):
    ops = code_frontier() if ops is None else ops
    return byte_string(name) + u64(len(ops)) + b"".join(ops)


def after_bundle(section=None, context="lattice 2026 bundle v3"):
    """A bundle of format 3, which follows two ops. What its section has is under a right digest."""
    section = record(follows()) if section is None else section
    content = section + record(STORE.record) + b"".join(map(record, bundle_ops()))
    counts = u64(len(bundle_ops())) + u64(sum(map(len, bundle_ops())))
    digest = blake3(content + counts, derive_key_context=context).digest()
    return AFTER_MAGIC + content + u32(0) + counts + digest


def hostile_after_bundles():
    """Bundles of format 3 that are refused, as in hostile_bundles."""
    good, said = after_bundle(), follows()
    first, second = code_frontier()
    after_section = 16 + 4 + len(said)

    def of(content):
        return after_bundle(record(content))

    vectors = [
        ("cut_after_magic", "cut_follows", good[:16]),
        ("cut_in_length", "cut_follows", good[:19]),
        ("cut_in_record", "cut_follows", good[: after_section - 1]),
        ("cut_after_record", "cut_genesis", good[:after_section]),
        ("length_huge", "length_follows", good[:16] + u32(2**32 - 1) + good[20:]),
        ("length_64_mib_of_nothing", "cut_follows", good[:16] + u32(64 << 20)),
        ("length_one_less", "follows", good[:16] + u32(len(said) - 1) + good[20:]),
        ("record_of_nothing", "follows", of(b"")),
        ("record_with_trailing_byte", "follows", of(said + u8(0))),
        ("name_of_1025_bytes", "follows", of(follows(b"a" * 1025))),
        ("name_that_is_no_text", "follows", of(follows(b"\xff"))),
        ("ops_swapped", "follows", of(follows(ops=[second, first]))),
        ("op_twice", "follows", of(follows(ops=[first, first]))),
        ("more_ops_than_fit", "follows", of(byte_string(b"x") + u64((1 << 19) + 1))),
        ("name_bit", "digest", flipped(good, 16 + 4 + 9)),
        ("digest_of_format_1", "digest", after_bundle(context="lattice 2026 bundle v1")),
        ("magic_of_format_1", "length_genesis", BUNDLE_MAGIC + of(follows(b"a" * 1000))[16:]),
        ("section_missing", "follows", after_bundle(b"")),
        ("section_twice", "genesis", after_bundle(record(said) * 2)),
    ]
    return [(f"{name} {kind}", content) for name, kind, content in vectors]


def hostile_code_bundles():
    """Bundles of format 2 that are refused, as in hostile_bundles."""
    good, plain = code_bundle(), bundle()
    claimed, (first, second) = claims(), code_modules()
    low, high = code_frontier()
    # Where each part begins.
    claims_at = 16
    count_at = claims_at + 4 + len(claimed)
    first_at = count_at + 1
    second_at = first_at + len(first)
    genesis_at = second_at + len(second)
    assert good[genesis_at:-32] == plain[16:-32]
    cuts = [
        ("before_format", "cut_magic", 15),
        ("after_magic", "cut_claims", claims_at),
        ("in_claims_length", "cut_claims", claims_at + 3),
        ("after_claims_length", "cut_claims", claims_at + 4),
        ("in_claims", "cut_claims", count_at - 1),
        ("after_claims", "cut_module_count", count_at),
        ("after_count", "cut_module_0", first_at),
        ("in_cid", "cut_module_0", first_at + 35),
        ("after_cid", "cut_module_0", first_at + 36),
        ("in_module_length", "cut_module_0", first_at + 39),
        ("after_module_length", "cut_module_0", first_at + 40),
        ("in_module", "cut_module_0", second_at - 1),
        ("after_module", "cut_module_1", second_at),
        ("in_second_cid", "cut_module_1", second_at + 1),
        ("in_second_module", "cut_module_1", genesis_at - 1),
        ("after_modules", "cut_genesis", genesis_at),
        ("in_genesis", "cut_genesis", genesis_at + 50),
        ("in_digest", "cut_digest", len(good) - 1),
    ]

    def section(*args, **kwargs):
        return code_bundle(code_section(*args, **kwargs))

    def of(*modules):
        return section(modules=modules)

    content = MODULES[0]
    cid = cid_blake3(content)
    head = good[:first_at]
    vectors = [
        *[("cut_" + name, kind, good[:at]) for name, kind, at in cuts],
        ("format_1", "genesis", BUNDLE_MAGIC + good[16:]),
        ("format_4", "format", CODE_MAGIC[:-1] + u8(4) + good[16:]),
        ("claims_length_over_limit", "length_claims",
         good[:16] + u32((128 << 10) + 1) + good[20:]),
        ("claims_length_huge", "length_claims", good[:16] + u32(2**32 - 1) + good[20:]),
        ("claims_length_128_kib_of_nothing", "cut_claims", CODE_MAGIC + u32(128 << 10)),
        ("claims_of_nothing", "claims", section(b"")),
        ("claims_trailing_byte", "claims", section(claimed + u8(0))),
        ("claims_one_byte_short", "claims", section(claimed[:-1])),
        ("claims_unknown_bytes", "claims", section(bytes(range(200)))),
        ("claims_logic_length_huge", "claims", section(u64(2**63) + claimed[8:])),
        ("claims_logic_empty", "claims", section(claims(logic=b""))),
        ("claims_logic_65_bytes", "claims", section(claims(logic=b"x" * 65))),
        ("claims_logic_with_space", "claims", section(claims(logic=b"chat 1"))),
        ("claims_logic_not_utf8", "claims", section(claims(logic=b"\xff\xfe"))),
        ("claims_frontier_descending", "claims", section(claims(frontier=[high, low]))),
        ("claims_frontier_twice_the_same", "claims", section(claims(frontier=[low, low]))),
        ("claims_frontier_length_lying", "claims", section(
            claimed[: -2 * 72 - 8] + u64(3) + low + high)),
        ("claims_frontier_length_huge", "claims", section(
            claimed[: -2 * 72 - 8] + u64(2**64 - 1) + low + high)),
        ("claims_bit", "digest", flipped(good, 16 + 4 + 8 + 59)),
        ("modules_0", "module_count", of()),
        ("modules_5", "module_count", of(*[first] * 5)),
        ("modules_255", "module_count", section(count=255)),
        # The genesis record's length is no content id.
        ("modules_one_more", "module_2", section(count=3)),
        # The second content id is taken for the length of a genesis record.
        ("modules_one_less", "length_genesis", section(count=1)),
        ("module_bit", "module_0", flipped(good, second_at - 1)),
        ("module_bit_under_a_right_digest", "module_0", of(
            flipped(first, len(first) - 1), second)),
        ("module_of_other_cid", "module_0", of(module(cid_blake3(b"other"), content))),
        ("module_of_other_hash_function", "module_0", of(
            module(bytes([1, 0x55, 0x12, 32]) + cid[4:], content))),
        ("module_empty_of_other_cid", "module_0", of(module(cid, b""))),
        ("cid_bit", "module_0", flipped(good, first_at + 20)),
        ("cid_version_0", "module_0", of(module(u8(0) + cid[1:], content))),
        ("cid_of_dag_cbor", "module_0", of(module(cid[:1] + u8(0x71) + cid[2:], content))),
        ("cid_of_unknown_hash", "module_0", of(module(cid[:2] + u8(0x13) + cid[3:], content))),
        ("cid_length_31", "module_0", of(module(cid[:3] + u8(31) + cid[4:], content))),
        ("second_module_bit", "module_1", flipped(good, genesis_at - 1)),
        ("module_length_over_limit", "length_module_0", head + cid + u32((4 << 20) + 1)),
        ("module_length_huge", "length_module_0", head + cid + u32(2**32 - 1)),
        ("module_length_4_mib_of_nothing", "cut_module_0", head + cid + u32(4 << 20)),
        ("module_length_one_less", "module_0", of(
            cid + u32(len(content) - 1) + content, second)),
        ("modules_swapped", "digest", good[:first_at] + second + first + good[genesis_at:]),
        ("section_missing", "claims", CODE_MAGIC + plain[16:]),
        ("section_twice", "genesis", code_bundle(code_section() + code_section())),
        ("section_of_claims_alone", "module_count", code_bundle(record(claimed))),
        ("digest_of_format_1", "digest", code_bundle(context="lattice 2026 bundle v1")),
        ("digest_without_section", "digest", good[:-32] + plain[-32:]),
        ("byte_after_end", "trailing", good + u8(0)),
    ]
    return [(f"{name} {kind}", content) for name, kind, content in vectors]


def published_lanes():
    """LtHash16 over plain BLAKE3, as Solana's validators use it (SIMD-0215).

    What is written here is held against the values that they publish, by the test that reads it.
    """
    return [
        (word, lanes(struct.unpack("<1024H", blake3(word.encode()).digest(length=2048))))
        for word in ["hello", "world!"]
    ]


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    a, b, c = AUTHORS
    first = op_fields(a, 0, ZERO, HLC, payload=b"first")
    first_id = dict(line[:2] for line in first)["id"]
    other = op_fields(b, 0, ZERO, HLC + 1)
    other_id = dict(line[:2] for line in other)["id"]
    deps = sorted([op_ref(b.public, 0, other_id), op_ref(c.public, 2**40, bytes([0xC3] * 32))])
    write(directory, "op_stores.txt", [
        ("genesis", STORE.record),
        ("genesis_hash", STORE.hash),
        ("store_id", STORE.id),
        ("other_genesis", OTHER.record),
    ])
    write(directory, "op_first.txt", first)
    write(directory, "op_empty_payload.txt", other)
    write(directory, "op_later.txt",
          op_fields(a, 1, first_id, HLC + 7, deps, payload=bytes(range(256))))
    heads = sorted([op_ref(a.public, 0, first_id), op_ref(b.public, 0, other_id)])
    write(directory, "op_merge.txt", op_fields(c, 0, ZERO, 2**64 - 1, heads, kind=1))
    write(directory, "op_hostile.txt", hostile_ops(first_id, other_id))
    (directory / "op_1024_deps.bin").write_bytes(many_deps(1024))
    (directory / "op_hostile_1025_deps.bin").write_bytes(many_deps(1025))
    (directory / "bundle.bin").write_bytes(bundle())
    write(directory, "bundle_hostile.txt", hostile_bundles())
    (directory / "bundle_after.bin").write_bytes(after_bundle())
    write(directory, "bundle_after_hostile.txt", hostile_after_bundles())
    (directory / "bundle_code.bin").write_bytes(code_bundle())
    write(directory, "bundle_code_hostile.txt", hostile_code_bundles())
    write(directory, "state_hash.txt", state_file())
    write(directory, "effect.txt", effect_file())
    write(directory, "lthash_published.txt", published_lanes())
    write(directory, "tables.txt", tables_file())
    write(directory, "journal.txt", journal_cases.layout_file())
    write(directory, "journal_cases.txt", journal_cases.cases_file())


if __name__ == "__main__":
    main()
