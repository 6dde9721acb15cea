/* Rows of terms in segments: what recollect/index/postings.py, the merge in index/segment.py and `coverage` in search/score.py do, a
 * term at a time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NARROW 255 /* the full digit of one byte, of two; as in index/postings.py */
#define WIDE 65535

/* Bytes of ascending rows as gaps, in the shorter kind of digits; `wide`: which one that is. */
static int64_t size_of(const int64_t *rows, int64_t n, uint8_t *wide)
{
    int64_t narrow = n, full = n, before = -1;
    for (int64_t i = 0; i < n; before = rows[i++]) {
        int64_t gap = rows[i] - before - 1;
        if (gap >= NARROW) {
            narrow += gap / NARROW;
            full += gap / WIDE;
        }
    }
    *wide = 2 * full < narrow;
    return *wide ? 2 * full : narrow;
}

static uint8_t *put(uint8_t *at, int64_t digit, uint8_t wide)
{
    *at++ = (uint8_t)digit;
    if (wide)
        *at++ = (uint8_t)(digit >> 8);
    return at;
}

static void write_rows(const int64_t *rows, int64_t n, uint8_t wide, uint8_t *gaps)
{
    int64_t full = wide ? WIDE : NARROW, before = -1;
    for (int64_t i = 0; i < n; before = rows[i++]) {
        int64_t gap = rows[i] - before - 1;
        for (; gap >= full; gap -= full)
            gaps = put(gaps, full, wide);
        gaps = put(gaps, gap, wide);
    }
}

/* Encode the rows of `terms` terms, of which each has `rows[indptr[i]:indptr[i + 1]]`. Writes `start[terms + 1]` and
 * `wide[terms]`, and `gaps` unless it is NULL. How many bytes these are; -1: rows are missing, or too many for `start`.
 */
int64_t postings_encode(const int64_t *rows, const int64_t *indptr, int64_t terms, uint32_t *start, uint8_t *wide, uint8_t *gaps)
{
    int64_t total = 0;
    for (int64_t i = 0; i < terms; i++) {
        const int64_t *own = rows + indptr[i];
        int64_t n = indptr[i + 1] - indptr[i];
        if (n < 0)
            return -1;
        int64_t size = size_of(own, n, wide + i);
        if (size > UINT32_MAX - total)
            return -1;
        start[i] = (uint32_t)total;
        if (gaps)
            write_rows(own, n, wide[i], gaps + total);
        total += size;
    }
    start[terms] = (uint32_t)total;
    return total;
}

/* Order in which n keys ascend, equal ones as they came (radix sort by bytes). 0; -1: no memory. */
int64_t postings_order(const uint64_t *keys, int64_t n, int64_t *order)
{
    typedef struct { uint64_t key; int64_t from; } Item;
    Item *items = malloc(2 * (size_t)(n + 1) * sizeof *items), *now = items, *next = items + n;
    if (!items)
        return -1;
    for (int64_t i = 0; i < n; i++)
        now[i] = (Item){keys[i], i};
    for (int shift = 0; shift < 64; shift += 8) {
        int64_t at[256] = {0}, sum = 0;
        for (int64_t i = 0; i < n; i++)
            at[now[i].key >> shift & 255]++;
        for (int d = 0; d < 256; d++) {
            int64_t count = at[d];
            at[d] = sum;
            sum += count;
        }
        for (int64_t i = 0; i < n; i++)
            next[at[now[i].key >> shift & 255]++] = now[i];
        Item *swap = now;
        now = next;
        next = swap;
    }
    for (int64_t i = 0; i < n; i++)
        order[i] = now[i].from;
    free(items);
    return 0;
}

/* The rows of a term, read one after another. */
typedef struct {
    const uint8_t *at, *end;
    int64_t bytes, full, row;
} Rows;

static inline Rows rows_of(const uint8_t *gaps, const uint32_t *start, const uint8_t *wide, int64_t term)
{
    Rows found = {gaps + start[term], gaps + start[term + 1], wide[term] ? 2 : 1, wide[term] ? WIDE : NARROW, -1};
    return found;
}

/* Go to the next row. 0: there is none. */
static inline int next_row(Rows *rows)
{
    while (rows->at + rows->bytes <= rows->end) {
        int64_t digit = rows->at[0];
        if (rows->bytes == 2)
            digit |= (int64_t)rows->at[1] << 8;
        rows->at += rows->bytes;
        rows->row += digit;
        if (digit != rows->full)
            return ++rows->row, 1;
    }
    return 0;
}

