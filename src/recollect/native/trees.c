/* Syntax trees as columns: what recollect/index/syntax.py asks tree-sitter's Python binding for, node by node, in one pass; and
 * the two walks over all of them, for chunks (recollect/index/chunk.py) and for uses of names (recollect/index/symbols.py).
 *
 * Calls the documented C interface of tree-sitter (api.h) inside the binding that is loaded already; the binding exports none of
 * it, so its functions come by address. All that a parse allocates lies in an arena, which is dropped as a whole: to release a
 * tree node by node takes a tenth of the time of parsing it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { uint32_t row, column; } Point;
typedef struct { uint32_t context[4]; const void *id, *tree; } Node;
typedef struct { const void *tree, *id; uint32_t context[3]; } Cursor;

/* In the order of `_FUNCTIONS` in recollect/index/syntax.py. */
typedef struct {
    void (*set_allocator)(void *(*)(size_t), void *(*)(size_t, size_t), void *(*)(void *, size_t), void (*)(void *));
    void *(*parser_new)(void);
    void (*parser_delete)(void *);
    bool (*parser_set_language)(void *, const void *);
    void *(*parser_parse_string)(void *, const void *, const char *, uint32_t);
    Node (*tree_root_node)(const void *);
    Cursor (*tree_cursor_new)(Node);
    bool (*tree_cursor_goto_first_child)(Cursor *);
    bool (*tree_cursor_goto_next_sibling)(Cursor *);
    bool (*tree_cursor_goto_parent)(Cursor *);
    Node (*tree_cursor_current_node)(const Cursor *);
    uint16_t (*tree_cursor_current_field_id)(const Cursor *);
    Node (*node_child_by_field_id)(Node, uint16_t);
    uint32_t (*node_descendant_count)(Node);
    uint16_t (*node_symbol)(Node);
    uint32_t (*node_start_byte)(Node);
    uint32_t (*node_end_byte)(Node);
    Point (*node_start_point)(Node);
    Point (*node_end_point)(Node);
    /* what served before: variables that hold functions */
    void *(**current_malloc)(size_t);
    void *(**current_calloc)(size_t, size_t);
    void *(**current_realloc)(void *, size_t);
    void (**current_free)(void *);
} Api;

static Api api;
static void *(*usual_malloc)(size_t);
static void *(*usual_calloc)(size_t, size_t);
static void *(*usual_realloc)(void *, size_t);
static void (*usual_free)(void *);

/* -- the arena: of each thread its own, in use only while `trees_parse` and `trees_read` are at work ------------------------ */

#define BLOCK ((size_t)1 << 20)
#define KEPT ((size_t)16 << 20) /* bytes that stay for the next tree */
#define ALIGNED 16
#define CLASSES 64 /* freed pieces of up to CLASSES * ALIGNED bytes are used again */

typedef struct Piece { struct Piece *next; size_t size; } Piece; /* followed by `size` bytes */
typedef union { size_t size; char room[ALIGNED]; } Head;         /* in front of each piece */

static __thread struct {
    bool on;
    Piece *used, *spare;
    char *at, *end;
    void *freed[CLASSES + 1];
} arena;

static void *take(size_t wanted)
{
    if (wanted > SIZE_MAX / 2)
        abort();
    size_t size = (wanted + ALIGNED - 1) / ALIGNED * ALIGNED, class = size / ALIGNED;
    if (class <= CLASSES && arena.freed[class]) {
        void *piece = arena.freed[class];
        memcpy(&arena.freed[class], piece, sizeof piece);
        return piece;
    }
    if ((size_t)(arena.end - arena.at) < size + sizeof(Head)) {
        Piece *block = arena.spare;
        if (block && block->size >= size + sizeof(Head)) {
            arena.spare = block->next;
        } else {
            size_t room = size + sizeof(Head) > BLOCK ? size + sizeof(Head) : BLOCK;
            block = malloc(sizeof *block + room);
            if (!block)
                abort(); /* as tree-sitter itself: it does not look at what it gets. A worker's death costs one file */
            block->size = room;
        }
        block->next = arena.used;
        arena.used = block;
        arena.at = (char *)(block + 1);
        arena.end = arena.at + block->size;
    }
    ((Head *)arena.at)->size = size;
    void *piece = arena.at + sizeof(Head);
    arena.at += sizeof(Head) + size;
    return piece;
}

static void *arena_malloc(size_t size) { return arena.on ? take(size ? size : 1) : usual_malloc(size); }

