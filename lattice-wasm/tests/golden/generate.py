"""Writes the golden files of the interface between modules and their host: python3 generate.py OUTDIR

A second implementation of encoded values, of manifests and of what the host passes to a module,
made from the words of docs/guest-abi.md with `struct`, not from the Rust code: an encoder cannot
bless itself. Nothing in the build runs it. The files it writes are kept; once a format is released,
a case may be added, and no line changes.

A line is a name and byte strings in hexadecimal, an empty one written as `empty`.
"""

import pathlib
import struct
import sys

NULL, FALSE, TRUE, INTEGER, BYTES, TEXT, LIST, RECORD = (bytes([kind]) for kind in range(8))


def u8(number):
    return struct.pack("<B", number)


def u16(number):
    return struct.pack("<H", number)


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def i128(number):
    return number.to_bytes(16, "little", signed=True)


def write(directory, name, lines):
    def text(field):
        return field.hex() or "empty"

    content = "".join(" ".join([line[0], *map(text, line[1:])]) + "\n" for line in lines)
    (directory / name).write_text(content)


# Values


def varint(number):
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F)
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def counted(content):
    return varint(len(content)) + content


def integer(number):
    return INTEGER + varint(2 * number if number >= 0 else -2 * number - 1)


def byte_string(content):
    return BYTES + counted(content)


def text(content):
    return TEXT + counted(content.encode())


def list_of(*values):
    return LIST + varint(len(values)) + b"".join(values)


def record(**fields):
    """Names ascend by their bytes."""
    pairs = sorted((name.encode(), value) for name, value in fields.items())
    return RECORD + varint(len(pairs)) + b"".join(counted(name) + value for name, value in pairs)


def nested(depth):
    """An empty list in so many others that there are `depth` levels."""
    return b"\x06\x01" * (depth - 1) + b"\x06\x00"


def integers():
    edges = {0, 2**127 - 1, -(2**127)}
    for bits in [6, 7, 8, 13, 14, 20, 31, 32, 62, 63, 64, 65, 90, 125, 126]:
        for near in [-1, 0, 1]:
            edges |= {2**bits + near, -(2**bits) + near}
    return [("integer", i128(number), integer(number)) for number in sorted(edges)]


def values():
    return [
        ("null", NULL),
        ("false", FALSE),
        ("true", TRUE),
        ("bytes_empty", byte_string(b"")),
        ("bytes_all", byte_string(bytes(range(256)))),
        ("bytes_127", byte_string(bytes(127))),
        ("bytes_128", byte_string(bytes(128))),
        ("text_empty", text("")),
        ("text", text("Grüße, \u0000 \U0001f331")),
        ("list_empty", list_of()),
        ("list", list_of(NULL, TRUE, integer(-3), list_of(FALSE), text("x"))),
        ("record_empty", record()),
        ("record_of_the_page", record(n=integer(-3), note=text("hi"))),
        ("record", record(**{
            "": NULL,
            "b": byte_string(b"\xff"),
            "a": list_of(record(x=integer(1))),
            "ab": TRUE,
            "\u00e9": integer(2**64),
            "Z": record(),
        })),
        ("nested_32", nested(32)),
    ]


def hostile_values():
    one = counted(b"a") + NULL
    other = counted(b"b") + NULL
    return [
        ("nothing", b""),
        ("kind_8", b"\x08"),
        ("kind_255", b"\xff"),
        ("trailing_after_null", NULL + b"\x00"),
        ("trailing_after_list", list_of(NULL) + NULL),
        ("integer_without_number", INTEGER),
        ("integer_cut", INTEGER + b"\x80"),
        ("integer_overlong_0", INTEGER + b"\x80\x00"),
        ("integer_overlong_1", INTEGER + b"\x82\x80\x00"),
        ("integer_129_bits", INTEGER + b"\xff" * 18 + b"\x07"),
        ("integer_2_to_the_128", INTEGER + b"\x80" * 18 + b"\x04"),
        ("integer_20_bytes", INTEGER + b"\xff" * 19 + b"\x01"),
        ("bytes_length_cut", BYTES),
        ("bytes_one_short", BYTES + varint(3) + b"ab"),
        ("bytes_length_huge", BYTES + varint(2**64 - 1) + b"ab"),
        ("bytes_length_128_bits", BYTES + varint(2**128 - 1) + b"ab"),
        ("bytes_length_2_to_the_32", BYTES + varint(2**32) + b"ab"),
        ("bytes_length_overlong", BYTES + b"\x82\x00" + b"ab"),
        ("text_one_short", TEXT + varint(3) + b"ab"),
        ("text_not_utf8", TEXT + counted(b"a\xff")),
        ("text_surrogate", TEXT + counted(b"\xed\xa0\x80")),
        ("text_overlong_utf8", TEXT + counted(b"\xc0\x80")),
        ("text_cut_character", TEXT + counted("é".encode()[:1])),
        ("list_one_short", LIST + varint(2) + NULL),
        ("list_count_huge", LIST + varint(2**63) + NULL),
        ("list_of_unknown_kind", list_of(b"\x09")),
        ("record_one_short", RECORD + varint(2) + one),
        ("record_count_huge", RECORD + varint(2**40) + one),
        ("record_name_twice", RECORD + varint(2) + one + one),
        ("record_names_descend", RECORD + varint(2) + other + one),
        ("record_longer_name_first", RECORD + varint(2) + counted(b"aa") + NULL + one),
        ("record_name_with_kind", RECORD + varint(1) + text("a") + NULL),
        ("record_name_not_utf8", RECORD + varint(1) + counted(b"\x80") + NULL),
        ("record_name_beyond", RECORD + varint(1) + varint(9) + b"a" + NULL),
        ("record_without_value", RECORD + varint(1) + counted(b"a")),
        ("nested_33", nested(33)),
        ("nested_33_in_records", (RECORD + varint(1) + counted(b"a")) * 32 + list_of()),
        ("nested_1000", nested(1000)),
    ]


