/* The interface between a module and Lattice, version 1, for C: docs/guest-abi.md describes it.
 *
 * Include it in one source file: it defines the allocator and lattice1_alloc. It needs no libc. */
#ifndef LATTICE_H
#define LATTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Imports ---------------------------------------------------------------------------------- */

#define LATTICE_IMPORT(name) __attribute__((import_module("lattice1"), import_name(#name)))
#define LATTICE_EXPORT(name) __attribute__((export_name("lattice1_" #name)))

/* The length of the value, or -1. The value is at `buffer` if it fits; else lattice_take. */
LATTICE_IMPORT(get)
int64_t lattice_get(const void *key, uint32_t key_len, void *buffer, uint32_t capacity);
LATTICE_IMPORT(take)
void lattice_take(void *buffer);
LATTICE_IMPORT(put)
void lattice_put(const void *key, uint32_t key_len, const void *value, uint32_t value_len);
LATTICE_IMPORT(remove)
void lattice_remove(const void *key, uint32_t key_len);
/* Bytes of rows at `buffer`, with LATTICE_SCAN_ENDED after the last row of the range; or -n if the
 * first row needs n bytes. */
LATTICE_IMPORT(scan)
int64_t lattice_scan(uint32_t flags, const void *start, uint32_t start_len, const void *end,
                     uint32_t end_len, void *buffer, uint32_t capacity);
LATTICE_IMPORT(count)
uint64_t lattice_count(void);
/* Whether the op with this reference is applied; its apply index is then at `out`. */
LATTICE_IMPORT(number)
uint32_t lattice_number(const void *reference, uint64_t *out);
LATTICE_IMPORT(stamp)
void lattice_stamp(uint64_t index, void *out);
LATTICE_IMPORT(op)
int64_t lattice_op(uint64_t index, void *buffer, uint32_t capacity);
/* The BLAKE3 hash of the bytes, 32 bytes at `out`. */
LATTICE_IMPORT(hash)
void lattice_hash(const void *bytes, uint32_t len, void *out);
LATTICE_IMPORT(element)
void lattice_element(uint32_t row, const void *key, uint32_t key_len, const void *value,
                     uint32_t value_len);
LATTICE_IMPORT(fail)
_Noreturn void lattice_fail_bytes(const void *message, uint32_t len);
LATTICE_IMPORT(log)
void lattice_log(uint32_t level, const void *message, uint32_t len);

/* Ends the call with a message, which is a literal. */
#define lattice_fail(text) lattice_fail_bytes(text, sizeof(text) - 1)

/* Bounds of lattice_scan. */
#define LATTICE_START_INCLUDED 1u
#define LATTICE_START_EXCLUDED 2u
#define LATTICE_END_INCLUDED (1u << 2)
#define LATTICE_END_EXCLUDED (2u << 2)
#define LATTICE_DESCENDING (1u << 4)
#define LATTICE_SCAN_ENDED (INT64_C(1) << 62)

/* Memory ----------------------------------------------------------------------------------- */

/* Where the linker puts the heap: after data and stack. */
extern unsigned char __heap_base;

/* Memory of `len` bytes, which is never given back: an instance lives for one call. */
static void *lattice_alloc(uint32_t len)
{
    static uintptr_t next;
    if (next == 0)
        next = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
    uint64_t end = ((uint64_t)next + len + 15) & ~(uint64_t)15;
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
    if (end > have) {
        uint64_t pages = (end - have + 0xffff) >> 16;
        if (__builtin_wasm_memory_grow(0, (size_t)pages) == (size_t)-1)
            lattice_fail("out of memory");
    }
    void *block = (void *)next;
    next = (uintptr_t)end;
    return block;
}

LATTICE_EXPORT(alloc)
void *lattice_export_alloc(uint32_t len)
{
    return lattice_alloc(len);
}

/* The output of an export: address in the upper half, length in the lower half. */
static inline uint64_t lattice_output(const void *bytes, uint32_t len)
{
    return (uint64_t)(uintptr_t)bytes << 32 | len;
}

/* Inputs ----------------------------------------------------------------------------------- */

/* Bytes of an op before its payload, and where its author is. */
#define LATTICE_OP_HEAD 88
#define LATTICE_OP_AUTHOR 16
#define LATTICE_AUTHOR_LEN 32

static inline uint64_t lattice_u64(const uint8_t *at)
{
    uint64_t number;
    __builtin_memcpy(&number, at, 8); /* WebAssembly is little endian. */
    return number;
}

static inline uint32_t lattice_u32(const uint8_t *at)
{
    uint32_t number;
    __builtin_memcpy(&number, at, 4);
    return number;
}

/* A row of a page. */
struct lattice_row {
    const uint8_t *key, *value;
    uint32_t key_len, value_len;
};

