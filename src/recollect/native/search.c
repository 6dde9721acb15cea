/* Distances and products of stored vectors: what recollect/search/score.py does with NumPy, in fewer passes over memory. */
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