static void *arena_calloc(size_t n, size_t width)
{
    if (!arena.on)
        return usual_calloc(n, width);
    if (width && n > SIZE_MAX / 2 / width)
        abort();
    return memset(arena_malloc(n * width), 0, n * width);
}

static void arena_free(void *piece)
{
    if (!arena.on) {
        usual_free(piece);
    } else if (piece) {
        size_t class = ((Head *)piece)[-1].size / ALIGNED;
        if (class <= CLASSES) {
            memcpy(piece, &arena.freed[class], sizeof piece);
            arena.freed[class] = piece;
        }
    }
}

static void *arena_realloc(void *piece, size_t size)
{
    if (!arena.on)
        return usual_realloc(piece, size);
    if (!piece)
        return arena_malloc(size);
    size_t had = ((Head *)piece)[-1].size;
    if (size <= had)
        return piece;
    void *moved = memcpy(take(size), piece, had);
    arena_free(piece);
    return moved;
}

/* Everything in it is gone; some of its memory stays for the next tree. */
static void drop(void)
{
    size_t kept = 0;
    for (Piece *block = arena.spare; block; block = block->next)
        kept += block->size;
    for (Piece *block = arena.used, *next; block; block = next) {
        next = block->next;
        kept += block->size;
        if (block->size == BLOCK && kept <= KEPT) {
            block->next = arena.spare;
            arena.spare = block;
        } else {
            free(block);
        }
    }
    Piece *spare = arena.spare;
    memset(&arena, 0, sizeof arena);
    arena.spare = spare;
}

/* -- trees -------------------------------------------------------------------------------------------------------------- */

static __thread Node root;

/* Once, before the others. */
void trees_use(const Api *functions)
{
    api = *functions;
    usual_malloc = *api.current_malloc;
    usual_calloc = *api.current_calloc;
    usual_realloc = *api.current_realloc;
    usual_free = *api.current_free;
    api.set_allocator(arena_malloc, arena_calloc, arena_realloc, arena_free);
}

/* Parse n bytes of UTF-8: how many nodes the tree has, or -1. `trees_read` must follow, on the same thread. */
int64_t trees_parse(const void *language, const char *text, uint32_t n)
{
    arena.on = true;
    void *parser = api.parser_new(), *tree = NULL;
    if (api.parser_set_language(parser, language))
        tree = api.parser_parse_string(parser, NULL, text, n);
    api.parser_delete(parser);
    if (!tree) {
        drop();
        return -1;
    }
    root = api.tree_root_node(tree);
    arena.on = false;
    return api.node_descendant_count(root);
}

/* A pattern of a grammar's query: a named node of kind `self` that is the `field` of one of kind `parent`, within one of kind
 * `around`; 0 stands for any. `capture`: the bits by which those found are known.
 */
typedef struct { uint16_t self, field, parent, around, capture; } Pattern;

/* Another bit among the captures: fields of a node's children are fields of its parent, too, as those of a rule without a name are
 * (which still has one where the grammar gives it an alias).
 */
#define INLINED 8

/* A tree's nodes, each before those within it: the columns, in the order that recollect/index/syntax.py gives them. */
typedef struct {
    uint16_t *kind, *field /* in its parent; 0: none */, *captures;
    uint32_t *first, *end, *row, *column, *end_row, *end_column, *parent, *after, *children;
} Columns;

static Columns columns_of(int64_t n, uint16_t *small, uint32_t *large)
{
    return (Columns){small, small + n, small + 2 * n, large, large + n, large + 2 * n, large + 3 * n, large + 4 * n,
                     large + 5 * n, large + 6 * n, large + 7 * n, large + 8 * n};
}

/* The n nodes of the tree that was parsed last. The kind of what no rule made is `error`, one more than all others. For each kind:
 * whether it is `named`, and the patterns, as bits, that a node of it (`by_self`) or a child of such a node (`by_parent`) may
 * match. How many nodes there were; the tree is gone.
 */
