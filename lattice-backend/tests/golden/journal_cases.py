"""Journals, and what must come of each, for generate.py.

A case of `journal_cases.txt` is these lines; numbers are u64 in little endian:

    case NAME VERDICT
    row BYTES                                the row `journal` of `system`, or none
    segment_0 LENGTH [OFFSET BYTES]...       a file of zeros but for these bytes, or none
    segment_1 LENGTH [OFFSET BYTES]...
    end GENERATION OFFSET SEQ CHAIN          where the chain ends
    change TABLE KEY VALUE                   the rows of its records, the last one of each key

A verdict is one of these. `end` and `change` are there for the first five.

    recovered          what is behind the end is a torn tail, or nothing
    damaged_later      a header behind the end with a later number
    damaged_prev       the next record follows another one
    damaged_rows       the next record has rows that no writer writes
    damaged_published  the published end lies behind the end
    missing            not both segments of the session are there
    no_session         no row, or a closed one: the files do not count
    bad_row            not a row of this format
"""

import journal
from journal import (
    APPLIED, COPIES, DATA, HELD, META, OPS, OTHER_SALT, RECORDS, SALT, SLOT, SYSTEM,
    Segment, Writer, chain_of, direct_chain, encoded, header, key_of, padded, published, record,
    record_of, row, u8, u32, u64,
)

TIP = b"tip/" + bytes(range(32))
RANDOM = bytes(range(0x40, 0x50))
LIMIT = journal.LONGEST


def put(number):
    """The rows of an op, as far as a journal cares."""
    index = number.to_bytes(8, "big")
    return [
        (META, TIP, bytes([number]) * 32),
        (SYSTEM, b"ledger", bytes([number]) * 40),
        (OPS, index, b"op %d" % number),
        (DATA, b"key", b"value %d" % number),
    ]


def session(records, **fields):
    """A first session with records in its first segment."""
    writer = Writer(**fields)
    for number in range(1, records + 1):
        writer.append(1, put(number))
    return writer


def both():
    return session(2).append(2, put(3)).append(2, put(4))


def recycled():
    """Generation 1 is folded, and its file has generation 3 over records of generation 1."""
    old = session(3)
    old.append(2, put(4))
    writer = Writer(1, 3, chain_of(old.records[2][2]), [[2], [1, 3]])
    writer.files[1] = old.files[1].put(COPIES[1], header(3))
    writer.append(2, put(4)).append(3, put(5))
    return writer


def changed(nth, records=3, **fields):
    """One record of a session is made again with other fields."""
    writer = session(records)
    generation, seq, prev = writer.fields(nth)
    given = {"generation": generation, "seq": seq, "prev": prev, "changes": put(nth + 1), **fields}
    return writer.replace(nth, record(**given))


def bodied(body, meta=0):
    """The last of two records has this body."""
    writer = session(1)
    return writer.append_as(1, record_of(1, 2, writer.chain, body, meta))


def rows_of(*changes):
    return padded(b"".join(map(encoded, changes)))


