/* Terms and word sums of chunks: what recollect/index/terms.py does, compiled. The two must agree (tests/property/test_native.py).
 *
 * A table numbers identifiers and terms as they come. An identifier is split once; after that each of its occurrences costs
 * one look-up. Memory that cannot be had is reported as -1, and the table is then good for nothing but `terms_free`.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_IDENTIFIER 200 /* longer runs of word characters are data; as in recollect/text.py */
#define LONGEST_WORD 40        /* of a word, what is looked at to find its pieces; as in index/embed.py */
#define UNKNOWN_LETTER (-25.0)
#define SHORT_PIECE (-4.0)
#define FEW 64  /* times that a word occurs, mostly: their logarithms are kept */
#define AHEAD 8 /* identifiers: their slots are on the way from memory meanwhile */

static int grow(void **block, size_t *capacity, size_t wanted, size_t width)
{
    if (wanted <= *capacity)
        return 1;
    size_t larger = *capacity ? *capacity : 256;
    while (larger < wanted)
        larger *= 2;
    void *moved = realloc(*block, larger * width);
    if (!moved)
        return 0;
    memset((char *)moved + *capacity * width, 0, (larger - *capacity) * width);
    *block = moved;
    *capacity = larger;
    return 1;
}

/* A growing array; what was not written yet is zero. */
#define ARRAY(type) struct { type *at; size_t n, capacity; }
#define ROOM(array, wanted) grow((void **)&(array).at, &(array).capacity, (wanted), sizeof *(array).at)
#define PUSH(array, value) (ROOM(array, (array).n + 1) && ((array).at[(array).n++] = (value), 1))

/* -- strings by number ------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t *slots; /* half of the hash, number + 1; 0: free */
    uint32_t n_slots;
    uint64_t seed; /* so that nobody can write a file whose names all meet in one slot */
    ARRAY(uint8_t) bytes;
    ARRAY(uint64_t) hash; /* by number */
    ARRAY(size_t) end;    /* by number: where the string ends among `bytes` */
} Strings;