/* Reads the row at `at`, and returns where the next one begins. */
static inline const uint8_t *lattice_row(const uint8_t *at, struct lattice_row *row)
{
    row->key_len = lattice_u32(at);
    row->value_len = lattice_u32(at + 4);
    row->key = at + 8;
    row->value = row->key + row->key_len;
    return row->value + row->value_len;
}

/* Values ----------------------------------------------------------------------------------- */

enum lattice_kind {
    LATTICE_NULL = 0,
    LATTICE_FALSE = 1,
    LATTICE_TRUE = 2,
    LATTICE_INTEGER = 3,
    LATTICE_BYTES = 4,
    LATTICE_TEXT = 5,
    LATTICE_LIST = 6,
    LATTICE_RECORD = 7,
};

/* A signed number of 128 bits. */
struct lattice_integer {
    uint64_t low, high;
};

static inline struct lattice_integer lattice_integer(int64_t number)
{
    return (struct lattice_integer){(uint64_t)number, number < 0 ? UINT64_MAX : 0};
}

static inline struct lattice_integer lattice_add(struct lattice_integer a, struct lattice_integer b)
{
    struct lattice_integer sum = {a.low + b.low, a.high + b.high};
    sum.high += sum.low < a.low;
    return sum;
}

static inline bool lattice_fits_i64(struct lattice_integer number)
{
    return number.high == ((int64_t)number.low < 0 ? UINT64_MAX : 0);
}

/* An encoded value that is read from the front. The host encodes in the one form that there is, so
 * the reader checks bounds and nothing else. */
struct lattice_reader {
    const uint8_t *at, *end;
};

static inline uint8_t lattice_read_byte(struct lattice_reader *reader)
{
    if (reader->at == reader->end)
        lattice_fail("a value ends early");
    return *reader->at++;
}

static inline struct lattice_integer lattice_read_varint(struct lattice_reader *reader)
{
    struct lattice_integer number = {0, 0};
    for (unsigned shift = 0; shift < 128; shift += 7) {
        uint8_t byte = lattice_read_byte(reader);
        uint64_t bits = byte & 0x7f;
        if (shift < 64)
            number.low |= bits << shift;
        if (shift >= 64)
            number.high |= bits << (shift - 64);
        else if (shift > 57)
            number.high |= bits >> (64 - shift);
        if (!(byte & 0x80))
            return number;
    }
    lattice_fail("a number is too long");
}

/* A length or a count. */
static inline uint32_t lattice_read_len(struct lattice_reader *reader)
{
    struct lattice_integer len = lattice_read_varint(reader);
    if (len.high != 0 || len.low > (uint64_t)(reader->end - reader->at))
        lattice_fail("a length is too long");
    return (uint32_t)len.low;
}

/* The content of a byte string or a text, after its kind; or a name of a record. */
static inline const uint8_t *lattice_read_content(struct lattice_reader *reader, uint32_t *len)
{
    *len = lattice_read_len(reader);
    const uint8_t *content = reader->at;
    reader->at += *len;
    return content;
}

/* An integer, after its kind. */
static inline struct lattice_integer lattice_read_integer(struct lattice_reader *reader)
{
    struct lattice_integer number = lattice_read_varint(reader);
    uint64_t sign = -(number.low & 1);
    number.low = (number.low >> 1 | number.high << 63) ^ sign;
    number.high = number.high >> 1 ^ sign;
    return number;
}

/* Passes over a value, with all that is in it. */
static inline void lattice_skip(struct lattice_reader *reader)
{
    uint32_t len;
    switch (lattice_read_byte(reader)) {
    case LATTICE_INTEGER:
        lattice_read_varint(reader);
        break;
    case LATTICE_BYTES:
    case LATTICE_TEXT:
        lattice_read_content(reader, &len);
        break;
    case LATTICE_LIST:
        for (uint32_t count = lattice_read_len(reader); count > 0; count--)
            lattice_skip(reader);
        break;
    case LATTICE_RECORD:
        for (uint32_t count = lattice_read_len(reader); count > 0; count--) {
            lattice_read_content(reader, &len);
            lattice_skip(reader);
        }
        break;
    default:
        break;
    }
}

static inline bool lattice_equal(const uint8_t *a, const char *b, uint32_t len)
{
    while (len > 0 && *a == (uint8_t)*b)
        a++, b++, len--;
    return len == 0;
}

/* Finds an argument among those of a call, and checks its kind. The reader is then after the kind.
 * Whether the argument was given; the name is a literal. */
#define lattice_argument(reader, args, args_len, name, kind)                                       \
    lattice_find(reader, args, args_len, name, sizeof(name) - 1, kind)