int64_t trees_read(int64_t n, uint16_t *small, uint32_t *large, uint16_t error, const uint8_t *named, const uint64_t *by_self,
                   const uint64_t *by_parent, const Pattern *patterns)
{
    Columns of = columns_of(n, small, large);
    int64_t i = 0, around = 0;
    size_t depth = 0, room = 0;
    Node *path = NULL;
    arena.on = true;
    Cursor cursor = api.tree_cursor_new(root);
    while (i < n) {
        Node node = api.tree_cursor_current_node(&cursor);
        Point at = api.node_start_point(node), behind = api.node_end_point(node);
        uint16_t own = api.node_symbol(node), field = api.tree_cursor_current_field_id(&cursor);
        of.kind[i] = own = own < error ? own : error;
        of.first[i] = api.node_start_byte(node);
        of.end[i] = api.node_end_byte(node);
        of.row[i] = at.row;
        of.column[i] = at.column;
        of.end_row[i] = behind.row;
        of.end_column[i] = behind.column;
        of.parent[i] = (uint32_t)around;
        of.field[i] = field;
        of.captures[i] = 0;
        if (depth == room) {
            room = room ? 2 * room : 64;
            path = arena_realloc(path, room * sizeof *path);
        }
        path[depth] = node;
        if (field && depth > 1 && !(of.captures[around] & INLINED) &&
            api.node_child_by_field_id(path[depth - 2], field).id == node.id)
            of.captures[around] |= INLINED;
        of.children[i] = 0;
        if (i)
            of.children[around]++;
        if (named[own]) {
            uint64_t possible = by_self[own] | (i ? by_parent[of.kind[around]] : 0);
            for (; possible; possible &= possible - 1) {
                const Pattern *one = patterns + __builtin_ctzll(possible);
                if ((!one->self || one->self == own) && (!one->field || one->field == field) &&
                    (!one->parent || (i && one->parent == of.kind[around])) &&
                    (!one->around || (around && one->around == of.kind[of.parent[around]])))
                    of.captures[i] |= one->capture;
            }
        }
        int64_t here = i++;
        if (api.tree_cursor_goto_first_child(&cursor)) {
            around = here;
            depth++;
            continue;
        }
        of.after[here] = (uint32_t)i;
        while (!api.tree_cursor_goto_next_sibling(&cursor)) {
            if (!api.tree_cursor_goto_parent(&cursor))
                goto all;
            depth--;
            here = around;
            of.after[here] = (uint32_t)i;
            around = of.parent[here];
        }
    }
all:
    drop();
    return i;
}

/* -- chunks --------------------------------------------------------------------------------------------------------------- */

typedef struct { int32_t first, last; bool begins; } Block; /* rows; whether it begins something */

/* What recollect/index/chunk.py calls by the same names. */
typedef struct { int32_t target, largest, head, deepest, largest_before_break, most_children; } Limits;

typedef struct {
    Columns of;
    const uint8_t *leads;    /* by kind: whether it belongs to what follows it */
    const Limits *limits;
    const uint8_t *text;
    const uint32_t *line;    /* where each row begins, and one more */
    const uint32_t *before;  /* characters before each row, ends of lines counted, and one more */
    int32_t rows;
    Block *blocks;
    size_t n_blocks, room;
    uint32_t *nodes;         /* children of the nodes that are being looked at */
    size_t n_nodes, node_room;
    bool failed;
} Chunker;

/* Bytes of the white space at `text`, as Python's `str.isspace` has it; 0 where there is none. */
static int space_at(const uint8_t *text, const uint8_t *end)
{
    uint8_t c = *text;
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
    if (c == 0xC2)
        return end - text > 1 && (text[1] == 0x85 || text[1] == 0xA0) ? 2 : 0;
    if (end - text < 3)
        return 0;
    if (c == 0xE1)
        return text[1] == 0x9A && text[2] == 0x80 ? 3 : 0;
    if (c == 0xE2)
        return (text[1] == 0x80 && (text[2] <= 0x8A || text[2] == 0xA8 || text[2] == 0xA9 || text[2] == 0xAF)) ||
                       (text[1] == 0x81 && text[2] == 0x9F)
                   ? 3
                   : 0;
    return c == 0xE3 && text[1] == 0x80 && text[2] == 0x80 ? 3 : 0;
}

static bool blank(const Chunker *at, int32_t row)
{
    const uint8_t *text = at->text + at->line[row], *end = at->text + at->line[row + 1] - 1;
    for (int width; text < end; text += width)
        if (!(width = space_at(text, end)))
            return false;
    return true;
}

