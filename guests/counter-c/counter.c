/* A counter for each author, and their total.
 *
 * A payload is the number that the author adds: 64 bits with a sign, little endian. A row has an
 * author as its key and the author's sum as its value: 128 bits with a sign, little endian, which
 * 2^64 ops do not exceed. The elements of the state are the rows. */
#include "lattice.h"

LATTICE_MANIFEST(19, "org.example.counter", 1, 1, LATTICE_ELEMENTS_ARE_ROWS, 3);
LATTICE_METHOD(LATTICE_COMMAND, 3, "add", 31, "Adds a number to your own count",
               LATTICE_TYPE_RECORD, 1);
LATTICE_PARAM(1, "n", 41, "the number, of 64 bits with a sign; not 0", LATTICE_TYPE_INTEGER, 1);
LATTICE_METHOD(LATTICE_QUERY, 5, "total", 36, "The sum of the counts of all authors",
               LATTICE_TYPE_INTEGER, 0);
LATTICE_METHOD(LATTICE_QUERY, 2, "of", 22, "The count of an author", LATTICE_TYPE_INTEGER, 1);
LATTICE_PARAM(6, "author", 60, "the author's public key, 64 digits of lower-case hexadecimal",
              LATTICE_TYPE_TEXT, 1);
LATTICE_CONVERTS(0);

#define PAYLOAD_LEN 8
#define SUM_LEN 16
#define KEY_DIGITS (2 * LATTICE_AUTHOR_LEN)

enum method { ADD, TOTAL, OF };

static struct lattice_integer sum_of(const uint8_t *value, uint32_t len)
{
    if (len != SUM_LEN)
        lattice_fail("expected a sum of 16 bytes");
    return (struct lattice_integer){lattice_u64(value), lattice_u64(value + 8)};
}

/* The count of an author; 0 without a row. */
static struct lattice_integer count_of(const uint8_t *author)
{
    uint8_t value[SUM_LEN];
    int64_t len = lattice_get(author, LATTICE_AUTHOR_LEN, value, SUM_LEN);
    if (len < 0)
        return lattice_integer(0);
    return sum_of(value, (uint32_t)len);
}

LATTICE_EXPORT(decode)
uint64_t decode(const uint8_t *payload, uint32_t len)
{
    (void)payload;
    static const char reason[] = "expected a payload of 8 bytes";
    return len == PAYLOAD_LEN ? 0 : lattice_output(reason, sizeof(reason) - 1);
}

LATTICE_EXPORT(apply)
void apply(const uint8_t *op, uint32_t len)
{
    (void)len;
    const uint8_t *author = op + LATTICE_OP_AUTHOR;
    struct lattice_integer n = lattice_integer((int64_t)lattice_u64(op + LATTICE_OP_HEAD));
    struct lattice_integer sum = lattice_add(count_of(author), n);
    lattice_put(author, LATTICE_AUTHOR_LEN, &sum, SUM_LEN);
}

LATTICE_EXPORT(prepare)
uint64_t prepare(uint32_t method, const uint8_t *args, uint32_t len)
{
    struct lattice_reader reader;
    if (method != ADD || !lattice_argument(&reader, args, len, "n", LATTICE_INTEGER))
        lattice_fail("expected a call of `add` with `n`");
    struct lattice_integer n = lattice_read_integer(&reader);
    if (!lattice_fits_i64(n))
        return lattice_not_taken("n", "expected a number of 64 bits with a sign");
    if (n.low == 0)
        return lattice_refused("adding 0 changes nothing");
    uint8_t *answer = lattice_alloc(1 + PAYLOAD_LEN);
    answer[0] = 0;
    __builtin_memcpy(answer + 1, &n.low, PAYLOAD_LEN);
    return lattice_output(answer, 1 + PAYLOAD_LEN);
}

static struct lattice_integer total(void)
{
    struct lattice_integer sum = lattice_integer(0);
    const uint8_t *last = NULL;
    uint32_t last_len = 0, capacity = 4096;
    uint8_t *page = lattice_alloc(capacity);
    for (;;) {
        uint32_t flags = last == NULL ? 0 : LATTICE_START_EXCLUDED;
        int64_t filled = lattice_scan(flags, last, last_len, NULL, 0, page, capacity);
        if (filled < 0) {
            /* Rows of this type are short, so this does not happen. */
            capacity = (uint32_t)-filled;
            page = lattice_alloc(capacity);
            continue;
        }
        const uint8_t *end = page + (uint32_t)filled;
        for (const uint8_t *at = page; at < end;) {
            struct lattice_row row;
            at = lattice_row(at, &row);
            sum = lattice_add(sum, sum_of(row.value, row.value_len));
            last = row.key;
            last_len = row.key_len;
        }
        if (filled & LATTICE_SCAN_ENDED)
            return sum;
    }
}

static int digit(uint8_t character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    return -1;
}

/* Reads a public key of 64 digits. */
static bool read_author(const uint8_t *text, uint32_t len, uint8_t *author)
{
    if (len != KEY_DIGITS)
        return false;
    for (uint32_t i = 0; i < LATTICE_AUTHOR_LEN; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        author[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

LATTICE_EXPORT(query)
uint64_t query(uint32_t method, const uint8_t *args, uint32_t len)
{
    if (method == TOTAL)
        return lattice_answer_integer(total());
    struct lattice_reader reader;
    if (method != OF || !lattice_argument(&reader, args, len, "author", LATTICE_TEXT))
        lattice_fail("expected a call of `total`, or of `of` with `author`");
    uint32_t text_len;
    const uint8_t *text = lattice_read_content(&reader, &text_len);
    uint8_t author[LATTICE_AUTHOR_LEN];
    if (!read_author(text, text_len, author))
        return lattice_not_taken("author", "expected 64 digits of lower-case hexadecimal");
    return lattice_answer_integer(count_of(author));
}

LATTICE_EXPORT(describe)
uint64_t describe(const uint8_t *payload, uint32_t len)
{
    if (len != PAYLOAD_LEN)
        return 0;
    int64_t n = (int64_t)lattice_u64(payload);
    uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
    uint8_t *end = (uint8_t *)lattice_alloc(32) + 32, *at = end;
    do {
        *--at = (uint8_t)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (n < 0)
        *--at = '-';
    static const char verb[] = "adds ";
    at -= sizeof(verb) - 1;
    __builtin_memcpy(at, verb, sizeof(verb) - 1);
    return lattice_output(at, (uint32_t)(end - at));
}
