#include "data/pack.h"

#include <string.h>

#include "core/arena.h"

int64_t pawl_segment_count(int64_t tokens, int64_t sequence_len)
{
    if (tokens < 2) return 0;
    return (tokens - 1 + sequence_len - 2) /
           (sequence_len - 1); /* each trains sequence_len - 1 of tokens - 1 targets */
}

void pawl_segment_place(int64_t tokens, int64_t sequence_len, int64_t i, int64_t *first, int64_t *end)
{
    *first = i * (sequence_len - 1);
    *end = *first + sequence_len < tokens ? *first + sequence_len : tokens;
}

/* A set of numbers in [0, size) that finds its next member: bitmaps, each 64 times smaller than the one below, with a
 * bit for every word that is not zero. */
enum { LEVELS = 5 };
typedef struct number_set {
    uint64_t *level[LEVELS];
    int64_t words[LEVELS];
    int levels;
} number_set;

static pawl_status set_open(number_set *s, int64_t size)
{
    memset(s, 0, sizeof *s);
    do {
        PAWL_ASSERT(s->levels < LEVELS);
        size = (size + 63) / 64;
        s->words[s->levels] = size;
        PAWL_TRY(pawl_alloc((void **)&s->level[s->levels], (size_t)size * sizeof(uint64_t), "packing"));
        s->levels++;
    } while (size > 1);
    return PAWL_OK;
}

static void set_close(number_set *s)
{
    for (int l = 0; l < s->levels; l++) pawl_free(s->level[l]);
}

static void set_add(number_set *s, int64_t x)
{
    for (int l = 0; l < s->levels; l++, x /= 64) s->level[l][x / 64] |= (uint64_t)1 << x % 64;
}

static void set_remove(number_set *s, int64_t x)
{
    for (int l = 0; l < s->levels; l++, x /= 64) {
        s->level[l][x / 64] &= ~((uint64_t)1 << x % 64);
        if (s->level[l][x / 64]) return;
    }
}

/* The smallest member that is at least x; -1 when there is none. */
static int64_t set_next(const number_set *s, int64_t x)
{
    int l = 0;
    for (;; l++) {
        if (l == s->levels || x / 64 >= s->words[l]) return -1;
        const uint64_t later = s->level[l][x / 64] & ~(uint64_t)0 << x % 64;
        if (later) {
            x = x / 64 * 64 + __builtin_ctzll(later);
            break;
        }
        x = x / 64 + 1;
    }
    while (l-- > 0) x = 64 * x + __builtin_ctzll(s->level[l][x]);
    return x;
}

/* order[] gets the indices of key[0..count), sorted by key in [0, keys), equal ones in their order; first[] gets where
 * each key's indices begin. */
static void sort_by_key(const int64_t *key, int64_t count, int64_t keys, int64_t *order, int64_t *first)
{
    memset(first, 0, (size_t)(keys + 1) * sizeof *first);
    for (int64_t i = 0; i < count; i++) first[key[i] + 1]++;
    for (int64_t k = 0; k < keys; k++) first[k + 1] += first[k];
    for (int64_t i = 0; i < count; i++) order[first[key[i]]++] = i;
    memmove(first + 1, first, (size_t)keys * sizeof *first);
    first[0] = 0;
}

/* Rows being filled, stacked by the room that is left in them. */
typedef struct filling {
    int64_t *top;     /* [sequence_len + 1] a row with that room, or -1 */
    int64_t *below;   /* [rows] the next one with the same room, or -1 */
    number_set rooms; /* that some row has */
    int64_t rows;
} filling;

static int64_t take_row(filling *f, int64_t tokens, int64_t sequence_len, int64_t *room)
{
    *room = set_next(&f->rooms, tokens);
    if (*room < 0) {
        *room = sequence_len;
        return f->rows++;
    }
    const int64_t row = f->top[*room];
    f->top[*room] = f->below[row];
    if (f->top[*room] < 0) set_remove(&f->rooms, *room);
    return row;
}

static void put_back(filling *f, int64_t row, int64_t room)
{
    f->below[row] = f->top[room];
    f->top[room] = row;
    set_add(&f->rooms, room);
}

/* row[i] <- the row of segment i; work: [count] and [sequence_len + 2] numbers. */
static void best_fit_decreasing(filling *f, const pawl_segment *segments, int64_t count, int64_t sequence_len,
                                int64_t *row, int64_t *order, int64_t *first)
{
    int64_t room;
    for (int64_t i = 0; i < count; i++) row[i] = sequence_len - segments[i].tokens;
    sort_by_key(row, count, sequence_len + 1, order, first);
    for (int64_t r = 0; r <= sequence_len; r++) f->top[r] = -1;
    for (int64_t k = 0; k < count; k++) {
        const int64_t i = order[k], tokens = segments[i].tokens;
        row[i] = take_row(f, tokens, sequence_len, &room);
        if (room > tokens) put_back(f, row[i], room - tokens);
    }
}

static pawl_status fill_rows(const pawl_segment *segments, int64_t count, int64_t sequence_len, int64_t *row,
                             pawl_packing *out)
{
    filling f = {0};
    int64_t *lengths = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_alloc((void **)&f.top, (size_t)(sequence_len + 1) * sizeof *f.top, "packing"));
    PAWL_TRY_OUT(pawl_alloc((void **)&f.below, (size_t)count * sizeof *f.below, "packing"));
    PAWL_TRY_OUT(pawl_alloc((void **)&lengths, (size_t)(sequence_len + 2) * sizeof *lengths, "packing"));
    PAWL_TRY_OUT(set_open(&f.rooms, sequence_len + 1));
    best_fit_decreasing(&f, segments, count, sequence_len, row, out->order, lengths);
    out->rows = f.rows;
out:
    set_close(&f.rooms);
    pawl_free(lengths);
    pawl_free(f.below);
    pawl_free(f.top);
    return status;
}

pawl_status pawl_pack(const pawl_segment *segments, int64_t count, int64_t sequence_len, int packed, pawl_packing *out)
{
    int64_t *row = NULL;
    pawl_status status = PAWL_OK;
    *out = (pawl_packing){.rows = count};
    PAWL_TRY_OUT(pawl_alloc((void **)&out->order, (size_t)count * sizeof *out->order, "packing"));
    PAWL_TRY_OUT(pawl_alloc((void **)&row, (size_t)count * sizeof *row, "packing"));
    for (int64_t i = 0; i < count; i++) row[i] = i;
    if (packed) PAWL_TRY_OUT(fill_rows(segments, count, sequence_len, row, out));
    PAWL_TRY_OUT(pawl_alloc((void **)&out->first, (size_t)(out->rows + 1) * sizeof *out->first, "packing"));
    sort_by_key(row, count, out->rows, out->order, out->first);
out:
    pawl_free(row);
    return status;
}

void pawl_packing_close(pawl_packing *p)
{
    pawl_free(p->order);
    pawl_free(p->first);
    memset(p, 0, sizeof *p);
}
