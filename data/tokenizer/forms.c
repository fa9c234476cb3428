/* The normal forms NFC, NFD, NFKC, NFKD (Unicode annex 15), with the origin of every byte. utf8proc knows
 * decompositions, combining classes and composites; order and composition are here, for it sorts marks in quadratic
 * time. */
#include <string.h>
#include <utf8proc.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"

enum {
    FIRST_MARK = 0x300, /* below it nothing combines with what stands before, and all is composed */
    FEW = 32,
    MOST_OF_ONE = 24 /* a code point decomposes into at most 18 */
};

typedef struct pawl_points points;

static pawl_status make_room(points *p, int64_t more)
{
    if (p->count + more <= p->room) return PAWL_OK;
    const int64_t room = 2 * (p->count + more) + 64;
    PAWL_TRY(pawl_realloc((void **)&p->point, (size_t)room * sizeof *p->point, "a normal form"));
    PAWL_TRY(pawl_realloc((void **)&p->spare, (size_t)room * sizeof *p->spare, "a normal form"));
    PAWL_TRY(pawl_realloc((void **)&p->origin, (size_t)room * sizeof *p->origin, "a normal form"));
    PAWL_TRY(pawl_realloc((void **)&p->order, (size_t)room, "a normal form"));
    p->room = room;
    return PAWL_OK;
}

/* Code points that came into Unicode behind the version by which Hugging Face's tokenizers normalize, and that
 * decompose or combine since: they stay as they are there, as ㋿ (U+32FF) does. Found by comparing all of them. */
static int is_newer(uint32_t point)
{
    static const struct {
        uint32_t first, last;
    } newer[] = {{0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},     {0xc3c, 0xc3c},
                 {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},
                 {0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},   {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785},
                 {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff},
                 {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e},
                 {0x11839, 0x1183a}, {0x11938, 0x11938}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
                 {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45},
                 {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f},
                 {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}, {0x1f16c, 0x1f16c},
                 {0x1fbf0, 0x1fbf9}};
    for (size_t i = 0; i < sizeof newer / sizeof *newer && newer[i].first <= point; i++)
        if (point <= newer[i].last) return 1;
    return 0;
}

static int combining_class(uint32_t point)
{
    const int order = utf8proc_get_property((utf8proc_int32_t)point)->combining_class;
    return order && is_newer(point) ? 0 : order;
}

static pawl_status decompose(points *p, uint32_t point, int64_t origin, int compat)
{
    utf8proc_int32_t parts[MOST_OF_ONE];
    int boundary = 0;
    const utf8proc_option_t options = compat ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)point, parts, MOST_OF_ONE, options, &boundary);
    PAWL_ASSERT(n >= 0 && n <= MOST_OF_ONE);
    if ((n != 1 || parts[0] != (utf8proc_int32_t)point) && is_newer(point)) {
        parts[0] = (utf8proc_int32_t)point;
        n = 1;
    }
    PAWL_TRY(make_room(p, n));
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        p->point[p->count] = (uint32_t)parts[i];
        p->order[p->count] = (uint8_t)combining_class((uint32_t)parts[i]);
        p->origin[p->count++] = origin;
    }
    return PAWL_OK;
}

static void sort_few(points *p, int64_t first, int64_t end)
{
    for (int64_t i = first + 1; i < end; i++) {
        const uint32_t point = p->point[i];
        const uint8_t order = p->order[i];
        int64_t at = i;
        for (; at > first && p->order[at - 1] > order; at--) {
            p->point[at] = p->point[at - 1];
            p->order[at] = p->order[at - 1];
        }
        p->point[at] = point;
        p->order[at] = order;
    }
}

static void sort_many(points *p, int64_t first, int64_t end)
{
    int64_t place[257] = {0}, at = first;
    for (int64_t i = first; i < end; i++) place[p->order[i] + 1]++;
    for (int k = 0; k < 256; k++) place[k + 1] += place[k];
    for (int64_t i = first; i < end; i++) p->spare[place[p->order[i]]++] = p->point[i];
    memcpy(p->point + first, p->spare, (size_t)(end - first) * sizeof *p->point);
    for (int k = 0; k < 256; k++) /* place[k] is now the end of class k */
        for (; at - first < place[k]; at++) p->order[at] = (uint8_t)k;
}

