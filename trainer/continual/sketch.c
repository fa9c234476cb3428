#include "trainer/continual/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/hash.h"
#include "core/rng.h"

void pawl_document_number(const uint8_t byte[PAWL_DOCUMENT_BYTES], uint64_t out[2])
{
    out[0] = out[1] = 0;
    for (int i = 0; i < PAWL_DOCUMENT_BYTES; i++) out[i / 8] = out[i / 8] << 8 | byte[i];
}

static uint8_t *put_number(uint8_t *to, uint64_t x)
{
    for (int i = 7; i >= 0; i--) *to++ = (uint8_t)(x >> 8 * i);
    return to;
}

uint64_t pawl_memory_key(uint64_t seed, const char *domain, const uint64_t document[2], int64_t chunk)
{
    enum { NAME = 64 };
    uint8_t text[4 * 8 + NAME], *at = text;
    uint64_t key = 0;
    const size_t length = strlen(domain);
    at = put_number(at, seed);
    at = put_number(at, document[0]);
    at = put_number(at, document[1]);
    at = put_number(at, (uint64_t)chunk);
    memcpy(at, domain, length < NAME ? length : NAME); /* of fixed length before it: no two inputs are one text */
    const pawl_digest d = pawl_sha256(text, sizeof text - NAME + (length < NAME ? length : NAME));
    for (int i = 0; i < 8; i++) key = key << 8 | d.byte[i];
    return key;
}

uint64_t pawl_memory_weighted_key(uint64_t key, double weight)
{
    const double least = 1e-9, u = ((double)(key >> 11) + 0.5) * 0x1p-53; /* in (0, 1) */
    const double x = -log(u) / (weight > least ? weight : least);
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits); /* positive numbers compare as their bits */
    return bits;
}

static int compare_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_name(const pawl_kept *a, const pawl_kept *b)
{
    int c = compare_number(a->document[0], b->document[0]);
    if (!c) c = compare_number(a->document[1], b->document[1]);
    return c ? c : (a->chunk > b->chunk) - (a->chunk < b->chunk);
}

int pawl_kept_compare(const void *a, const void *b)
{
    const pawl_kept *x = a, *y = b;
    int c = (x->domain > y->domain) - (x->domain < y->domain);
    if (!c) c = compare_number(x->key, y->key);
    return c ? c : compare_name(x, y);
}

/* Of the same name: the smallest key, then what is in the memory, then the first row. */
static int by_name(const void *a, const void *b)
{
    const pawl_candidate *x = a, *y = b;
    int c = (x->kept.domain > y->kept.domain) - (x->kept.domain < y->kept.domain);
    if (!c) c = compare_name(&x->kept, &y->kept);
    if (!c) c = compare_number(x->kept.key, y->kept.key);
    if (!c) c = (x->item < 0) - (y->item < 0);
    if (!c) c = (x->dataset > y->dataset) - (x->dataset < y->dataset);
    return c ? c : (x->row > y->row) - (x->row < y->row);
}

/* Across domains by key alone: a sample may be of all of them. */
static int by_key(const void *a, const void *b)
{
    const pawl_candidate *x = a, *y = b;
    const int c = compare_number(x->kept.key, y->kept.key);
    return c ? c : by_name(a, b);
}

void pawl_sketch_cut(pawl_sketch *s, uint64_t *bound)
{
    int64_t n = 0;
    if (s->count == 0) return;
    qsort(s->items, (size_t)s->count, sizeof *s->items, by_name);
    for (int64_t i = 0; i < s->count; i++) {
        const pawl_candidate *last = n ? &s->items[n - 1] : NULL, *c = &s->items[i];
        if (last && last->kept.domain == c->kept.domain && compare_name(&last->kept, &c->kept) == 0) continue;
        s->items[n++] = *c;
    }
    qsort(s->items, (size_t)n, sizeof *s->items, by_key);
    if (n > s->limit && s->items[s->limit].kept.key < *bound) *bound = s->items[s->limit].kept.key;
    s->count = n < s->limit ? n : s->limit;
}