def valid():
    after = direct_chain(session(2).chain, 3, RANDOM)
    direct = Writer(1, 3, after, [[2], [1, 3]]).append(2, put(4))
    every = [
        (APPLIED, b"a", b"1"), (DATA, b"", b""), (DATA, b"gone", None), (HELD, b"h", b"2"),
        (META, TIP, bytes(32)), (META, TIP[:-1], None), (OPS, b"o", b"3"), (SYSTEM, b"s", b"4"),
    ]
    # A key of 7 bytes: its value begins at a multiple of 16.
    inside = session(2)
    copied = inside.records[0][2] + header(1) + published(1, RECORDS, 9, SALT)
    inside.append(1, [(DATA, b"7 bytes", copied)]).append(1, put(4))
    rightful = record(1, 9, SALT, put(9))
    yield "empty", 0, session(0)
    yield "one_record", 1, session(1)
    yield "several_records", 5, session(5)
    yield "every_table_and_removals", 2, session(1).append(1, every)
    yield "both_generations", 4, both()
    yield "second_generation_empty", 2, session(2)
    yield "recycled", 5, recycled()
    yield "recycled_without_records_after_the_fold", 3, Writer(
        1, 3, chain_of(session(3).records[2][2]), [[2], [1, 3]])
    yield "folded_and_not_recycled_yet", 4, Writer(
        1, 3, chain_of(session(3).records[2][2]), [[2], [1]]).append(2, put(4))
    yield "after_a_direct_commit", 4, direct
    yield "late_generations", 21, Writer(
        6, 20, bytes(range(16)), [[6, 8], [5, 7]]).append(7, put(21))
    yield "greatest_seq", 2**64 - 1, _with_row(session(0), row(0, 2**64 - 1, SALT))
    yield "published", 3, session(3).publish()
    yield "published_in_second_generation", 4, both().publish()
    yield "published_before_the_last", 3, session(2).publish().append(1, put(3))
    yield "published_twice", 4, session(2).publish().append(2, put(3)).append(2, put(4)).publish()
    yield "published_of_other_salt", 2, session(2).publish(seq=9, salt=OTHER_SALT)
    flipped = session(2).publish(seq=9)
    flipped.files[0].flip(SLOT + 32)
    yield "published_flipped", 2, flipped
    yield "records_inside_a_value", 4, inside
    yield "right_header_inside_a_value", 3, session(2).append(1, [(DATA, b"7 bytes", rightful)])


