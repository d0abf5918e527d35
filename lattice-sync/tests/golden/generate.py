"""Writes the golden files of lattice-sync: python3 generate.py OUTDIR

A second implementation of the frames between peers, made from the words of docs/sync-protocol.md
with `struct` and the `blake3` package of PyPI, not from the Rust code: an encoder cannot bless
itself. Nothing in the build runs it. The files it writes are kept for ever; a case may be added, a
line that is there never changes.

A line is a name and the bytes of a stream in hexadecimal.
"""

import pathlib
import struct
import sys

from blake3 import blake3

AUTHOR = bytes(range(1, 33))
OTHER = bytes(range(0x41, 0x61))
ID = bytes(range(0x80, 0xA0))
GENESIS = bytes(range(0xC0, 0xE0))
TOKEN = bytes(range(0xF0, 0x100))
DIGEST = bytes(range(0x20, 0x40))
STATE = bytes(range(0x60, 0x80))


def u8(number):
    return struct.pack("<B", number)


def u16(number):
    return struct.pack("<H", number)


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def flag(value):
    return u8(1 if value else 0)


def option(content):
    return u8(0) if content is None else u8(1) + content


def sequence(elements):
    return claim(len(elements), elements)


def claim(count, elements):
    """A sequence that says how many elements it has, whatever it has."""
    return u64(count) + b"".join(elements)


def byte_string(content):
    return u64(len(content)) + content


def frame(kind, body):
    return u32(len(body)) + u8(kind) + body


def op_ref(author=AUTHOR, seq=7, id=ID):
    return author + u64(seq) + id


def summary(tips=3):
    return u64(1000) + u64(2) + u32(tips) + DIGEST + STATE


def cursor():
    return u64(900) + TOKEN


def cid(content):
    return bytes([0x01, 0x55, 0x1E, 32]) + blake3(content).digest()


def hello(protocols=(b"lattice1",), features=0):
    return sequence(protocols) + u64(features) + AUTHOR + u64(0x1122334455667788) + u64(5)


def open_(channel=1):
    return u32(channel) + GENESIS + flag(True) + flag(False) + summary() + option(cursor())


def accept():
    return u32(1) + flag(True) + flag(True) + flag(False) + summary() + option(None)


def news(tips=None, more=False):
    tips = [op_ref() + u64(5), op_ref(OTHER) + u64(0)] if tips is None else tips
    return u32(1) + option(u64(900)) + sequence(tips) + flag(more)


def ranges():
    nodes = [
        u8(1) + u64(0x3 << 60) + u32(0) + b"".join(u64(kid) for kid in range(16)),
        u8(2) + u64(0x3A << 56) + u32(1) + sequence([u64(1), u64(2**64 - 1)]),
        u8(16) + u64(0x123456789ABCDEF0) + u32(2) + sequence([u64(3)]),
    ]
    return u32(1) + sequence(nodes) + flag(True) + flag(False)


def want():
    wishes = [
        u16(0) + flag(True) + sequence([]),
        u16(1) + flag(False) + sequence([u64(4) + ID]),
    ]
    return u32(1) + sequence(wishes)


def ops(contents=(b"first op", b"second op"), mark=True):
    mark = u64(1001) + option(TOKEN) if mark else None
    return u32(1) + sequence([byte_string(content) for content in contents]) + option(mark)


def find(name, number=6):
    return u32(number) + byte_string(name)


def found(record, number=6):
    return u32(number) + option(None if record is None else byte_string(record))


def frames():
    return [
        ("hello", frame(1, hello())),
        ("bye_closing", frame(2, u32(0))),
        ("bye_duplicate", frame(2, u32(1))),
        ("bye_oneself", frame(2, u32(2))),
        ("bye_version", frame(2, u32(3))),
        ("bye_protocol", frame(2, u32(4))),
        ("bye_timeout", frame(2, u32(5))),
        ("open", frame(3, open_())),
        ("accept", frame(4, accept())),
        ("refuse_not_here", frame(5, u32(1) + u32(0))),
        ("refuse_busy", frame(5, u32(1) + u32(1) + u64(10_000))),
        ("end_closing", frame(6, u32(1) + u32(0))),
        ("end_busy", frame(6, u32(1) + u32(1))),
        ("end_bad_op", frame(6, u32(1) + u32(2))),
        ("end_failed", frame(6, u32(1) + u32(3))),
        ("round", frame(7, u32(1) + flag(True) + summary(2000))),
        ("news", frame(8, news())),
        ("ranges", frame(9, ranges())),
        ("want", frame(10, want())),
        ("refused", frame(11, u32(1) + sequence([AUTHOR, OTHER]))),
        ("begin", frame(12, u32(1) + u64(12) + u64(4096))),
        ("ops", frame(13, ops())),
        ("ops_mark_only", frame(13, ops(()))),
        ("ops_without_mark", frame(13, ops((b"op",), False))),
        ("done", frame(14, u32(1) + u64(1001) + option(TOKEN))),
        ("done_without_token", frame(14, u32(1) + u64(1001) + option(None))),
        ("ack", frame(15, u32(1) + u64(2**40) + option(TOKEN))),
        ("beat", frame(16, u32(1) + u64(77) + option(summary()))),
        ("beat_at_work", frame(16, u32(1) + u64(77) + option(None))),
        ("probe", frame(17, u32(1) + u64(64) + u64(66) + sequence([TOKEN, DIGEST[:16]]))),
        ("blob_ask", frame(18, u32(1) + cid(b"code") + u64(262144))),
        ("blob_part", frame(19, u32(1) + cid(b"code") + option(u64(4)) + u64(0)
                            + byte_string(b"code"))),
        ("blob_none", frame(19, u32(1) + cid(b"code") + option(None) + u64(0) + byte_string(b""))),
        # A type that no version has yet is skipped by its length.
        ("skipped_then_beat", frame(200, b"from a later version")
         + frame(16, u32(1) + u64(77) + option(None))),
        ("hello_find", frame(1, hello(features=1))),
        ("find_name", frame(128, find("caf\u00e9".encode()))),
        ("find_id", frame(128, find(b"0123456789abcdef" * 4, 2**32 - 1))),
        ("find_longest", frame(128, find(b"n" * 256))),
        ("found", frame(129, found(b"a genesis record"))),
        ("found_longest", frame(129, found(b"g" * 3072))),
        ("found_none", frame(129, found(None))),
    ]