static inline bool lattice_find(struct lattice_reader *reader, const uint8_t *args,
                                uint32_t args_len, const char *name, uint32_t name_len,
                                enum lattice_kind kind)
{
    *reader = (struct lattice_reader){args, args + args_len};
    if (lattice_read_byte(reader) != LATTICE_RECORD)
        lattice_fail("arguments are a record");
    for (uint32_t count = lattice_read_len(reader); count > 0; count--) {
        uint32_t len;
        const uint8_t *found = lattice_read_content(reader, &len);
        if (len == name_len && lattice_equal(found, name, len)) {
            if (lattice_read_byte(reader) != kind)
                lattice_fail("an argument is of another kind than its parameter");
            return true;
        }
        lattice_skip(reader);
    }
    return false;
}

/* Answers ---------------------------------------------------------------------------------- */

#define LATTICE_DONE "\0"
#define LATTICE_REFUSED "\1"
#define LATTICE_ARGUMENT "\2"

/* Answers with literals: why a command is refused, or an argument that is not taken. */
#define lattice_refused(reason)                                                                    \
    lattice_output(LATTICE_REFUSED reason, sizeof(LATTICE_REFUSED reason) - 1)
#define lattice_not_taken(param, reason)                                                           \
    lattice_output(LATTICE_ARGUMENT param "\0" reason,                                             \
                   sizeof(LATTICE_ARGUMENT param "\0" reason) - 1)

/* The answer of a query that is an integer. */
static inline uint64_t lattice_answer_integer(struct lattice_integer number)
{
    uint8_t *answer = lattice_alloc(2 + 19);
    uint32_t len = 0;
    answer[len++] = 0;
    answer[len++] = LATTICE_INTEGER;
    uint64_t sign = (int64_t)number.high < 0 ? UINT64_MAX : 0;
    uint64_t low = number.low << 1 ^ sign;
    uint64_t high = (number.high << 1 | number.low >> 63) ^ sign;
    while (high != 0 || low >= 0x80) {
        answer[len++] = (uint8_t)(low | 0x80);
        low = low >> 7 | high << 57;
        high >>= 7;
    }
    answer[len++] = (uint8_t)low;
    return lattice_output(answer, len);
}

/* Manifest --------------------------------------------------------------------------------- */

/* The fields of the manifest, one macro after the other at file scope. A string has its length
 * beside it, which the compiler checks: C does not tell it to the assembler. */
#define LATTICE_SECTION ".section .custom_section.lattice.store,\"\",@\n"
#define LATTICE_FIELD(type, number) __asm__(LATTICE_SECTION type " " #number "\n")
#define LATTICE_STRING(len, text)                                                                  \
    _Static_assert(sizeof(text) - 1 == (len), "the text does not have this length");               \
    __asm__(LATTICE_SECTION ".int64 " #len "\n.ascii " #text "\n")

#define LATTICE_TYPE_NULL 0
#define LATTICE_TYPE_BOOL 1
#define LATTICE_TYPE_INTEGER 2
#define LATTICE_TYPE_BYTES 3
#define LATTICE_TYPE_TEXT 4
#define LATTICE_TYPE_LIST 5
#define LATTICE_TYPE_RECORD 6

#define LATTICE_ELEMENTS_ARE_ROWS 0
#define LATTICE_ELEMENTS_BY_CODE 1

#define LATTICE_COMMAND 0
#define LATTICE_QUERY 1

/* The manifest begins with this, and `methods` methods follow. */
#define LATTICE_MANIFEST(len, store_type, first_schema, last_schema, elements, methods)            \
    LATTICE_FIELD(".int16", 1);                                                                    \
    LATTICE_STRING(len, store_type);                                                               \
    LATTICE_FIELD(".int64", first_schema);                                                         \
    LATTICE_FIELD(".int64", last_schema);                                                          \
    LATTICE_NUMBER(".int8", elements);                                                             \
    LATTICE_FIELD(".int64", methods)
/* A method, and `params` parameters follow. */
#define LATTICE_METHOD(kind, len, name, doc_len, doc, result, params)                              \
    LATTICE_NUMBER(".int8", kind);                                                                 \
    LATTICE_STRING(len, name);                                                                     \
    LATTICE_STRING(doc_len, doc);                                                                  \
    LATTICE_NUMBER(".int8", result);                                                               \
    LATTICE_FIELD(".int64", params)
#define LATTICE_PARAM(len, name, doc_len, doc, type, required)                                     \
    LATTICE_STRING(len, name);                                                                     \
    LATTICE_STRING(doc_len, doc);                                                                  \
    LATTICE_NUMBER(".int8", type);                                                                 \
    LATTICE_FIELD(".int8", required)
/* The end of the manifest: how many store types are converted. Their names follow. */
#define LATTICE_CONVERTS(count) LATTICE_FIELD(".int64", count)
/* A field whose number is the name of a macro. */
#define LATTICE_NUMBER(type, number) LATTICE_FIELD(type, number)

#endif