static bool at_margin(const Chunker *at, int32_t row)
{
    static const char *const closing[] = {")", "]", "}", "end", "#else", "#end"};
    const uint8_t *text = at->text + at->line[row], *end = at->text + at->line[row + 1] - 1;
    if (text == end || space_at(text, end))
        return false;
    for (size_t i = 0; i < sizeof closing / sizeof *closing; i++) {
        size_t n = strlen(closing[i]);
        if ((size_t)(end - text) >= n && !memcmp(text, closing[i], n))
            return false;
    }
    return true;
}

static int64_t size_of(const Chunker *at, int32_t first, int32_t last)
{
    return (int64_t)at->before[last + 1] - at->before[first];
}

static void add_block(Chunker *at, int32_t first, int32_t last, bool begins)
{
    if (at->n_blocks == at->room) {
        size_t room = at->room ? 2 * at->room : 256;
        Block *moved = realloc(at->blocks, room * sizeof *moved);
        if (!moved) {
            at->failed = true;
            return;
        }
        at->blocks = moved;
        at->room = room;
    }
    at->blocks[at->n_blocks++] = (Block){first, last, begins};
}

static void windows(Chunker *at, int32_t first, int32_t last)
{
    for (int32_t row = first; row <= last; row++)
        add_block(at, row, row, at_margin(at, row));
}

/* Of n children, of which those before `*from` lie before row `first`: the largest that begins in rows `first` to `last`, has
 * children and fills more than a line; -1 where there is none.
 */
static int64_t largest(const Chunker *at, size_t children, size_t n, size_t *from, int32_t first, int32_t last)
{
    int64_t found = -1, size = -1;
    for (size_t i = *from; i < n; i++) {
        uint32_t node = at->nodes[children + i];
        if ((int64_t)at->of.row[node] < first) {
            *from = i + 1;
            continue;
        }
        if ((int64_t)at->of.row[node] > last)
            break;
        int64_t own = (int64_t)at->of.end[node] - at->of.first[node];
        if (at->of.children[node] && own > size) {
            found = node;
            size = own;
        }
    }
    return found >= 0 && at->of.end_row[found] > at->of.row[found] ? found : -1;
}

static void blocks(Chunker *at, int64_t node, int32_t first, int32_t last, int depth);

/* The rows of one part of a node, which is too large for a block: along what is largest in it. */
static void split(Chunker *at, int64_t inner, int32_t first, int32_t last, int depth)
{
    if (inner >= 0)
        blocks(at, inner, first, last, depth + 1);
    else
        windows(at, first, last);
}

static void blocks(Chunker *at, int64_t node, int32_t first, int32_t last, int depth)
{
    uint32_t n = at->of.children[node];
    if (n == 0 || n > (uint32_t)at->limits->most_children || depth > at->limits->deepest || at->failed) {
        windows(at, first, last);
        return;
    }
    /* Its children, and behind them the rows at which its parts begin. */
    size_t children = at->n_nodes, starts = children + n, n_starts = 1, from = 0;
    if (starts + n + 1 > at->node_room) {
        size_t room = 2 * (starts + n + 1);
        uint32_t *moved = realloc(at->nodes, room * sizeof *moved);
        if (!moved) {
            at->failed = true;
            return;
        }
        at->nodes = moved;
        at->node_room = room;
    }
    at->n_nodes = starts + n + 1;
    uint32_t child = (uint32_t)node + 1;
    for (uint32_t i = 0; i < n; i++, child = at->of.after[child])
        at->nodes[children + i] = child;
    at->nodes[starts] = (uint32_t)first;
    int64_t carried = -1; /* comments and decorators belong to what follows */
    for (uint32_t i = 0; i < n; i++) {
        child = at->nodes[children + i];
        int64_t row = at->of.row[child];
        if (row < first)
            continue;
        if (row > last)
            break;
        if (carried >= 0)
            row = carried;
        if (at->leads[at->of.kind[child]]) {
            int64_t next = (int64_t)at->of.end_row[child] + 1;
            carried = row;
            if (next >= at->rows || !blank(at, (int32_t)next))
                continue;
        }
        carried = -1;
        if (row > at->nodes[starts + n_starts - 1])
            at->nodes[starts + n_starts++] = (uint32_t)row;
    }
    if (carried > (int64_t)at->nodes[starts + n_starts - 1])
        at->nodes[starts + n_starts++] = (uint32_t)carried;
    if (n_starts < 2) {
        split(at, largest(at, children, n, &from, first, last), first, last, depth);
    } else {
        for (size_t i = 0; i < n_starts; i++) {
            int32_t start = (int32_t)at->nodes[starts + i];
            int32_t end = i + 1 < n_starts ? (int32_t)at->nodes[starts + i + 1] - 1 : last;
            if (size_of(at, start, end) <= at->limits->largest) {
                add_block(at, start, end, end > start);
                continue;
            }
            size_t head = at->n_blocks;
            split(at, largest(at, children, n, &from, start, end), start, end, depth);
            if (at->failed)
                break;
            /* The first lines of a definition that was split stay with what follows them, and begin something. */
            Block *one = at->blocks + head;
            if (at->n_blocks > head + 1 && size_of(at, one->first, one[1].last) <= at->limits->largest &&
                one->last - one->first < at->limits->head) {
                one->last = one[1].last;
                memmove(one + 1, one + 2, (at->n_blocks - head - 2) * sizeof *one);
                at->n_blocks--;
            }
            one->begins = true;
        }
    }
    at->n_nodes = children;
}