def torn():
    def cut_last(kept):
        writer = session(3)
        _, at, content = writer.records[2]
        writer.files[1].put(at, content[:kept] + bytes(len(content) - kept))
        return writer

    first = session(1)
    first.files[0].put(RECORDS + 4096, b"\xff" * 64)
    mixed = session(2)
    wrong = record(1, 9, SALT, put(9), tag=bytes(8))
    value = mixed.records[0][2] + padded(wrong)
    mixed.append(1, [(DATA, b"7 bytes", value)]).flip(2, 64 + 12)
    zeroed = session(3)
    zeroed.replace(2, b"")
    part = session(2)
    content = record(1, 3, part.chain, [(DATA, b"k", b"\x5a" * 1500)])
    part.append_as(1, content)
    # The second of its sectors is not on disk.
    start = (part.records[2][1] // 512 + 2) * 512
    part.files[1].put(start, bytes(512))
    yield "torn_in_header", 2, cut_last(40)
    yield "torn_after_header", 2, cut_last(64)
    yield "torn_in_body", 2, cut_last(100)
    yield "torn_before_last_byte_of_rows", 2, cut_last(len(session(3).records[2][2]) - 16)
    yield "torn_without_first_bytes", 2, changed(2, tag=bytes(8))
    yield "torn_without_a_sector", 2, part
    yield "zeros_for_the_last", 2, zeroed
    yield "last_tag_flipped", 2, session(3).flip(2, 56)
    yield "last_length_flipped", 2, session(3).flip(2, 0)
    yield "last_body_flipped", 2, session(3).flip(2, 70)
    yield "last_padding_flipped", 2, session(3).flip(2, len(session(3).records[2][2]) - 1)
    yield "last_in_second_generation_flipped", 3, both().flip(3, 80)
    yield "first_in_second_generation_flipped", 2, session(2).append(2, put(3)).flip(2, 80)
    yield "unknown_bytes_in_next_file", 1, first
    yield "false_headers_in_a_torn_value", 2, mixed
    yield "length_0", 2, changed(2, length=0)
    yield "length_48", 2, changed(2, length=48)
    yield "length_8_more", 2, changed(2, length=len(session(3).records[2][2]) + 8)
    yield "length_past_the_file", 2, changed(2, length=16384)
    yield "length_huge", 2, changed(2, length=2**32 - 16)
    over = Writer()
    over.files[1] = Segment(1, length=2 << 20)
    over.append(1, put(1))
    over.append(1, [(DATA, b"7 bytes", bytes(LIMIT + 16 - 64 - 16))])
    assert len(over.records[1][2]) == LIMIT + 16
    yield "length_over_the_limit", 1, over
    yield "generation_of_next", 2, changed(2, generation=2)
    yield "generation_of_last_use", 2, changed(2, generation=3)
    yield "generation_0", 2, changed(2, generation=0)
    yield "seq_again", 2, changed(2, seq=2)
    yield "seq_0", 2, changed(2, seq=0)
    yield "other_salt", 2, changed(2, salt=OTHER_SALT)
    moved = session(2)
    moved.at[1] += 64
    yield "next_record_misplaced", 2, moved.append(1, put(3))
    shifted = session(2)
    shifted.at[1] += 8
    yield "record_at_no_multiple_of_16", 2, shifted.append(1, put(3)).append(1, put(4))


def damaged():
    yield "tag_flipped", 1, "later", session(3).flip(1, 56)
    yield "header_flipped", 1, "later", session(3).flip(1, 20)
    yield "body_flipped", 1, "later", session(3).flip(1, 70)
    yield "first_flipped", 0, "later", session(3).flip(0, 70)
    yield "flipped_before_next_generation", 1, "later", both().flip(1, 70)
    yield "first_of_next_generation_flipped", 2, "later", both().flip(2, 70)
    yield "zeros_in_the_middle", 1, "later", session(3).replace(1, b"")
    yield "seq_one_more", 2, "later", changed(2, seq=4)
    yield "seq_huge", 2, "later", changed(2, seq=2**64 - 1)
    gap = session(2)
    gap.at[1], gap.seq = gap.at[1] + 256, gap.seq + 1
    yield "record_after_a_gap", 2, "later", gap.append(1, put(4))
    last = session(2)
    last.at[1], last.seq = 16384 - 64, 8
    last.append_as(1, record_of(1, 9, SALT, b""))
    yield "header_in_last_bytes_of_the_file", 2, "later", last
    beyond = session(2)
    beyond.at[2] += 512
    beyond.seq = 3
    yield "record_somewhere_in_next_file", 2, "later", beyond.append(2, put(5))
    torn_header = recycled()
    torn_header.append(3, put(6)).files[1].flip(COPIES[1] + 50)
    yield "header_of_next_generation_torn", 4, "later", torn_header
    right = session(2)
    right.append(1, [(DATA, b"7 bytes", record(1, 9, SALT, put(9)))]).flip(2, 64 + 12)
    yield "right_header_in_a_torn_value", 2, "later", right
    stale = session(3)
    yield "row_older_than_chain", 1, "later", _with_row(stale, row(0, 1, stale.fields(1)[2]))

    yield "prev_of_other_chain", 2, "prev", changed(2, prev=bytes(16))
    yield "prev_of_the_one_before", 2, "prev", changed(2, prev=session(2).fields(1)[2])
    yield "prev_of_first", 0, "prev", changed(0, records=1, prev=bytes(16))
    other = session(2)
    other.chain = bytes(16)
    yield "prev_of_first_in_next_generation", 2, "prev", other.append(2, put(3))
    yield "row_of_other_chain", 0, "prev", _with_row(session(1), row(0, 0, bytes(16)))

    lost = session(3).publish()
    yield "published_last_flipped", 2, "published", lost.flip(2, 70)
    yield "published_last_zeros", 2, "published", session(3).publish().replace(2, b"")
    yield "published_and_all_zeros", 0, "published", session(1).publish().replace(0, b"")
    both_lost = both().publish()
    both_lost.replace(2, b"").replace(3, b"")
    yield "published_next_generation_zeros", 2, "published", both_lost
    older = session(2).publish().append(2, put(3)).publish()
    yield "published_later_slot_counts", 2, "published", older.replace(2, b"")

    a, b, c = (DATA, b"a", b"1"), (DATA, b"b", b"2"), (DATA, b"c", None)
    tip, other_tip = (META, TIP, bytes(32)), (META, TIP[:-1], bytes(32))
    meta = len(encoded(tip))
    first = encoded(a)
    for name, body, length in [
        ("rows_unsorted", rows_of(b, a, c), 0),
        ("rows_unsorted_tables", rows_of(b, (OPS, b"a", b"1")), 0),
        ("rows_same_key_twice", rows_of(a, a), 0),
        ("rows_same_key_removed", rows_of(a, (DATA, b"a", None)), 0),
        ("rows_of_table_7", rows_of((7, b"a", b"1")), 0),
        ("rows_of_table_255", rows_of((255, b"a", b"1")), 0),
        ("rows_key_past_the_body", padded(u8(DATA) + u32(100) + u32(0) + b"a"), 0),
        ("rows_key_length_huge", padded(u8(DATA) + u32(2**32 - 1) + u32(0) + b"a"), 0),
        ("rows_value_past_the_body", padded(u8(DATA) + u32(1) + u32(100) + b"a"), 0),
        ("rows_value_length_huge", padded(u8(DATA) + u32(1) + u32(2**32 - 2) + b"a"), 0),
        ("rows_cut_in_lengths", first + bytes([DATA]) + bytes(15 - len(first)), 0),
        ("rows_after_padding", padded(first) + padded(encoded(b)), 0),
        ("padding_of_16", padded(first) + bytes(16), 0),
        ("padding_not_zero", padded(first)[:-1] + b"\1", 0),
        ("padding_alone", bytes(16), 0),
        ("meta_bytes_in_a_row", rows_of(tip, a), meta - 1),
        ("meta_bytes_0", rows_of(tip, a), 0),
        ("meta_bytes_before_a_meta_row", rows_of(other_tip, tip), len(encoded(other_tip))),
        ("meta_bytes_with_another_table", rows_of(tip, a), meta + len(first)),
        ("meta_bytes_past_the_body", rows_of(tip), 4096),
        ("meta_bytes_without_meta_rows", rows_of(a), len(first)),
    ]:
        yield name, 1, "rows", bodied(body, length)


def _with_row(writer, held):
    writer.row = held
    return writer


def _files(writer, older=False, newer=False):
    """Without one of its files."""
    writer.files = [None if newer else writer.files[0], None if older else writer.files[1]]
    return writer


def missing():
    def with_headers(older, newer, salt=SALT):
        writer = session(1)
        writer.files = [Segment(*newer, salt=salt), Segment(*older, salt=salt)]
        return writer

    torn = session(1)
    torn.files[1].flip(COPIES[0] + 20)
    zeros = session(1)
    zeros.files[1].put(COPIES[0], bytes(64))
    empty = session(1)
    empty.files[1] = Segment(length=0)
    swapped = session(1)
    swapped.files.reverse()
    magic = session(1)
    magic.files[0].put(COPIES[1], b"LATJRNL2" + header(2)[8:48]).put(
        COPIES[1] + 48, journal.cut(b"LATJRNL2" + header(2)[8:48]))
    yield "both_files_missing", _files(session(0), True, True)
    yield "first_file_missing", _files(session(2), newer=True)
    yield "second_file_missing", _files(session(2), older=True)
    yield "headers_of_other_salt", with_headers([1], [2], OTHER_SALT)
    yield "header_torn", torn
    yield "header_zeros", zeros
    yield "header_of_format_2", magic
    yield "file_empty", empty
    yield "files_swapped", swapped
    yield "generation_after_next_only", with_headers([3], [2])
    yield "greatest_generation", Writer(2**64 - 2, 5, SALT, [[2**64 - 1], [2**64 - 4]])
    yield "generation_past_the_greatest", _with_row(session(1), row(2**64 - 1, 5, SALT))
    yield "generation_far_behind", _with_row(with_headers([1], [2]), row(2, 9, SALT))
    yield "generation_far_ahead", _with_row(with_headers([1, 5], [4]), row(0, 0, SALT))


def without_session():
    def refused(name, held):
        return name, "bad_row", _with_row(session(1), held)

    good = row()
    yield "row_missing", "no_session", _with_row(session(1), None)
    yield "row_closed", "no_session", _with_row(session(1), row(state=0))
    yield "row_closed_without_files", "no_session", _with_row(
        _files(session(0), True, True), row(1, 4, bytes(16), 0))
    yield refused("row_of_version_0", row(version=0))
    yield refused("row_of_version_2", row(version=2))
    yield refused("row_of_state_2", row(state=2))
    yield refused("row_not_zero", row(zeros=b"\0\0\0\0\0\1"))
    yield refused("row_one_byte_short", good[:-1])
    yield refused("row_one_byte_more", good + u8(0))
    yield refused("row_empty", b"")


def cases():
    """Name, expected verdict, expected end of the chain as a number, and the journal."""
    for name, seq, writer in [*valid(), *torn()]:
        yield name, "recovered", seq, writer
    for name, seq, why, writer in damaged():
        yield name, "damaged_" + why, seq, writer
    for name, writer in missing():
        yield name, "missing", None, writer
    for name, verdict, writer in without_session():
        yield name, verdict, None, writer


def cases_file():
    lines, names = [], set()
    for name, verdict, seq, writer in cases():
        assert name not in names, name
        names.add(name)
        found, end, changes = journal.recover(writer.row, writer.files)
        assert (found, end and end[2]) == (verdict, seq), (name, found, end)
        lines.append((f"case {name} {verdict}",))
        lines.append(("row", writer.row))
        for nth, file in enumerate(writer.files):
            fields = [None] if file is None else [u64(len(file.bytes)), *file.extents()]
            lines.append((f"segment_{nth}", *fields))
        if end:
            lines.append(("end", u64(end[0]), u64(end[1]), u64(end[2]), end[3]))
        lines += [
            ("change", u8(table), key, value) for (table, key), value in sorted(changes.items())
        ]
    return lines


def layout_file():
    """Each structure alone, with what it is made of."""
    lines = [("salt", SALT), ("key", key_of(SALT))]
    for state, folded, seq, chain in [(1, 0, 0, SALT), (1, 7, 2**40, RANDOM), (0, 3, 9, RANDOM)]:
        lines.append(
            ("row", u8(state), u64(folded), u64(seq), chain, row(folded, seq, chain, state)))
    for generation in [1, 2, 3, 4, 2**40 + 1]:
        copy = COPIES[generation // 2 % 2]
        lines.append(("header", u64(generation), u64(copy), header(generation)))
    for generation, end, seq, chain in [(1, RECORDS, 0, SALT), (2, RECORDS + 4096, 17, RANDOM)]:
        made = published(generation, end, seq, chain)
        lines.append(("published", u64(generation), u64(end), u64(seq), chain, made))
    for generation, seq, prev, changes in [
        (1, 1, SALT, put(1)),
        (2, 2**40, RANDOM, [(DATA, b"", b"")]),
        (3, 9, RANDOM, [(DATA, b"k", None), (META, TIP, b"t" * 32), (META, b"tip/", None)]),
        (4, 10, RANDOM, [(HELD, b"fills it", b"x" * 15)]),
    ]:
        made = record(generation, seq, prev, changes)
        lines += [("change", u8(t), k, v) for t, k, v in sorted(changes, key=lambda row: row[:2])]
        lines.append(("record", u64(generation), u64(seq), prev, made, chain_of(made)))
    lines.append(("direct", SALT, u64(1), RANDOM, direct_chain(SALT, 1, RANDOM)))
    return lines