# Manifests

COMMAND, QUERY, STREAM = range(3)
T_NULL, T_BOOL, T_INTEGER, T_BYTES, T_TEXT, T_LIST, T_RECORD = range(7)


def string(content):
    content = content if isinstance(content, bytes) else content.encode()
    return u64(len(content)) + content


def sequence(members):
    return u64(len(members)) + b"".join(members)


def param(name, doc, value_type, required):
    return string(name) + string(doc) + u8(value_type) + u8(required)


def method(kind, name, doc, result, *params):
    return u8(kind) + string(name) + string(doc) + u8(result) + sequence(params)


def manifest(store_type="a.b", abi=1, schemas=(1, 1), elements=0, methods=(), converts=()):
    return b"".join([
        u16(abi),
        string(store_type),
        u64(schemas[0]),
        u64(schemas[1]),
        u8(elements),
        sequence(methods),
        sequence([string(converted) for converted in converts]),
    ])


def manifests():
    kinds = [
        param("null", "A null.", T_NULL, 0),
        param("bool", "A truth value.", T_BOOL, 1),
        param("integer", "An integer.", T_INTEGER, 0),
        param("bytes", "A byte string.", T_BYTES, 1),
        param("text", "Ein Text für Menschen.", T_TEXT, 0),
        param("list", "A list.", T_LIST, 1),
        param("record", "A record.", T_RECORD, 0),
    ]
    full = [
        method(COMMAND, "do", "Does it.", T_RECORD, *kinds),
        method(QUERY, "ask", "Asks.", T_LIST),
        method(STREAM, "follow", "Follows.", T_BYTES, param("from", "", T_INTEGER, 1)),
    ]
    counter = [
        method(COMMAND, "add", "Adds a number to your own count", T_RECORD,
               param("n", "the number, of 64 bits with a sign; not 0", T_INTEGER, 1)),
        method(QUERY, "total", "The sum of the counts of all authors", T_INTEGER),
        method(QUERY, "of", "The count of an author", T_INTEGER,
               param("author", "the author's public key, 64 digits of lower-case hexadecimal",
                     T_TEXT, 1)),
    ]
    return [
        ("smallest", manifest()),
        ("full", manifest("acme.tools:board", schemas=(2, 2**64 - 1), elements=1, methods=full,
                          converts=["acme.tools:list", "core:kvstore"])),
        ("counter", manifest("org.example.counter", methods=counter)),
    ]


