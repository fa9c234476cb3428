/* How calls of attention are cut for cuDNN, and what that takes: by shapes alone, so that a plan knows it where there is no GPU. */
#include "ops/cuda/cudnn_cut.h"

enum { SHORTEST = 64, FOUR = 4 };

static int64_t power_of_two(int64_t at_least, int64_t from)
{
    while (from < at_least) from *= 2;
    return from;
}

static int64_t up(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

/* ---- bytes ---- */

int64_t pawl_sdpa_workspace_bytes(const pawl_sdpa *s)
{
    const int64_t each = s->sequences * s->heads, rest = 256 * s->sequences + (1 << 16);
    const int64_t scores_bytes = 2 * each * up(s->tokens, 64) * up(s->tokens, 128), by_head = s->heads == s->kv_heads ? 0 : 2 * each * s->tokens * s->head_dim;
    return s->backward ? scores_bytes + 2 * by_head + rest : rest;
}

int64_t pawl_sdpa_sums_bytes(const pawl_sdpa *s)
{
    return s->backward ? s->sequences * s->heads * s->tokens * (int64_t)sizeof(float) : 0;
}

int64_t pawl_sdpa_numbers(const pawl_sdpa *s)
{
    return up(s->sequences + 1, FOUR);
}

/* Not as an arena's are: AddressSanitizer would take what lies between them from work that was asked for before, and is late. */
static void *next_of(char *base, size_t *used, size_t bytes)
{
    const size_t at = (*used + PAWL_ALIGN - 1) / PAWL_ALIGN * PAWL_ALIGN;
    *used = at + bytes;
    return base ? base + at : NULL;
}

pawl_sdpa_room pawl_sdpa_lay_out(void *base, const pawl_sdpa *s, int64_t parts, int64_t workspace)
{
    const size_t places = s->packed ? (size_t)(parts * pawl_sdpa_numbers(s)) * sizeof(int32_t) : 0;
    pawl_sdpa_room r = {0};
    r.lengths = next_of(base, &r.bytes, places);
    r.qkv_at = next_of(base, &r.bytes, places);
    r.out_at = next_of(base, &r.bytes, places);
    r.stats_at = next_of(base, &r.bytes, places);
    r.sums = next_of(base, &r.bytes, (size_t)pawl_sdpa_sums_bytes(s));
    r.workspace = next_of(base, &r.bytes, (size_t)workspace);
    return r;
}

size_t pawl_sdpa_room_bytes(const pawl_sdpa *s, int64_t parts, int64_t workspace)
{
    return pawl_sdpa_lay_out(NULL, s, parts, workspace).bytes;
}

/* ---- cuts ---- */

pawl_sdpa pawl_sdpa_of(const pawl_attend *a)
{
    const int packed = a->documents != a->rows || a->tokens % SHORTEST != 0;
    return (pawl_sdpa){.packed = packed,
                       .sequences = packed ? power_of_two(a->documents, 1) : a->rows,
                       .tokens = packed ? power_of_two(a->longest, SHORTEST) : a->tokens,
                       .heads = a->heads,
                       .kv_heads = a->kv_heads,
                       .head_dim = a->head_dim,
                       .all_heads = a->heads,
                       .all_kv_heads = a->kv_heads,
                       .window = a->window < a->tokens ? a->window : 0};
}

static int is_too_much(const pawl_sdpa *s)
{
    return pawl_sdpa_workspace_bytes(s) + pawl_sdpa_sums_bytes(s) > pawl_cuda_attention_most;
}

static int64_t divisor_below(int64_t x, int64_t of)
{
    do x--;
    while (x > 1 && of % x != 0);
    return x;
}

/* Fewer heads, where their part of lse still begins on 16 bytes. */
static int has_fewer_heads(pawl_sdpa *s)
{
    const int64_t group = s->all_heads / s->all_kv_heads, kv = s->kv_heads > 1 ? divisor_below(s->kv_heads, s->all_kv_heads) : 0;
    if (!kv || kv * group % FOUR != 0) return 0;
    s->kv_heads = kv;
    s->heads = kv * group;
    return 1;
}

pawl_sdpa pawl_sdpa_backward_part(const pawl_sdpa *whole)
{
    pawl_sdpa s = *whole;
    s.backward = 1;
    while (is_too_much(&s) && s.sequences > 1) s.sequences = divisor_below(s.sequences, whole->sequences);
    while (is_too_much(&s) && has_fewer_heads(&s)) continue;
    return s;
}

/* ---- for the plan ---- */

/* Slots with so long a document, rounded up, and as many as there may be beside it. What is cut may be cut just below the limit. */
static size_t bytes_for(const pawl_shapes *most, int64_t tokens)
{
    const int64_t longest = tokens == SHORTEST ? 1 : tokens / 2 + 1, documents = most->positions - longest + 1;
    const pawl_sdpa whole = {.packed = 1, .sequences = power_of_two(documents, 1), .tokens = tokens, .heads = most->heads, .kv_heads = most->kv_heads,
                             .head_dim = most->head_dim, .all_heads = most->heads, .all_kv_heads = most->kv_heads};
    const pawl_sdpa part = pawl_sdpa_backward_part(&whole);
    const int64_t own = pawl_sdpa_workspace_bytes(&part), parts = (documents + part.sequences - 1) / part.sequences;
    const int cut = part.sequences < whole.sequences || part.heads < whole.heads;
    const size_t forward = pawl_sdpa_room_bytes(&whole, 1, pawl_sdpa_workspace_bytes(&whole)),
                 backward = pawl_sdpa_room_bytes(&part, parts, cut && pawl_cuda_attention_most > own ? pawl_cuda_attention_most : own);
    return forward > backward ? forward : backward;
}

size_t pawl_sdpa_scratch_bytes(const pawl_shapes *most)
{
    size_t bytes = 0;
    for (int64_t tokens = SHORTEST; tokens == SHORTEST || tokens < 2 * most->tokens; tokens *= 2) {
        const size_t one = tokens / 2 < most->positions ? bytes_for(most, tokens) : 0;
        bytes = one > bytes ? one : bytes;
    }
    return most->type == PAWL_BF16 && most->head_dim % 8 == 0 ? bytes : 0;
}
