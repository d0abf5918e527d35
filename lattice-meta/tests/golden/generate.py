"""Writes the golden files of lattice-meta: python3 generate.py OUTDIR

A second implementation of the bytes of `meta` rows, genesis records and store ids, made from the
words of their description with `struct` and the `blake3` package of PyPI, not from the Rust code:
an encoder cannot bless itself. Nothing in the build runs it. The files it writes are kept for
ever; a case may be added, a line that is there never changes.

A line is a name and one or two byte strings in hexadecimal, an empty one written as `empty`.
"""

import pathlib
import struct
import sys

from blake3 import blake3

CONTEXT = "lattice 2026 store id v1"

OWNER = bytes(range(1, 33))
NONCE = bytes(range(0xF0, 0x100))
CREATED = (1_700_000_000_123 << 16) | 7
OLD_ID = bytes.fromhex("00112233445586778899aabbccddeeff")
OLD_HASH = bytes(range(0x80, 0xA0))


def u8(number):
    return struct.pack("<B", number)


def u64(number):
    return struct.pack("<Q", number)


def byte_string(content):
    return u64(len(content)) + content


def genesis(store_type, migrated_from=None, format=1, owner=OWNER, nonce=NONCE, created=CREATED):
    origin = u8(0) if migrated_from is None else u8(1) + migrated_from[0] + migrated_from[1]
    return u8(format) + byte_string(store_type) + owner + nonce + u64(created) + origin


def genesis_hash(record):
    return blake3(record, derive_key_context=CONTEXT).digest()


def store_id(record):
    """RFC 9562: version 8 in the high bits of byte 6, variant 10 in those of byte 8."""
    first = bytearray(genesis_hash(record)[:16])
    first[6] = (first[6] & 0x0F) | 0x80
    first[8] = (first[8] & 0x3F) | 0x80
    return bytes(first)


def write(directory, name, lines):
    def text(field):
        return field.hex() or "empty"

    content = "".join(" ".join([line[0], *map(text, line[1:])]) + "\n" for line in lines)
    (directory / name).write_text(content)


def genesis_file(store_type, migrated_from):
    record = genesis(store_type, migrated_from)
    origin = [] if migrated_from is None else [
        ("migrated_id", migrated_from[0]),
        ("migrated_hash", migrated_from[1]),
    ]
    return [
        ("store_type", store_type),
        ("owner", OWNER),
        ("nonce", NONCE),
        ("created_le", u64(CREATED)),
        *origin,
        ("encoded", record),
        ("genesis_hash", genesis_hash(record)),
        ("store_id", store_id(record)),
    ]


def hostile_genesis():
    good = genesis(b"core:kvstore")
    tail = OWNER + NONCE + u64(CREATED)
    return [
        ("nothing", b""),
        ("format_0", genesis(b"core:kvstore", format=0)),
        ("format_2", genesis(b"core:kvstore", format=2)),
        ("format_2_alone", u8(2)),
        ("one_byte_short", good[:-1]),
        ("trailing_byte", good + u8(0)),
        ("longer_than_any_record", genesis(b"a." + b"b" * 126, (OLD_ID, OLD_HASH)) + u8(0)),
        ("type_length_huge", u8(1) + u64(2**64 - 1) + b"core:kvstore" + tail + u8(0)),
        ("type_length_one_more", u8(1) + u64(13) + b"core:kvstore" + tail + u8(0)),
        ("type_length_one_less", u8(1) + u64(11) + b"core:kvstore" + tail + u8(0)),
        ("type_upper_case", genesis(b"core:KVstore")),
        ("type_one_segment", genesis(b"kvstore")),
        ("type_not_utf8", genesis(b"core:\xff\xfe")),
        ("type_129_bytes", genesis(b"a." + b"b" * 127)),
        ("origin_tag_2", good[:-1] + u8(2)),
        ("origin_tag_255", genesis(b"core:kvstore", (OLD_ID, OLD_HASH)).replace(
            u8(1) + OLD_ID, u8(255) + OLD_ID)),
        ("origin_without_hash", good[:-1] + u8(1) + OLD_ID),
        ("origin_behind_tag_0", good + OLD_ID + OLD_HASH),
    ]


def meta_rows():
    record = genesis(b"core:kvstore")
    return [
        ("row", b"store_id", store_id(record)),
        ("row", b"store_type", b"core:kvstore"),
        ("row", b"schema_version", u64(0x0102030405060708)),
        ("row", b"tip/" + bytes([1] * 32), bytes([0xA1] * 32)),
        ("row", b"tip/" + bytes([2] * 32), bytes([0xA2] * 32)),
    ]


def hostile_meta():
    """Each a row that spoils the table above, in place of its own kind or beside it."""
    author = bytes([1] * 32)
    return [
        ("store_id_15_bytes", b"store_id", OLD_ID[:15]),
        ("store_id_17_bytes", b"store_id", OLD_ID + b"\0"),
        ("store_id_as_text", b"store_id", b"00112233-4455-8677-8899-aabbccddeeff"),
        ("store_type_empty", b"store_type", b""),
        ("store_type_upper_case", b"store_type", b"Core:kvstore"),
        ("store_type_not_utf8", b"store_type", b"core:\xff"),
        ("schema_version_empty", b"schema_version", b""),
        ("schema_version_4_bytes", b"schema_version", struct.pack("<I", 1)),
        ("schema_version_9_bytes", b"schema_version", u64(1) + b"\0"),
        ("tip_31_bytes", b"tip/" + author, bytes([0xA1] * 31)),
        ("tip_33_bytes", b"tip/" + author, bytes([0xA1] * 33)),
        ("tip_key_without_author", b"tip/", bytes([0xA1] * 32)),
        ("tip_key_31_bytes", b"tip/" + author[:31], bytes([0xA1] * 32)),
        ("tip_key_33_bytes", b"tip/" + author + b"\0", bytes([0xA1] * 32)),
        ("tip_key_as_hex", b"tip/" + author.hex().encode(), bytes([0xA1] * 32)),
    ]


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    write(directory, "genesis_plain.txt", genesis_file(b"core:kvstore", None))
    write(directory, "genesis_migrated.txt",
          genesis_file(b"org.example.chat", (OLD_ID, OLD_HASH)))
    write(directory, "genesis_longest.txt",
          genesis_file(b"a." + b"b" * 126, (OLD_ID, OLD_HASH)))
    write(directory, "genesis_hostile.txt", hostile_genesis())
    write(directory, "meta_rows.txt", meta_rows())
    write(directory, "meta_hostile.txt", hostile_meta())


if __name__ == "__main__":
    main()