/* First and last rows of the chunks of a file of `rows` rows, in pairs: how many, or -1 where memory is short. */
int64_t trees_chunks(int64_t n, uint16_t *small, uint32_t *large, const uint8_t *text, uint32_t size, int32_t rows,
                     const uint8_t *leads, const Limits *limits, int32_t *spans)
{
    uint32_t *line = malloc(((size_t)rows + 1) * 2 * sizeof *line), *before = line + rows + 1;
    Chunker at = {.of = columns_of(n, small, large), .leads = leads, .limits = limits, .text = text, .line = line,
                  .before = before, .rows = rows};
    if (!line)
        return -1;
    uint32_t row = 0, characters = 0;
    line[0] = before[0] = 0;
    for (uint32_t i = 0; i < size; i++) {
        characters += (text[i] & 0xC0) != 0x80;
        if (text[i] == '\n' && row + 1 < (uint32_t)rows) {
            line[++row] = i + 1;
            before[row] = characters;
        }
    }
    line[rows] = size + 1; /* as if it ended with one more */
    before[rows] = characters + 1;
    blocks(&at, 0, 0, rows - 1, 0);
    int64_t found = 0, held = 0;
    int32_t start = 0, end = -1;
    for (size_t i = 0; i < at.n_blocks && !at.failed; i++) {
        Block one = at.blocks[i];
        int64_t extra = size_of(&at, one.first, one.last);
        if (held && (held + extra > limits->target || (one.begins && held > limits->largest_before_break))) {
            spans[2 * found] = start;
            spans[2 * found++ + 1] = end;
            start = one.first;
            held = 0;
        }
        held += extra;
        end = one.last;
    }
    if (end >= start) {
        spans[2 * found] = start;
        spans[2 * found++ + 1] = end;
    }
    free(line);
    free(at.blocks);
    free(at.nodes);
    return at.failed ? -1 : found;
}

/* -- uses of names -------------------------------------------------------------------------------------------------------- */

typedef struct { const uint8_t *at; uint32_t n, line, last; } Name; /* `line`, `last`: places among the lines, + 1 */
typedef struct { uint32_t line, next; } Line;                       /* `next`: as those */

static __thread struct { uint8_t *at; size_t n; } packed; /* until `trees_take` */

