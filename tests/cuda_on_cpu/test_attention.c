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

/* Documents of odd lengths in parts of so many; the last part is not full, and what is behind it is empty. */
static void ragged(void **state)
{
    static const int64_t of[][3] = {{1, 1, 4}, {1, 8, 12}, {5, 4, 8}, {9, 2, 4}, {300, 256, 260}, {300, 1, 4}}; /* documents, of_part, numbers */
    (void)state;
    for (int i = 0; i < 6; i++)
        for (int order = 0; order < ORDERS; order++) {
            const int64_t D = of[i][0], P = (D + of[i][1] - 1) / of[i][1], count = P * of[i][2];
            int32_t *bounds = scratch_of((size_t)(D + 1) * sizeof *bounds), *at[4];
            bounds[0] = 0;
            for (int64_t k = 0; k < D; k++) bounds[k + 1] = bounds[k] + 1 + (int32_t)(k % 5);
            for (int a = 0; a < 4; a++) at[a] = scratch_of((size_t)count * sizeof **at);
            const pawl_ragged r = {.bounds = bounds, .documents = D, .of_part = of[i][1], .numbers = of[i][2], .parts = P, .qkv_width = 48, .out_width = 16,
                                   .stats_width = 3};
            begin_order(order);
            pawl_cuda_ragged(NULL, &r, at[0], at[1], at[2], at[3]);
            for (int64_t p = 0; p < P; p++)
                for (int64_t j = 0; j <= r.of_part; j++) {
                    const int64_t n = p * of[i][2] + j, k = p * r.of_part + j < D ? p * r.of_part + j : D;
                    const int32_t expected[] = {k < D ? bounds[k + 1] - bounds[k] : 0, 48 * bounds[k], 16 * bounds[k], 3 * bounds[k]};
                    for (int a = 0; a < 4; a++) assert_int_equal(at[a][n], expected[a]);
                }
            end_case();
        }
}

const struct CMUnitTest attention_tests[] = {cmocka_unit_test(attention), cmocka_unit_test(attention_backward),
                                             cmocka_unit_test(attention_cached), cmocka_unit_test(ragged), {NULL, NULL, NULL, NULL, NULL}};