static uint64_t mixed(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hashed(const uint8_t *text, size_t n, uint64_t seed)
{
    uint64_t hash = seed ^ (n * 0x9E3779B97F4A7C15u), word;
    for (; n >= 8; text += 8, n -= 8) {
        memcpy(&word, text, 8);
        hash = mixed(hash ^ word, seed | 1);
    }
    uint32_t first = 0, last = 0;
    if (n >= 4) {
        memcpy(&first, text, 4);
        memcpy(&last, text + n - 4, 4);
    } else if (n) {
        first = text[0] | (uint32_t)text[n / 2] << 8 | (uint32_t)text[n - 1] << 16;
    }
    word = first | (uint64_t)last << 32;
    return mixed(hash ^ word, 0xD6E8FEB86659FD93u);
}

static const uint8_t *string_of(const Strings *strings, uint32_t number, size_t *length)
{
    size_t start = number ? strings->end.at[number - 1] : 0;
    *length = strings->end.at[number] - start;
    return strings->bytes.at + start;
}

/* The slot of a string, or the free one where it would be. */
static uint32_t slot_of(const Strings *strings, const uint8_t *text, size_t length, uint64_t hash)
{
    uint32_t slot = (uint32_t)hash & (strings->n_slots - 1);
    for (;; slot = (slot + 1) & (strings->n_slots - 1)) {
        uint64_t held = strings->slots[slot];
        if (!held)
            return slot;
        if (held >> 32 == hash >> 32) {
            size_t other;
            const uint8_t *known = string_of(strings, (uint32_t)held - 1, &other);
            if (other == length && !memcmp(known, text, length))
                return slot;
        }
    }
}

static int strings_begin(Strings *strings, uint64_t seed)
{
    strings->seed = seed;
    strings->n_slots = 1 << 10;
    strings->slots = calloc(strings->n_slots, sizeof *strings->slots);
    return strings->slots != NULL;
}

static void strings_end(Strings *strings)
{
    free(strings->slots);
    free(strings->bytes.at);
    free(strings->hash.at);
    free(strings->end.at);
}

static int more_slots(Strings *strings)
{
    uint32_t n_slots = strings->n_slots * 2;
    uint64_t *slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return 0;
    for (uint32_t number = 0; number < strings->hash.n; number++) {
        uint32_t slot = (uint32_t)strings->hash.at[number] & (n_slots - 1);
        while (slots[slot])
            slot = (slot + 1) & (n_slots - 1);
        slots[slot] = strings->hash.at[number] >> 32 << 32 | (number + 1);
    }
    free(strings->slots);
    strings->slots = slots;
    strings->n_slots = n_slots;
    return 1;
}

/* Number of a string; -1: it has none. */
static int64_t number_of(const Strings *strings, const uint8_t *text, size_t length, uint64_t hash)
{
    return (int64_t)(uint32_t)strings->slots[slot_of(strings, text, length, hash)] - 1;
}

/* Number of a string, which is added if it is new; -1: no memory. */
static int64_t numbered(Strings *strings, const uint8_t *text, size_t length, uint64_t hash, int *is_new)
{
    uint32_t slot = slot_of(strings, text, length, hash);
    *is_new = !strings->slots[slot];
    if (!*is_new)
        return (int64_t)(uint32_t)strings->slots[slot] - 1;
    if (strings->hash.n + 1 > strings->n_slots / 2) {
        if (!more_slots(strings))
            return -1;
        slot = slot_of(strings, text, length, hash);
    }
    if (!ROOM(strings->bytes, strings->bytes.n + length) || !PUSH(strings->hash, hash))
        return -1;
    memcpy(strings->bytes.at + strings->bytes.n, text, length);
    strings->bytes.n += length;
    if (!PUSH(strings->end, strings->bytes.n))
        return -1;
    strings->slots[slot] = hash >> 32 << 32 | strings->hash.n;
    return (int64_t)strings->hash.n - 1;
}

/* -- BLAKE2b with a digest of eight bytes (RFC 7693) --------------------------------------------------------------------- */

static const uint64_t BLAKE2B[8] = {
    0x6A09E667F3BCC908u, 0xBB67AE8584CAA73Bu, 0x3C6EF372FE94F82Bu, 0xA54FF53A5F1D36F1u,
    0x510E527FADE682D1u, 0x9B05688C2B3E6C1Fu, 0x1F83D9ABFB41BD6Bu, 0x5BE0CD19137E2179u,
};
static const uint8_t ORDER[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t rotated(uint64_t value, int bits) { return value >> bits | value << (64 - bits); }

static void blended(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotated(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotated(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotated(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotated(v[b] ^ v[c], 63);
}

static uint64_t blake2b_64(const uint8_t *text, size_t length)
{
    uint64_t state[8], done = 0;
    memcpy(state, BLAKE2B, sizeof state);
    state[0] ^= 0x01010000u ^ 8;
    do {
        uint8_t block[128] = {0};
        uint64_t words[16], v[16];
        size_t here = length - done < 128 ? (size_t)(length - done) : 128;
        memcpy(block, text + done, here);
        done += here;
        for (int i = 0; i < 16; i++) {
            words[i] = 0;
            for (int k = 0; k < 8; k++)
                words[i] |= (uint64_t)block[8 * i + k] << (8 * k);
        }
        memcpy(v, state, sizeof state);
        memcpy(v + 8, BLAKE2B, sizeof BLAKE2B);
        v[12] ^= done;
        if (done == length)
            v[14] = ~v[14];
        for (int round = 0; round < 12; round++) {
            const uint8_t *o = ORDER[round % 10];
            blended(v, 0, 4, 8, 12, words[o[0]], words[o[1]]);
            blended(v, 1, 5, 9, 13, words[o[2]], words[o[3]]);
            blended(v, 2, 6, 10, 14, words[o[4]], words[o[5]]);
            blended(v, 3, 7, 11, 15, words[o[6]], words[o[7]]);
            blended(v, 0, 5, 10, 15, words[o[8]], words[o[9]]);
            blended(v, 1, 6, 11, 12, words[o[10]], words[o[11]]);
            blended(v, 2, 7, 8, 13, words[o[12]], words[o[13]]);
            blended(v, 3, 4, 9, 14, words[o[14]], words[o[15]]);
        }
        for (int i = 0; i < 8; i++)
            state[i] ^= v[i] ^ v[i + 8];
    } while (done < length);
    return state[0];
}

/* -- the table --------------------------------------------------------------------------------------------------------- */

/* `count`: how often it occurs in the chunk at hand. */
typedef struct {
    uint32_t count, terms_end;
    uint8_t has_whole; /* the last of its terms is the whole */
} Identifier;

typedef struct {
    uint64_t key;
    uint32_t count, pieces_n, pieces_at; /* where its pieces begin, + 1; 0: not asked yet */
} Term;

typedef struct {
    Strings vocabulary;
    const double *log_probability; /* of the vocabulary's words */
    size_t longest;                /* of them, in bytes */
    const int8_t *rows;            /* [words, dimensions] */
    const float *scale;            /* [words] */
    float log1p[FEW];
    size_t dimensions;

    Strings identifiers, terms;
    ARRAY(Identifier) identifier;
    ARRAY(Term) term;
    ARRAY(uint32_t) terms_of;    /* term numbers of all identifiers: parts in turn, then the whole */
    ARRAY(uint32_t) pieces_of;   /* rows of the vocabulary that stand for words */
    ARRAY(uint32_t) piece_count; /* by row: how often it occurs in the chunk at hand */
    ARRAY(uint32_t) identifiers_here, terms_here, pieces_here; /* which do */

    ARRAY(uint64_t) found_keys; /* what `terms_take` hands over */
    ARRAY(uint16_t) found_counts;
} Table;

void terms_free(Table *table)
{
    if (!table)
        return;
    strings_end(&table->vocabulary);
    strings_end(&table->identifiers);
    strings_end(&table->terms);
    void *blocks[] = {
        table->identifier.at,  table->term.at,        table->terms_of.at,    table->pieces_of.at,  table->piece_count.at,
        table->identifiers_here.at, table->terms_here.at, table->pieces_here.at, table->found_keys.at, table->found_counts.at,
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    free(table);
}

/* `words`: the vocabulary, one after another; `ends`: where each ends. What the pointers name must outlive the table. */
Table *terms_new(const uint8_t *words, const uint32_t *ends, uint32_t n, const double *log_probability, const int8_t *rows,
                 const float *scale, uint32_t dimensions, uint64_t seed)
{
    Table *table = calloc(1, sizeof *table);
    if (!table)
        return NULL;
    table->log_probability = log_probability;
    table->rows = rows;
    table->scale = scale;
    table->dimensions = dimensions;
    for (int i = 0; i < FEW; i++)
        table->log1p[i] = log1pf((float)i);
    int is_new, good = strings_begin(&table->vocabulary, seed) && strings_begin(&table->identifiers, seed) &&
                       strings_begin(&table->terms, seed) && ROOM(table->piece_count, (size_t)n + 1);
    for (uint32_t i = 0, start = 0; good && i < n; start = ends[i++]) {
        uint64_t hash = hashed(words + start, ends[i] - start, seed);
        good = numbered(&table->vocabulary, words + start, ends[i] - start, hash, &is_new) == i; /* else one is there twice */
        if (ends[i] - start > table->longest)
            table->longest = ends[i] - start;
    }
    if (!good) {
        terms_free(table);
        return NULL;
    }
    return table;
}

int64_t terms_size(const Table *table) { return (int64_t)table->identifiers.hash.n; }

/* Rows whose sum stands for a word: its own, or those of the most probable pieces that it consists of (Viterbi). */
static int find_pieces(Table *table, uint32_t term)
{
    size_t length;
    const uint8_t *word = string_of(&table->terms, term, &length);
    uint32_t begin = (uint32_t)table->pieces_of.n;
    Term *own = table->term.at + term;
    own->pieces_at = begin + 1;
    uint64_t seed = table->vocabulary.seed;
    int64_t whole = number_of(&table->vocabulary, word, length, hashed(word, length, seed));
    if (whole >= 0) {
        own->pieces_n = 1;
        return PUSH(table->pieces_of, (uint32_t)whole);
    }
    for (size_t i = 0; i < length; i++)
        if (word[i] >= 0x80)
            return 1;
    if (length > LONGEST_WORD)
        length = LONGEST_WORD;
    double best[LONGEST_WORD + 1] = {0.0};
    size_t from[LONGEST_WORD + 1] = {0};
    int64_t by[LONGEST_WORD + 1];
    for (size_t end = 1; end <= length; end++) {
        best[end] = -1e9;
        by[end] = -1;
        for (size_t start = end > table->longest ? end - table->longest : 0; start < end; start++) {
            double gain;
            int64_t piece = number_of(&table->vocabulary, word + start, end - start, hashed(word + start, end - start, seed));
            if (piece >= 0)
                gain = table->log_probability[piece] + (end - start < 3 ? SHORT_PIECE : 0.0);
            else if (end - start == 1)
                gain = UNKNOWN_LETTER;
            else
                continue;
            if (best[start] + gain > best[end]) {
                best[end] = best[start] + gain;
                from[end] = start;
                by[end] = piece;
            }
        }
    }
    for (size_t end = length; end > 0; end = from[end])
        if (by[end] >= 0 && end - from[end] > 1) {
            if (!PUSH(table->pieces_of, (uint32_t)by[end]))
                return 0;
            own->pieces_n++;
        }
    return 1;
}

/* Add a term of the identifier at hand. */
static int add_term(Table *table, const uint8_t *text, size_t length)
{
    int is_new;
    int64_t term = numbered(&table->terms, text, length, hashed(text, length, table->terms.seed), &is_new);
    if (term < 0)
        return 0;
    if (is_new && !PUSH(table->term, (Term){.key = blake2b_64(text, length)}))
        return 0;
    return PUSH(table->terms_of, (uint32_t)term);
}

static int add_identifier(Table *table, uint8_t has_whole)
{
    Identifier new = {.terms_end = (uint32_t)table->terms_of.n, .has_whole = has_whole};
    return PUSH(table->identifier, new);
}

static int is_upper(uint8_t c) { return c >= 'A' && c <= 'Z'; }
static int is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }
static int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

enum { BEGINS = 1, GOES_ON = 2 }; /* an identifier, by byte */
static const uint8_t IN_NAME[256] = {
    ['0' ... '9'] = GOES_ON,        ['A' ... 'Z'] = BEGINS | GOES_ON,   ['a' ... 'z'] = BEGINS | GOES_ON,
    ['_'] = BEGINS | GOES_ON,       ['$'] = BEGINS | GOES_ON,           [0x80 ... 0xFF] = BEGINS | GOES_ON,
};

/* Parts and whole of a new identifier of ASCII, as `text.split_identifier` and `text.whole_term` find them. */
static int split(Table *table, const uint8_t *name, size_t n)
{
    uint8_t lower[LONGEST_IDENTIFIER], whole[LONGEST_IDENTIFIER];
    size_t n_whole = 0, first_start = 0, first_length = 0, i = 0, end;
    for (size_t k = 0; k < n; k++) {
        lower[k] = is_upper(name[k]) ? name[k] | 0x20 : name[k];
        if (name[k] != '_' && name[k] != '$')
            whole[n_whole++] = lower[k];
    }
    for (; i < n; i = end) {
        end = i + 1;
        if (is_upper(name[i])) {
            while (end < n && is_upper(name[end]))
                end++;
            if (end < n && is_lower(name[end])) {
                if (end - i > 1)
                    end--; /* HTTPHeader: the last capital begins the next part */
                else
                    while (end < n && is_lower(name[end]))
                        end++;
            }
        } else if (is_lower(name[i])) {
            while (end < n && is_lower(name[end]))
                end++;
        } else if (is_digit(name[i])) {
            while (end < n && is_digit(name[end]))
                end++;
            if (end - i > 2)
                continue;
        } else
            continue;
        if (!first_length) {
            first_start = i;
            first_length = end - i;
        }
        if (!add_term(table, lower + i, end - i))
            return 0;
    }
    int has_whole = first_length && !(n_whole == first_length && !memcmp(whole, lower + first_start, n_whole));
    return (!has_whole || add_term(table, whole, n_whole)) && add_identifier(table, (uint8_t)has_whole);
}

/* Tell the table what an identifier that is not of ASCII consists of: `terms`, each ending at its `ends`. 0; -1: no memory. */
int64_t terms_define(Table *table, const uint8_t *name, int64_t length, const uint8_t *terms, const int64_t *ends, int64_t n,
                     int64_t has_whole)
{
    int is_new;
    uint64_t hash = hashed(name, (size_t)length, table->identifiers.seed);
    if (numbered(&table->identifiers, name, (size_t)length, hash, &is_new) < 0)
        return -1;
    if (!is_new)
        return 0;
    for (int64_t i = 0, start = 0; i < n; start = ends[i++])
        if (!add_term(table, terms + start, (size_t)(ends[i] - start)))
            return -1;
    return add_identifier(table, (uint8_t)has_whole) ? 0 : -1;
}

typedef struct {
    const uint8_t *at;
    size_t length;
    uint64_t hash;
    int is_ascii;
} Name;

/* One more of an identifier. What is not of ASCII counts where `terms_define` told of it. */
static int note(Table *table, Name name)
{
    int64_t number;
    if (name.is_ascii) {
        int is_new;
        number = numbered(&table->identifiers, name.at, name.length, name.hash, &is_new);
        if (number < 0 || (is_new && !split(table, name.at, name.length)))
            return 0;
    } else {
        number = number_of(&table->identifiers, name.at, name.length, name.hash);
        if (number < 0)
            return 1;
    }
    return table->identifier.at[number].count++ || PUSH(table->identifiers_here, (uint32_t)number);
}

static int note_all(Table *table, const uint8_t *text, const uint8_t *end)
{
    const Strings *known = &table->identifiers;
    Name ahead[AHEAD];
    size_t n = 0, i = 0;
    while (text < end) {
        if (IN_NAME[*text] & BEGINS) {
            const uint8_t *start = text;
            uint8_t bits = 0;
            while (text < end && IN_NAME[*text] & GOES_ON)
                bits |= *text++;
            size_t length = (size_t)(text - start);
            if (length > LONGEST_IDENTIFIER && bits < 0x80)
                continue;
            if (n == AHEAD && !note(table, ahead[i]))
                return 0;
            n += n < AHEAD;
            ahead[i] = (Name){start, length, hashed(start, length, known->seed), bits < 0x80};
            __builtin_prefetch(known->slots + ((uint32_t)ahead[i].hash & (known->n_slots - 1)));
            i = (i + 1) % AHEAD;
        } else
            text++;
    }
    for (size_t k = 0; k < n; k++)
        if (!note(table, ahead[(i + AHEAD - n + k) % AHEAD]))
            return 0;
    return 1;
}

#if defined(__linux__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

FOR_EACH_CPU static void add_row(float *restrict sum, const int8_t *restrict row, float weight, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += weight * (float)row[i];
}

/* Counts of the identifiers noted → those of their terms, and the sum of their words' rows. */
static int expand(Table *table, uint32_t *length, float *body)
{
    for (size_t i = 0; i < table->identifiers_here.n; i++) {
        uint32_t number = table->identifiers_here.at[i];
        Identifier *one = table->identifier.at + number;
        uint32_t start = number ? one[-1].terms_end : 0, end = one->terms_end, times = one->count;
        one->count = 0;
        for (uint32_t k = start; k < end; k++) {
            uint32_t term = table->terms_of.at[k];
            Term *part = table->term.at + term;
            if (!part->count && !PUSH(table->terms_here, term))
                return 0;
            part->count += times;
            if (k + 1 == end && one->has_whole)
                continue;
            if (!part->pieces_at && !find_pieces(table, term))
                return 0;
            const uint32_t *pieces = table->pieces_of.at + part->pieces_at - 1;
            for (uint32_t p = 0; p < part->pieces_n; p++) {
                if (!table->piece_count.at[pieces[p]] && !PUSH(table->pieces_here, pieces[p]))
                    return 0;
                table->piece_count.at[pieces[p]] += times;
            }
        }
    }
    table->identifiers_here.n = 0;
    *length = 0;
    for (size_t i = 0; i < table->terms_here.n; i++) {
        Term *term = table->term.at + table->terms_here.at[i];
        uint32_t times = term->count;
        term->count = 0;
        *length += times;
        if (!PUSH(table->found_keys, term->key) || !PUSH(table->found_counts, times < 65535 ? (uint16_t)times : 65535))
            return 0;
    }
    table->terms_here.n = 0;
    for (size_t i = 0; i < table->pieces_here.n; i++) {
        uint32_t piece = table->pieces_here.at[i];
        uint32_t times = table->piece_count.at[piece];
        float weight = (times < FEW ? table->log1p[times] : log1pf((float)times)) * table->scale[piece];
        table->piece_count.at[piece] = 0;
        add_row(body, table->rows + piece * table->dimensions, weight, table->dimensions);
    }
    table->pieces_here.n = 0;
    return 1;
}

/* Count the terms of n chunks, of which each ends in `text` where `ends` says. Writes `indptr[n + 1]`, `lengths[n]` and
 * `body[n, dimensions]` (zeros before); the postings themselves wait for `terms_take`. How many these are; -1: no memory. */
int64_t terms_count(Table *table, const uint8_t *text, const int64_t *ends, int64_t n, int64_t *indptr, uint32_t *lengths,
                    float *body)
{
    table->found_keys.n = table->found_counts.n = 0;
    indptr[0] = 0;
    for (int64_t i = 0, start = 0; i < n; start = ends[i++]) {
        if (!note_all(table, text + start, text + ends[i]) || !expand(table, lengths + i, body + (size_t)i * table->dimensions))
            return -1;
        indptr[i + 1] = (int64_t)table->found_keys.n;
    }
    return (int64_t)table->found_keys.n;
}

/* Keys and counts of the postings that the last `terms_count` found. */
void terms_take(const Table *table, uint64_t *keys, uint16_t *counts)
{
    if (table->found_keys.n) {
        memcpy(keys, table->found_keys.at, table->found_keys.n * sizeof *keys);
        memcpy(counts, table->found_counts.at, table->found_counts.n * sizeof *counts);
    }
}
