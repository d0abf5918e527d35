"""The bytes of a journal, for generate.py: a second implementation of FORMAT.md's page.

`recover` is a second implementation of its rules, too: each case below says what must come of it,
and `recover` has to come to the same.
"""

import struct

from blake3 import blake3

MAGIC = b"LATJRNL1"
COPIES = [0, 4096]
SLOT, RECORDS = 8192, 12288
LONGEST = (1 << 20) + (64 << 10)
REMOVED = 2**32 - 1
CLOSED, OPEN = 0, 1
# Tables as records number them: 0 is the padding.
META, SYSTEM, OPS, APPLIED, DATA, HELD = range(1, 7)

SALT = bytes(range(0x10, 0x20))
OTHER_SALT = bytes(range(0x80, 0x90))


def u8(number):
    return struct.pack("<B", number)


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def cut(content, key=None, length=16):
    return blake3(content, key=key).digest()[:length] if key else blake3(content).digest()[:length]


def key_of(salt):
    return blake3(salt, derive_key_context="lattice journal v1").digest()


def row(folded=0, seq=0, chain=SALT, state=OPEN, salt=SALT, version=1, zeros=bytes(6)):
    """`journal` in the table `system`."""
    return u8(version) + u8(state) + zeros + salt + u64(folded) + u64(seq) + chain


def header(generation, salt=SALT):
    content = MAGIC + salt + u64(generation) + bytes(16)
    return content + cut(content)


def published(generation, end, seq, chain, salt=SALT):
    content = salt + u64(generation) + u64(end) + u64(seq) + chain
    return content + cut(content, length=8)


def encoded(change):
    table, key, value = change
    length = REMOVED if value is None else len(value)
    return u8(table) + u32(len(key)) + u32(length) + key + (value or b"")


def padded(content):
    return content + bytes(-len(content) % 16)


def record_of(generation, seq, prev, body, meta=0, length=None, salt=SALT, tag=None, check=None):
    """A record of a body as it is: hostile ones have other fields under a right tag."""
    key = key_of(salt)
    length = 64 + len(body) if length is None else length
    head = u32(length) + u32(meta) + u64(generation) + u64(seq) + prev
    head += cut(body, key) if check is None else check
    head += cut(head, key, 8) if tag is None else tag
    return head + body


def record(generation, seq, prev, changes, **fields):
    """A record as a writer makes it."""
    changes = sorted(changes, key=lambda change: change[:2])
    meta = b"".join(encoded(change) for change in changes if change[0] == META)
    body = padded(b"".join(map(encoded, changes)))
    return record_of(generation, seq, prev, body, **{"meta": len(meta), **fields})


def chain_of(content, salt=SALT):
    return cut(content[:64], key_of(salt))


def direct_chain(chain, seq, random, salt=SALT):
    """The chain's value after a transaction that went to the backend, as number `seq`."""
    return cut(b"direct" + chain + u64(seq) + random, key_of(salt))