static bool letter(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool word(uint8_t c) { return letter(c) || (c >= '0' && c <= '9'); }

/* The name that ASCII text uses: what follows its last dot, or, where that is no identifier, the last name of the head. */
static uint32_t name_in(const uint8_t **text, uint32_t n)
{
    const uint8_t *at = *text, *start = at + n;
    while (start > at && start[-1] != '.')
        start--;
    uint32_t length = (uint32_t)(at + n - start), i = 0;
    if (length && letter(*start)) {
        while (i < length && word(start[i]))
            i++;
        if (i == length) {
            *text = start;
            return length;
        }
    }
    if (n && (at[n - 1] == ')' || at[n - 1] == ']' || at[n - 1] == '}' || at[n - 1] == '>')) /* `f(x)(y)`, `List<int>` */
        for (i = 0; i < n; i++)
            if (at[i] == '(' || at[i] == '[' || at[i] == '{' || at[i] == '<') {
                n = i;
                break;
            }
    if (n > 200) {
        at += n - 200;
        n = 200;
    }
    uint32_t end = n;
    while (end && !word(at[end - 1]))
        end--;
    uint32_t from = end;
    while (from && (word(at[from - 1]) || at[from - 1] == '$'))
        from--;
    while (from < end && !letter(at[from]))
        from++;
    if (from == end)
        return 0;
    while (end < n && at[end] == '$')
        end++;
    if (end < n && (at[end] == '?' || at[end] == '!' || at[end] == '\''))
        end++;
    *text = at + from;
    return end - from;
}

static int by_name(const void *left, const void *right)
{
    const Name *a = left, *b = right;
    int order = memcmp(a->at, b->at, a->n < b->n ? a->n : b->n);
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

static size_t decimal(uint8_t *to, uint32_t number)
{
    uint8_t digits[10];
    size_t n = 0;
    do
        digits[n++] = (uint8_t)('0' + number % 10);
    while (number /= 10);
    for (size_t i = 0; i < n; i++)
        to[i] = digits[n - 1 - i];
    return n;
}

/* The uses among the nodes, at most `most`, as recollect/index/symbols.py packs them: how many bytes, for `trees_take`.
 * -1: memory is short, -2: one is not ASCII.
 */
int64_t trees_uses(int64_t n, uint16_t *small, uint32_t *large, const uint8_t *text, uint16_t use, int64_t most)
{
    Columns of = columns_of(n, small, large);
    int64_t uses = 0;
    for (int64_t i = 0; i < n; i++)
        uses += (of.captures[i] & use) != 0;
    packed.n = 0;
    if (!uses)
        return 0;
    uint32_t slots = 4;
    while (slots < 2 * uses)
        slots *= 2;
    uint32_t *slot = calloc(slots, sizeof *slot), n_names = 0, n_lines = 0;
    Name *names = malloc((size_t)uses * sizeof *names);
    Line *lines = malloc((size_t)uses * sizeof *lines);
    int64_t result = -1;
    if (!slot || !names || !lines)
        goto out;
    size_t room = 2;
    int64_t before = -1;
    for (int64_t i = 0; i < n && most; i++) {
        if (!(of.captures[i] & use))
            continue;
        if (before >= 0 && of.first[before] == of.first[i] && of.end[before] == of.end[i])
            continue; /* a node, and the only one within it */
        before = i;
        most--;
        const uint8_t *at = text + of.first[i];
        uint32_t length = of.end[i] - of.first[i], line = of.end_row[i] + (of.end_column[i] != 0);
        for (uint32_t j = 0; j < length; j++)
            if (at[j] & 0x80) {
                result = -2;
                goto out;
            }
        length = name_in(&at, length);
        if (length < 2)
            continue;
        uint64_t hash = 0xCBF29CE484222325u;
        for (uint32_t j = 0; j < length; j++)
            hash = (hash ^ at[j]) * 0x100000001B3u;
        uint32_t place = (uint32_t)(hash ^ hash >> 32) & (slots - 1);
        while (slot[place] && !(names[slot[place] - 1].n == length && !memcmp(names[slot[place] - 1].at, at, length)))
            place = (place + 1) & (slots - 1);
        if (!slot[place]) {
            names[n_names++] = (Name){at, length, 0, 0};
            slot[place] = n_names;
            room += length + 2;
        }
        Name *name = names + slot[place] - 1;
        uint32_t known = name->last && lines[name->last - 1].line < line ? 0 : name->line;
        while (known && lines[known - 1].line != line)
            known = lines[known - 1].next;
        if (known)
            continue;
        lines[n_lines++] = (Line){line, 0};
        *(name->last ? &lines[name->last - 1].next : &name->line) = n_lines;
        name->last = n_lines;
        room += 11;
    }
    result = 0;
    if (!n_names)
        goto out;
    qsort(names, n_names, sizeof *names, by_name);
    uint8_t *to = packed.at = malloc(room);
    if (!to) {
        result = -1;
        goto out;
    }
    for (uint32_t i = 0; i < n_names; i++) {
        *to++ = '\n';
        memcpy(to, names[i].at, names[i].n);
        to += names[i].n;
        for (uint32_t at = names[i].line; at; at = lines[at - 1].next) {
            *to++ = at == names[i].line ? '\t' : ',';
            to += decimal(to, lines[at - 1].line);
        }
    }
    *to++ = '\n';
    packed.n = (size_t)(to - packed.at);
    result = (int64_t)packed.n;
out:
    free(slot);
    free(names);
    free(lines);
    return result;
}

/* What `trees_uses` found last on this thread. */
void trees_take(uint8_t *to)
{
    memcpy(to, packed.at, packed.n);
    free(packed.at);
    packed.at = NULL;
    packed.n = 0;
}