def hostile():
    good = frame(16, u32(1) + u64(77) + option(summary()))
    tip = op_ref() + u64(5)
    kids = u8(1) + u64(0) + u32(0) + b"".join(u64(kid) for kid in range(16))
    return [
        ("type_0", frame(0, b"")),
        ("type_20", frame(20, b"")),
        ("type_127", frame(127, b"")),
        ("skipped_longer_than_any", u32(17 << 20) + u8(128)),
        ("beat_longer_than_its_limit", u32(4097) + u8(16)),
        ("ops_longer_than_an_op", u32((16 << 20) + 129) + u8(13)),
        ("length_of_4_gib", u32(2**32 - 1) + u8(8)),
        ("body_empty", frame(16, b"")),
        ("body_one_byte_short", frame(16, good[5:-1])),
        ("body_one_byte_more", frame(16, good[5:] + b"\0")),
        ("hello_nine_protocols", frame(1, hello([b"lattice1"] * 9))),
        ("open_flag_2", frame(3, open_()[:36] + u8(2) + open_()[37:])),
        ("open_option_2", frame(3, open_()[:122] + u8(2) + open_()[123:])),
        ("bye_6", frame(2, u32(6))),
        ("refuse_2", frame(5, u32(1) + u32(2))),
        ("end_4", frame(6, u32(1) + u32(4))),
        ("news_claims_many", frame(8, u32(1) + option(None) + u64(2**40) + tip + flag(False))),
        ("news_1025_tips", frame(8, u32(1) + option(None) + claim(1025, [tip]) + flag(False))),
        ("ranges_513_nodes", frame(9, u32(1) + claim(513, [kids]) + flag(True) + flag(False))),
        ("ranges_content_3", frame(9, u32(1) + sequence([u8(1) + u64(0) + u32(3) + u64(0)])
                                   + flag(True) + flag(False))),
        ("want_1025_wishes", frame(10, u32(1) + claim(
            1025, [u16(0) + flag(True) + sequence([])]))),
        ("refused_1025", frame(11, u32(1) + claim(1025, [AUTHOR]))),
        ("ops_1025", frame(13, u32(1) + claim(1025, [byte_string(b"op")]) + option(None))),
        ("ops_claim_a_long_op", frame(13, u32(1) + u64(1) + u64(2**62) + b"x" + u8(0))),
        ("probe_65_hashes", frame(17, u32(1) + u64(0) + u64(65) + claim(65, [TOKEN]))),
        ("blob_ask_other_cid", frame(18, u32(1) + bytes([0x01, 0x70, 0x1E, 32]) + ID + u64(0))),
        ("skipped_255_longer_than_any", u32(17 << 20) + u8(255)),
        ("find_257_bytes", frame(128, find(b"n" * 257))),
        ("find_claims_a_long_name", frame(128, u32(6) + u64(2**40) + b"name")),
        ("find_not_utf8", frame(128, find(b"caf\xe9"))),
        ("find_without_name", frame(128, u32(6))),
        ("found_3073_bytes", frame(129, found(b"g" * 3073))),
        ("found_option_2", frame(129, u32(6) + u8(2) + byte_string(b"record"))),
        ("found_bytes_after_none", frame(129, found(None) + b"record")),
    ]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for file, lines in (("frames.txt", frames()), ("hostile.txt", hostile())):
        text = "".join(f"{name} {stream.hex()}\n" for name, stream in lines)
        (out / file).write_text(text)


if __name__ == "__main__":
    main()