def hostile_manifests():
    good = manifest(methods=[method(QUERY, "ask", "Asks.", T_NULL)])
    ask = method(QUERY, "ask", "", T_NULL)
    one = param("a", "", T_NULL, 0)
    return [
        ("nothing", b""),
        ("one_byte", b"\x01"),
        ("abi_alone", u16(1)),
        ("abi_0", manifest(abi=0)),
        ("abi_2", manifest(abi=2)),
        ("abi_2_alone", u16(2)),
        ("abi_256", manifest(abi=256)),
        ("one_byte_short", good[:-1]),
        ("trailing_byte", good + b"\x00"),
        ("too_long", manifest(methods=[method(QUERY, "ask", "x" * 65_536, T_NULL)])),
        ("type_one_segment", manifest("ab")),
        ("type_upper_case", manifest("A.b")),
        ("type_not_utf8", manifest(b"a.\xff")),
        ("type_129_bytes", manifest("a." + "b" * 127)),
        ("type_length_huge", u16(1) + u64(2**64 - 1) + good[10:]),
        ("first_schema_0", manifest(schemas=(0, 1))),
        ("schemas_both_0", manifest(schemas=(0, 0))),
        ("last_schema_below_first", manifest(schemas=(3, 2))),
        ("elements_2", manifest(elements=2)),
        ("methods_257", manifest(methods=[
            method(QUERY, str(number), "", T_NULL) for number in range(257)])),
        ("methods_count_huge", manifest()[:-16] + u64(2**63) + u64(0)),
        ("method_twice", manifest(methods=[ask, ask])),
        ("method_twice_as_other_kind", manifest(methods=[
            ask, method(COMMAND, "ask", "Does.", T_RECORD)])),
        ("method_kind_3", manifest(methods=[method(3, "ask", "", T_NULL)])),
        ("method_kind_255", manifest(methods=[method(255, "ask", "", T_NULL)])),
        ("method_result_7", manifest(methods=[method(QUERY, "ask", "", 7)])),
        ("method_name_not_utf8", manifest(methods=[method(QUERY, b"\xff", "", T_NULL)])),
        ("method_doc_not_utf8", manifest(methods=[method(QUERY, "ask", b"\xff", T_NULL)])),
        ("params_65", manifest(methods=[method(QUERY, "ask", "", T_NULL, *(
            param(str(number), "", T_NULL, 0) for number in range(65)))])),
        ("param_twice", manifest(methods=[method(QUERY, "ask", "", T_NULL, one, one)])),
        ("param_type_7", manifest(methods=[
            method(QUERY, "ask", "", T_NULL, param("a", "", 7, 0))])),
        ("param_required_2", manifest(methods=[
            method(QUERY, "ask", "", T_NULL, param("a", "", T_NULL, 2))])),
        ("converts_257", manifest(converts=[f"a.{number}" for number in range(257)])),
        ("converts_no_type", manifest(converts=["chat"])),
        ("converts_cut", manifest(converts=["a.c"])[:-1]),
    ]


# Calls

AUTHOR = bytes(range(32))
OP_ID = bytes(range(0xC0, 0xE0))
HLC = (1_700_000_000_123 << 16) | 7
PAST_AUTHOR = bytes(range(32, 64))
PAST_ID = bytes(range(0x80, 0xA0))


def stamp(hlc, author, seq, op_id):
    return u64(hlc) + author + struct.pack(">Q", seq) + op_id


def page(*rows):
    return b"".join(u32(len(key)) + u32(len(value)) + key + value for key, value in rows)


def calls():
    """What one call of each export gets, and what it reads through the imports."""
    current = stamp(HLC, AUTHOR, 2**40 + 1, OP_ID)
    past = stamp(HLC - 1, PAST_AUTHOR, 0, PAST_ID)
    arguments = record(
        bool=TRUE, bytes=text("as text"), integer=integer(-(2**127)), list=list_of(NULL))
    rows = [(b"", b"value"), (b"a", b""), (b"key", bytes(300))]
    return [
        ("op", u64(2**33 + 5) + current + b"payload"),
        ("op_without_payload", u64(2**33 + 5) + current),
        ("stamp", past),
        ("past", past + b"past payload"),
        ("page", page(*rows)),
        ("page_backward", page(*reversed(rows))),
        ("arguments", arguments),
        ("no_arguments", record()),
    ]


def answers():
    """Answers of a command and of a query, as a module gives them."""
    return [
        ("command_done", u8(0) + b"payload"),
        ("command_empty_payload", u8(0)),
        ("command_refused", u8(1) + "nö\n".encode()),
        ("command_argument", u8(2) + b"integer\0too small\0"),
        ("command_argument_alone", u8(2) + b"no reason"),
        ("command_nothing", b""),
        ("command_tag_3", u8(3)),
        ("query_done", u8(0) + list_of(integer(5))),
        ("query_refused", u8(1) + b"not now"),
        ("query_argument", u8(2) + b"from\0too late"),
        ("query_no_value", u8(0)),
        ("query_trailing", u8(0) + NULL + NULL),
        ("query_nothing", b""),
        ("query_tag_255", u8(255)),
    ]


def conversions():
    return [
        ("step", record(**{"from": text("core:kvstore"), "state": NULL, "result": integer(1)})),
        ("last", record(calls=list_of(), next=NULL)),
        ("more", record(
            calls=list_of(record(method=text("put"), args=record(key=byte_string(b"k")))),
            next=record(method=text("scan"), args=record(), state=text("s")))),
    ]


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    write(directory, "value_integers.txt", integers())
    write(directory, "value.txt", values())
    write(directory, "value_hostile.txt", hostile_values())
    write(directory, "manifest.txt", manifests())
    write(directory, "manifest_hostile.txt", hostile_manifests())
    write(directory, "calls.txt", calls())
    write(directory, "answers.txt", answers())
    write(directory, "conversions.txt", conversions())


if __name__ == "__main__":
    main()
