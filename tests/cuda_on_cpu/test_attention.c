/* Attention: probabilities of another running maximum, and sums in other blocks: 2e-6 forward; backward, where products of
 * about as many numbers cancel, 1e-5. */
#include "tests/cuda_on_cpu/cases.h"

typedef struct shape {
    int64_t rows, tokens, heads, kv_heads, head_dim, window;
    int documents; /* of about so many tokens; 0: a row is one */
} shape;

/* One token; less than a tile, whole ones, a bit more; groups; windows; documents; padding; head sizes to 256. */
static const shape shapes[] = {{1, 1, 1, 1, 1, 0, 0},     {2, 31, 2, 1, 32, 0, 0},   {1, 33, 4, 2, 64, 5, 0},
                               {2, 70, 2, 2, 40, 0, 13},  {1, 97, 3, 1, 80, 40, 50}, {1, 64, 1, 1, 96, 0, 32},
                               {1, 40, 2, 2, 128, 0, 1},  {1, 35, 2, 1, 192, 0, 9},  {2, 34, 1, 1, 256, 7, 20}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Documents of a varying length; the last tokens of each row are padding, which sees itself alone. */
static pawl_attend over(const shape *k)
{
    const int64_t N = k->rows * k->tokens;
    int32_t *starts = scratch_of((size_t)N * sizeof *starts);
    for (int64_t b = 0; b < k->rows; b++)
        for (int64_t t = 0, start = 0; t < k->tokens; t++) {
            if (k->documents && t - start >= k->documents + start % 3) start = t;
            if (k->documents && t >= k->tokens - 3) start = t;
            starts[b * k->tokens + t] = (int32_t)(b * k->tokens + start);
        }
    return (pawl_attend){.rows = k->rows,
                         .tokens = k->tokens,
                         .heads = k->heads,
                         .kv_heads = k->kv_heads,
                         .head_dim = k->head_dim,
                         .window = k->window,
                         .scale = 1 / sqrtf((float)k->head_dim),
                         .starts = starts};
}

static void attention(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int low = 0; low < 2; low++) {
            const pawl_attend a = over(&shapes[i]);
            const int64_t N = a.rows * a.tokens, K = a.head_dim;
            const pawl_tensor qkv = values(low, N, (a.heads + 2 * a.kv_heads) * K, 1), out = output("out", low, N, a.heads * K),
                              lse = output("lse", 0, 0, N * a.heads);
            at_hand.shift = 0;
            AGREE(2e-6, pawl_attention(at_hand.cpu, &a, qkv, out, lse), pawl_cuda_attention(NULL, &a, qkv, out, lse));
        }
}

static void attention_backward(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int low = 0; low < 2; low++) {
            at_hand.shift = i % 2;
            const pawl_attend a = over(&shapes[i]);
            const int64_t N = a.rows * a.tokens, K = a.head_dim, all = (a.heads + 2 * a.kv_heads) * K;
            const pawl_tensor qkv = values(low, N, all, 1), out = values(low, N, a.heads * K, 1), lse = floats(0, N * a.heads, 1),
                              dout = values(low, N, a.heads * K, 1), dqkv = output("dqkv", low, N, all);
            void *scratch = scratch_of(pawl_cuda_attention_scratch_bytes(N, a.heads));
            assert_done(pawl_attention(at_hand.cpu, &a, qkv, out, lse));
            AGREE(1e-5, pawl_attention_backward(at_hand.cpu, &a, dout, qkv, out, lse, dqkv),
                  pawl_cuda_attention_backward(NULL, &a, dout, qkv, out, lse, dqkv, scratch));
        }
}

static void attention_cached(void **state)
{
    static const int64_t of[][3] = {{1, 0, 0}, {40, 3, 39}, {600, 10, 599}, {300, 20, 275}}; /* positions, first, last */
    (void)state;
    for (int i = 0; i < 4; i++)
        for (int kind = 0; kind < SHAPES; kind += 2) {
            const shape *k = &shapes[kind];
            const pawl_attend a = {
                .heads = k->heads, .kv_heads = k->kv_heads, .head_dim = k->head_dim, .scale = 1 / sqrtf((float)k->head_dim)};
            const int64_t P = of[i][0], width = a.kv_heads * a.head_dim;
            const pawl_tensor q = floats(0, a.heads * a.head_dim, 1), keys = floats(P, width, 1), v = floats(P, width, 1),
                              out = output("out", 0, 0, a.heads * a.head_dim);
            AGREE(2e-6, pawl_attention_cached(at_hand.cpu, &a, q, keys, v, of[i][1], of[i][2], out),
                  pawl_cuda_attention_cached(NULL, &a, q, keys, v, of[i][1], of[i][2], out));
        }
}

const struct CMUnitTest attention_tests[] = {cmocka_unit_test(attention), cmocka_unit_test(attention_backward),
                                             cmocka_unit_test(attention_cached), {NULL, NULL, NULL, NULL, NULL}};