/* Marks between two starters by their class, stably. Origins stay: places in the text must not run backwards. */
static void put_in_order(points *p)
{
    for (int64_t i = 0; i < p->count;) {
        int64_t end = i;
        while (end < p->count && p->order[end]) end++;
        if (end - i > FEW)
            sort_many(p, i, end);
        else
            sort_few(p, i, end);
        i = end + 1;
    }
}

/* The composite of two, or 0. */
static uint32_t composite(uint32_t first, uint32_t second)
{
    utf8proc_int32_t both[3] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second, 0};
    const int is_one = utf8proc_normalize_utf32(both, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) == 1;
    return is_one && !is_newer((uint32_t)both[0]) ? (uint32_t)both[0] : 0;
}

static void compose(points *p)
{
    int64_t starter = -1, kept = 0;
    int last = -1; /* class of what was kept behind the starter; -1: nothing was */
    for (int64_t i = 0; i < p->count; i++) {
        const int order = p->order[i];
        const int open = starter >= 0 && (last < 0 || last < order);
        const uint32_t one = open ? composite(p->point[starter], p->point[i]) : 0;
        if (one) {
            p->point[starter] = one;
            continue;
        }
        if (order == 0) starter = kept;
        last = order == 0 ? -1 : order;
        p->point[kept] = p->point[i];
        p->order[kept] = p->order[i];
        p->origin[kept++] = p->origin[i];
    }
    p->count = kept;
}

static pawl_status flush(points *p, pawl_rewrite *w, int composed)
{
    char text[4];
    put_in_order(p);
    if (composed) compose(p);
    for (int64_t i = 0; i < p->count; i++)
        PAWL_TRY(pawl_rewrite_add(w, text, pawl_utf8_write(p->point[i], text), p->origin[i]));
    p->count = 0;
    return PAWL_OK;
}

static int64_t plain_bytes(const char *text, int64_t bytes, int composed)
{
    const uint8_t least = composed ? 0xcc : 0x80; /* U+0300 begins with CC */
    int64_t n = 0;
    while (n < bytes && (uint8_t)text[n] < least) n++;
    return n;
}

static pawl_status rewrite(const pawl_stage *s, pawl_encoder *e, const pawl_stretch *piece, pawl_rewrite *w)
{
    const int composed = s->kind & PAWL_COMPOSED, compat = s->kind & PAWL_COMPAT;
    points *p = &e->points;
    p->count = 0;
    for (int64_t i = 0; i < piece->bytes;) {
        const int n = pawl_utf8_bytes((uint8_t)piece->text[i]);
        const uint32_t point = pawl_utf8_point(piece->text + i);
        if (point < FIRST_MARK && p->count) PAWL_TRY(flush(p, w, composed));
        if (point < 0x80 && i + 1 < piece->bytes && (uint8_t)piece->text[i + 1] < 0x80)
            PAWL_TRY(pawl_rewrite_copy(w, piece, i, i + 1));
        else
            PAWL_TRY(decompose(p, point, pawl_origin(piece, i), compat));
        i += n;
    }
    return flush(p, w, composed);
}

pawl_status pawl_form_run(const pawl_stage *s, pawl_encoder *e, pawl_stretch piece)
{
    pawl_rewrite *w = pawl_scratch_of(s, e);
    const int latin = (s->kind & PAWL_COMPOSED) && !(s->kind & PAWL_COMPAT);
    if (plain_bytes(piece.text, piece.bytes, latin) == piece.bytes) return pawl_pass_on(s, e, piece);
    PAWL_TRY(rewrite(s, e, &piece, w));
    const int same = w->bytes == piece.bytes && memcmp(w->text, piece.text, (size_t)w->bytes) == 0;
    return pawl_pass_on(s, e, same ? piece : pawl_rewritten(w));
}