class Segment:
    """A file of a journal, mostly zeros."""

    def __init__(self, *generations, length=16384, salt=SALT):
        self.bytes = bytearray(length)
        for generation in generations:
            self.put(COPIES[generation // 2 % 2], header(generation, salt))

    def put(self, at, content):
        self.bytes[at : at + len(content)] = content
        return self

    def flip(self, at):
        self.bytes[at] ^= 1
        return self

    def extents(self):
        """Offsets and bytes of what is not zero, in steps of 16 bytes."""
        found, start = [], None
        for at in range(0, len(self.bytes) + 16, 16):
            if any(self.bytes[at : at + 16]):
                start = at if start is None else start
            elif start is not None:
                found += [u64(start), bytes(self.bytes[start:at])]
                start = None
        return found


class Writer:
    """Appends records to the segments of a session, as the journal does."""

    def __init__(self, folded=0, seq=0, chain=SALT, generations=None):
        self.row = row(folded, seq, chain)
        self.seq, self.chain = seq, chain
        # Generation g is in file g mod 2.
        generations = generations or [[folded + 1], [folded + 2]]
        self.files = [None, None]
        for held in generations:
            self.files[held[-1] % 2] = Segment(*held)
        self.at = {folded + 1: RECORDS, folded + 2: RECORDS}
        # Generation, offset and bytes of each record.
        self.records = []

    def append(self, generation, changes):
        content = record(generation, self.seq + 1, self.chain, changes)
        return self.append_as(generation, content)

    def append_as(self, generation, content):
        at = self.at[generation]
        self.files[generation % 2].put(at, content)
        self.records.append((generation, at, content))
        self.seq, self.chain = self.seq + 1, chain_of(content)
        self.at[generation] = at + len(content)
        return self

    def publish(self, generation=None, **other):
        """Into the segment that is not appended to."""
        generation = self.records[-1][0] if generation is None else generation
        fields = {"end": self.at[generation], "seq": self.seq, "chain": self.chain, **other}
        self.files[(generation + 1) % 2].put(SLOT, published(generation, **fields))
        return self

    def flip(self, nth, byte):
        generation, at, _ = self.records[nth]
        self.files[generation % 2].flip(at + byte)
        return self

    def replace(self, nth, content):
        """Another record in the place of one that is there."""
        generation, at, before = self.records[nth]
        self.files[generation % 2].put(at, bytes(len(before))).put(at, content)
        return self

    def fields(self, nth):
        """Generation, number and predecessor of a record."""
        content = self.records[nth][2]
        generation, seq = struct.unpack("<QQ", content[8:24])
        return generation, seq, content[24:40]


def generation_of(segment, salt):
    """The greater generation of a segment's valid headers; none if it has no valid one."""
    held = []
    for at in COPIES:
        head = bytes(segment[at : at + 64])
        if len(head) == 64 and head[:8] == MAGIC and head[8:24] == salt and cut(head[:48]) == head[48:]:
            held.append(struct.unpack("<Q", head[24:32])[0])
    return max(held, default=None)


def head_at(segment, at, key):
    """The fields of a header with a right tag."""
    head = bytes(segment[at : at + 64])
    if len(head) < 64 or cut(head[:56], key, 8) != head[56:]:
        return None
    return struct.unpack("<IIQQ16s16s", head[:56])


def record_at(segment, at, key):
    """Header and body of a complete record."""
    head = head_at(segment, at, key)
    if head is None or head[0] % 16 or not 64 <= head[0] <= LONGEST:
        return None
    body = bytes(segment[at + 64 : at + head[0]])
    return (head, body) if len(body) == head[0] - 64 and cut(body, key) == head[5] else None


def changes_of(body, meta):
    """The rows of a body; none if they are not as a writer makes them."""
    changes, at, boundary = [], 0, 0
    while at < len(body) and body[at]:
        if len(body) - at < 9:
            return None
        table, key_bytes, value_bytes = struct.unpack("<BII", body[at : at + 9])
        at += 9
        key = body[at : at + key_bytes]
        at += key_bytes
        value = None if value_bytes == REMOVED else body[at : at + value_bytes]
        at += 0 if value is None else value_bytes
        if at > len(body) or table > HELD or (changes and (table, key) <= changes[-1][:2]):
            return None
        changes.append((table, key, value))
        boundary = at if table == META else boundary
    if len(body) - at >= 16 or any(body[at:]) or meta != boundary:
        return None
    return changes


def valid_slot(segment, salt):
    slot = bytes(segment[SLOT : SLOT + 64])
    if len(slot) < 64 or slot[:16] != salt or cut(slot[:56], length=8) != slot[56:]:
        return None
    return struct.unpack("<QQQ16s", slot[16:56])


def recover(held_row, files):
    """Verdict, the end of the chain, and the rows up to there."""
    if held_row is None:
        return ("no_session", None, {})
    if len(held_row) != 56 or held_row[0] != 1 or held_row[1] > 1 or any(held_row[2:8]):
        return ("bad_row", None, {})
    if held_row[1] == CLOSED:
        return ("no_session", None, {})
    salt, folded, seq, chain = struct.unpack("<16sQQ16s", held_row[8:])
    if None in files:
        return ("missing", None, {})
    segments = [file.bytes for file in files]
    older, newer = segments[(folded + 1) % 2], segments[folded % 2]
    held = generation_of(newer, salt)
    if generation_of(older, salt) != folded + 1 or held not in (folded, folded + 2):
        return ("missing", None, {})

    key, changed = key_of(salt), {}
    generation, at, verdict = folded + 1, RECORDS, None
    walked = [(folded + 1, older)] + ([(folded + 2, newer)] if held == folded + 2 else [])
    for nth, (walking, segment) in enumerate(walked):
        place = RECORDS
        while verdict is None:
            found = record_at(segment, place, key)
            if found is None:
                break
            head, body = found
            if head[2] != walking or head[3] != seq + 1:
                break
            if head[4] != chain:
                verdict = "damaged_prev"
                break
            changes = changes_of(body, head[1])
            if changes is None:
                verdict = "damaged_rows"
                break
            changed.update({change[:2]: change[2] for change in changes})
            seq, chain = seq + 1, chain_of(bytes(segment[place : place + 64]), salt)
            place += head[0]
            generation, at = walking, place
        if nth == 0:
            at = place
    # What is behind the end: in its own file, and everywhere in the one of the next generation.
    searched = [(generation, at, segments[generation % 2])]
    searched.append((generation + 1, RECORDS, segments[(generation + 1) % 2]))
    for walking, start, segment in searched:
        for place in range(start, len(segment) - 63, 16):
            head = head_at(segment, place, key)
            if verdict is None and head and head[2] == walking and head[3] >= seq + 2:
                verdict = "damaged_later"
    slots = [slot for slot in (valid_slot(segment, salt) for segment in segments) if slot]
    if verdict is None and any(slot[2] > seq for slot in slots):
        verdict = "damaged_published"
    return (verdict or "recovered", (generation, at, seq, chain), changed)
