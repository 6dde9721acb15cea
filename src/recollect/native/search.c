/* Distances and products of stored vectors, and which files hold which words: what recollect/search/score.py does with NumPy, in
 * fewer passes over memory.
 */
#include <stdint.h>
#include <string.h>

#if defined(__linux__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define COUNTING __attribute__((target_clones("arch=icelake-server", "popcnt", "default")))
#define ADDING __attribute__((target_clones("avx2", "default")))
#else
#define COUNTING
#define ADDING
#endif

#define WORDS 4 /* of 64 sign bits each */
#define DIMENSIONS (64 * WORDS)
#define SAMPLE 8192 /* rows from which it is guessed how far the nearest are */

/* Of the functions' signatures, as recollect/native/__init__.py has it. */
int64_t native_version(void) { return 3; }

/* Hamming distances between `bits` and n rows, whose words lie in columns. */
COUNTING static void distances(const uint64_t *restrict bits, const uint64_t *restrict signs, int64_t n, uint16_t *restrict found)
{
    const uint64_t *a = signs, *b = a + n, *c = b + n, *d = c + n;
    for (int64_t i = 0; i < n; i++)
        found[i] = (uint16_t)(__builtin_popcountll(a[i] ^ bits[0]) + __builtin_popcountll(b[i] ^ bits[1]) +
                              __builtin_popcountll(c[i] ^ bits[2]) + __builtin_popcountll(d[i] ^ bits[3]));
}

/* The `wanted` allowed rows that are nearest to `bits`, and those as near as the last of these, ascending; all where there
 * are no more. Part p has `sizes[p]` rows with the sign bits `signs[p][WORDS][sizes[p]]`; `allowed` and `distance` (which
 * is written) have the rows of all parts in turn, and `rows` has room for as many. How many rows were found.
 */
int64_t search_nearest(const uint64_t *bits, const uint64_t *const *signs, const int64_t *sizes, int64_t parts,
                       const uint8_t *allowed, int64_t wanted, uint16_t *distance, int64_t *rows)
{
    int64_t of[DIMENSIONS + 1] = {0}, total = 0, seen = 0, found = 0, kept = 0;
    for (int64_t p = 0; p < parts; total += sizes[p++])
        distances(bits, signs[p], sizes[p], distance + total);
    /* Rows out of a few tell how far the wanted ones reach, most probably; then only those need to be looked at closely. */
    int64_t step = total / SAMPLE + 1, enough = 2 * wanted / step + 8;
    int edge = 0;
    for (int64_t i = 0; i < total; i += step)
        of[distance[i]] += allowed[i];
    while (edge < DIMENSIONS && (seen += of[edge]) < enough)
        edge++;
    do {
        found = 0;
        for (int64_t i = 0; i < total; i++)
            if (distance[i] <= edge && allowed[i])
                rows[found++] = i;
    } while (found < wanted && edge < DIMENSIONS && (edge = DIMENSIONS));
    memset(of, 0, sizeof of);
    for (int64_t i = 0; i < found; i++)
        of[distance[rows[i]]]++;
    for (edge = 0, seen = 0; edge < DIMENSIONS && (seen += of[edge]) < wanted;)
        edge++;
    for (int64_t i = 0; i < found; i++)
        if (distance[rows[i]] <= edge)
            rows[kept++] = rows[i];
    return kept;
}

/* Exact products of `vector` with n of the rows of `vectors`: with those at `rows`, or (NULL) with the first n. */
ADDING void search_products(const int8_t *restrict vector, const int8_t *restrict vectors, const int64_t *restrict rows,
                            int64_t n, int32_t *restrict found)
{
    for (int64_t i = 0; i < n; i++) {
        const int8_t *row = vectors + (rows ? rows[i] : i) * DIMENSIONS;
        int32_t sum = 0;
        for (int k = 0; k < DIMENSIONS; k++)
            sum += (int32_t)vector[k] * row[k];
        found[i] = sum;
    }
}

/* A segment's postings, as in recollect/index/postings.py, and the file of each row. */
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
    int64_t at = segment->start[term], end = segment->start[term + 1], row = -1;
    int64_t bytes = segment->wide[term] ? 2 : 1, full = segment->wide[term] ? 65535 : 255;
    if (end > segment->n_gaps)
        return -1;
    for (; at + bytes <= end; at += bytes) {
        int64_t digit = segment->gaps[at];
        if (bytes == 2)
            digit |= (int64_t)segment->gaps[at + 1] << 8;
        row += digit;
        if (digit == full)
            continue;
        if (++row >= segment->rows)
            return -1;
        if (live[row]) {
            if (segment->file_id[row] < 0 || segment->file_id[row] >= files)
                return -1;
            held[segment->file_id[row]] |= bit;
        }
    }
    return 0;
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
