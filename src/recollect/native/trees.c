/* Syntax trees as columns: what recollect/index/syntax.py asks tree-sitter's Python binding for, node by node, in one pass.
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

typedef struct Block { struct Block *next; size_t size; } Block; /* followed by `size` bytes */
typedef union { size_t size; char room[ALIGNED]; } Head;         /* in front of each piece */

static __thread struct {
    bool on;
    Block *used, *spare;
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
        Block *block = arena.spare;
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
    for (Block *block = arena.spare; block; block = block->next)
        kept += block->size;
    for (Block *block = arena.used, *next; block; block = next) {
        next = block->next;
        kept += block->size;
        if (block->size == BLOCK && kept <= KEPT) {
            block->next = arena.spare;
            arena.spare = block;
        } else {
            free(block);
        }
    }
    Block *spare = arena.spare;
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

/* The n nodes of the tree that was parsed last, each before those within it, as columns of n: its kind, its field in its parent
 * (0: none), the captures it is found for, and `columns`, which are named in recollect/index/syntax.py. The kind of what no rule made
 * is `error`, one more than all others. For each kind: whether it is `named`, and the patterns, as bits, that a node of it
 * (`by_self`) or a child of such a node (`by_parent`) may match. How many nodes there were; the tree is gone.
 */
int64_t trees_read(int64_t n, uint16_t *kind, uint16_t *field, uint16_t *captures, uint32_t *columns, uint16_t error,
                   const uint8_t *named, const uint64_t *by_self, const uint64_t *by_parent, const Pattern *patterns)
{
    uint32_t *first = columns, *end = first + n, *row = end + n, *column = row + n, *end_row = column + n,
             *end_column = end_row + n, *parent = end_column + n, *after = parent + n, *children = after + n;
    int64_t i = 0, around = 0;
    size_t depth = 0, room = 0;
    Node *path = NULL;
    arena.on = true;
    Cursor cursor = api.tree_cursor_new(root);
    while (i < n) {
        Node node = api.tree_cursor_current_node(&cursor);
        Point at = api.node_start_point(node), behind = api.node_end_point(node);
        uint16_t own = api.node_symbol(node);
        kind[i] = own = own < error ? own : error;
        first[i] = api.node_start_byte(node);
        end[i] = api.node_end_byte(node);
        row[i] = at.row;
        column[i] = at.column;
        end_row[i] = behind.row;
        end_column[i] = behind.column;
        parent[i] = (uint32_t)around;
        field[i] = api.tree_cursor_current_field_id(&cursor);
        captures[i] = 0;
        if (depth == room) {
            room = room ? 2 * room : 64;
            path = arena_realloc(path, room * sizeof *path);
        }
        path[depth] = node;
        if (field[i] && depth > 1 && !(captures[around] & INLINED) &&
            api.node_child_by_field_id(path[depth - 2], field[i]).id == node.id)
            captures[around] |= INLINED;
        children[i] = 0;
        if (i)
            children[around]++;
        if (named[own]) {
            uint64_t possible = by_self[own] | (i ? by_parent[kind[around]] : 0);
            for (; possible; possible &= possible - 1) {
                const Pattern *one = patterns + __builtin_ctzll(possible);
                if ((!one->self || one->self == own) && (!one->field || one->field == field[i]) &&
                    (!one->parent || (i && one->parent == kind[around])) &&
                    (!one->around || (around && one->around == kind[parent[around]])))
                    captures[i] |= one->capture;
            }
        }
        int64_t here = i++;
        if (api.tree_cursor_goto_first_child(&cursor)) {
            around = here;
            depth++;
            continue;
        }
        after[here] = (uint32_t)i;
        while (!api.tree_cursor_goto_next_sibling(&cursor)) {
            if (!api.tree_cursor_goto_parent(&cursor))
                goto all;
            depth--;
            here = around;
            after[here] = (uint32_t)i;
            around = parent[here];
        }
    }
all:
    drop();
    return i;
}