/* The terms of one segment. `new_row`: by row, which it is among the merged ones; -1: none. */
typedef struct {
    const uint64_t *keys;
    const uint32_t *indptr;
    const uint8_t *gaps;
    const uint32_t *start;
    const uint8_t *wide;
    const uint8_t *counts;
    const int32_t *new_row;
    int64_t terms, rows, n_gaps, postings;
} Part;

/* Add the kept rows of a term of a part, and their counts; how many there are then. -1: the part is damaged. */
static int64_t add_kept(const Part *part, int64_t term, int64_t *rows, uint8_t *counts, int64_t n)
{
    int64_t count = part->indptr[term], last = part->indptr[term + 1];
    if (part->start[term] > part->start[term + 1] || part->start[term + 1] > part->n_gaps || count > last || last > part->postings)
        return -1;
    Rows own = rows_of(part->gaps, part->start, part->wide, term);
    while (next_row(&own)) {
        if (own.row >= part->rows || count >= last)
            return -1;
        int32_t kept = part->new_row[own.row];
        counts[n] = part->counts[count++];
        rows[n] = kept;
        n += kept >= 0;
    }
    return own.at == own.end && count == last ? n : -1;
}

/* Merge the terms of segments. `rows` has room for all rows and one more; `keys`, `wide` and (one more) `indptr` and `start`
 * for all terms; `counts` for all postings and one more; `gaps` for two bytes for each posting and each 65,535th row of each
 * term. How many terms there are; -1: a part is damaged.
 */
int64_t postings_merge(const Part *parts, int64_t n_parts, int64_t *next, int64_t *rows, uint64_t *keys, uint32_t *indptr,
                       uint32_t *start, uint8_t *wide, uint8_t *counts, uint8_t *gaps)
{
    int64_t terms = 0;
    indptr[0] = start[0] = 0;
    memset(next, 0, (size_t)n_parts * sizeof *next); /* by part: its next term */
    for (;;) {
        uint64_t key = 0;
        int found = 0;
        for (int64_t p = 0; p < n_parts; p++)
            if (next[p] < parts[p].terms && (!found || parts[p].keys[next[p]] < key)) {
                key = parts[p].keys[next[p]];
                found = 1;
            }
        if (!found)
            return terms;
        int64_t n = 0;
        for (int64_t p = 0; p < n_parts; p++)
            if (next[p] < parts[p].terms && parts[p].keys[next[p]] == key)
                if ((n = add_kept(parts + p, next[p]++, rows, counts + indptr[terms], n)) < 0)
                    return -1;
        if (n) {
            int64_t size = size_of(rows, n, wide + terms);
            write_rows(rows, n, wide[terms], gaps + start[terms]);
            keys[terms] = key;
            indptr[terms + 1] = indptr[terms] + (uint32_t)n;
            start[terms + 1] = start[terms] + (uint32_t)size;
            terms++;
        }
    }
}

/* What is looked up in a segment, and the file of each row. */
typedef struct {
    const uint64_t *keys;
    const uint8_t *gaps;
    const uint32_t *start;
    const uint8_t *wide;
    const int32_t *file_id;
    int64_t terms, n_gaps, rows;
} Segment;

/* Add `bit` to those of the files whose live rows hold a term. -1: the segment is damaged. */
static int cover(const Segment *segment, int64_t term, const uint8_t *live, uint64_t bit, uint64_t *held, int64_t files)
{
    if (segment->start[term] > segment->start[term + 1] || segment->start[term + 1] > segment->n_gaps)
        return -1;
    Rows own = rows_of(segment->gaps, segment->start, segment->wide, term);
    while (next_row(&own)) {
        if (own.row >= segment->rows)
            return -1;
        int64_t file = segment->file_id[own.row];
        if (!live[own.row])
            continue;
        if (file < 0 || file >= files)
            return -1;
        held[file] |= bit;
    }
    return own.at == own.end ? 0 : -1;
}

/* Add to `held[files]` the bits of those of the n wanted terms that a file has in a live row. -1: the segment is damaged. */
int64_t search_cover(const Segment *segment, const uint8_t *live, const uint64_t *wanted, const uint64_t *bits, int64_t n,
                     uint64_t *held, int64_t files)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t low = 0, high = segment->terms;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (segment->keys[middle] < wanted[i])
                low = middle + 1;
            else
                high = middle;
        }
        if (low < segment->terms && segment->keys[low] == wanted[i] && cover(segment, low, live, bits[i], held, files) < 0)
            return -1;
    }
    return 0;
}