pawl_status pawl_sketch_add(pawl_sketch *s, const pawl_candidate *c)
{
    uint64_t none = UINT64_MAX;
    /* One more than the limit is kept on the way, so that the last cut sees what it leaves out. */
    if (s->count > 2 * s->limit + 1) {
        s->limit++;
        pawl_sketch_cut(s, &none);
        s->limit--;
    }
    if (s->count == s->room) {
        const int64_t room = s->room ? 2 * s->room : 64;
        PAWL_TRY(pawl_realloc((void **)&s->items, (size_t)room * sizeof *s->items, "the rows that a memory may keep"));
        s->room = room;
    }
    s->items[s->count++] = *c;
    return PAWL_OK;
}

void pawl_sketch_close(pawl_sketch *s)
{
    pawl_free(s->items);
    memset(s, 0, sizeof *s);
}

/* What domain i takes where each that shares may have `level` rows. */
static int64_t take_of(const int64_t *available, const int64_t *fixed, int i, int64_t level)
{
    const int64_t most = fixed[i] >= 0 ? fixed[i] : level;
    return available[i] < most ? available[i] : most;
}

static int64_t taken(const int64_t *available, const int64_t *fixed, int count, int64_t level)
{
    int64_t sum = 0;
    for (int i = 0; i < count; i++)
        if (fixed[i] < 0) sum += take_of(available, fixed, i, level);
    return sum;
}

void pawl_memory_quotas(const int64_t *available, const int64_t *fixed, int count, int64_t capacity, int64_t *quota)
{
    int64_t pool = capacity, low = 0, high = capacity;
    for (int i = 0; i < count; i++)
        if (fixed[i] >= 0) pool -= fixed[i];
    if (pool < 0) pool = 0;
    while (low < high) { /* the highest level that the pool allows */
        const int64_t level = low + (high - low + 1) / 2;
        if (taken(available, fixed, count, level) <= pool) low = level;
        else high = level - 1;
    }
    int64_t rest = pool - taken(available, fixed, count, low);
    for (int i = 0; i < count; i++) {
        quota[i] = take_of(available, fixed, i, low);
        if (fixed[i] >= 0 || available[i] <= low || rest <= 0) continue;
        quota[i]++;
        rest--;
    }
}

/* A number in [0, n) from 64 random bits; no result is likelier than another by more than n / 2^64. */
static uint64_t below(uint32_t high, uint32_t low, uint64_t n)
{
    return (uint64_t)((unsigned __int128)((uint64_t)high << 32 | low) * n >> 64);
}

static int pick_domain(uint64_t bits, const int64_t *rows, const double *weights, int count)
{
    double sum = 0;
    int last = -1;
    for (int i = 0; i < count; i++) sum += rows[i] > 0 ? weights[i] : 0;
    double left = (double)(bits >> 11) * 0x1p-53 * sum;
    for (int i = 0; i < count; i++) {
        if (rows[i] <= 0 || weights[i] <= 0) continue;
        last = i;
        if (left < weights[i]) return i;
        left -= weights[i];
    }
    return last; /* rounding at the upper end */
}

int64_t pawl_memory_pick(uint64_t seed, int64_t step, int64_t g, int use, const int64_t *rows, const double *weights, int count)
{
    const pawl_random r = pawl_random_at(seed, PAWL_FOR_REPLAY, (uint64_t)step, (uint64_t)use << 40 | (uint64_t)g);
    int64_t all = 0, first = 0;
    for (int i = 0; i < count; i++) all += rows[i];
    if (all == 0) return -1;
    if (!weights) return (int64_t)below(r.word[2], r.word[3], (uint64_t)all);
    const int domain = pick_domain((uint64_t)r.word[0] << 32 | r.word[1], rows, weights, count);
    if (domain < 0) return -1;
    for (int i = 0; i < domain; i++) first += rows[i];
    return first + (int64_t)below(r.word[2], r.word[3], (uint64_t)rows[domain]);
}
