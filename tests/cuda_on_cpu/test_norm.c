/* Norms: sums over a row run in another tree than the CPU's, and those over rows in other panels. Of n numbers they differ by
 * about sqrt(n) 2^-24 at most: 2e-6 is twice what the longest row here shows. */
#include "tests/cuda_on_cpu/cases.h"

#define NEAR 2e-6

/* Rows, width: around a warp, around what one warp takes (512), and longer; more rows than runs have room for; and one whose
 * gradients fill 48 KiB of shared memory to the byte. */
static const int64_t shapes[][2] = {{1, 1}, {3, 33}, {9, 64}, {5, 512}, {2, 520}, {3, 545}, {514, 520}, {4100, 8}, {1, 12288}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* Of many rows one kind is enough, and long rows lie on 16 bytes or off it. */
static int is_spared(int64_t rows, int64_t width, int kind, int low)
{
    return rows > 9 ? kind != 1 || low || at_hand.shift : width > 500 && at_hand.shift != (kind + low) % 2;
}

static void rmsnorm(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        BOTH_TYPES(low)
        for (int with = 0; with < 3; with++) { /* nothing added; added; added in place */
            const int64_t N = shapes[i][0], D = shapes[i][1];
            if (is_spared(N, D, with, low)) continue;
            const pawl_tensor r = floats(N, D, 1), x = with ? floats(N, D, 1) : nothing, w = floats(0, D, 1),
                              sum = with == 2 ? changed("sum", r) : output("sum", 0, N, D), y = output("y", low, N, D),
                              rstd = output("rstd", 0, 0, N);
            AGREE(NEAR, pawl_rmsnorm(at_hand.cpu, r, x, w, 1e-5f, sum, y, rstd),
                  pawl_cuda_rmsnorm(NULL, r, x, w, 1e-5f, sum, y, rstd));
        }
}

static void rmsnorm_backward(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        BOTH_PLACES for (int put = 0; put < 3; put++)
        { /* dw set, added to, not wanted */
            const int64_t N = shapes[i][0], D = shapes[i][1];
            if (is_spared(N, D, put, 0)) continue;
            const pawl_tensor dy = floats(N, D, 1), sum = floats(N, D, 1), w = floats(0, D, 1), y = floats(N, D, 1),
                              rstd = floats(0, N, 1), dsum = changed("dsum", floats(N, D, 1)),
                              dw = put == 2 ? nothing : put ? changed("dw", floats(0, D, 1)) : output("dw", 0, 0, D);
            const pawl_put how = put ? PAWL_ADD : PAWL_SET;
            void *scratch = scratch_of(pawl_cuda_norm_scratch_bytes(N, D));
            assert_done(pawl_rmsnorm(at_hand.cpu, sum, nothing, w, 1e-5f, sum, y, rstd));
            AGREE(NEAR, pawl_rmsnorm_backward(at_hand.cpu, dy, sum, w, rstd, how, dsum, dw),
                  pawl_cuda_rmsnorm_backward(NULL, dy, sum, w, rstd, how, dsum, dw, scratch));
        }
}

static void layernorm(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        BOTH_TYPES(low)
        for (int with = 0; with < 2; with++) {
            const int64_t N = shapes[i][0], D = shapes[i][1];
            if (is_spared(N, D, with, low)) continue;
            const pawl_tensor r = floats(N, D, 1), x = with ? floats(N, D, 1) : nothing, w = floats(0, D, 1), b = floats(0, D, 1),
                              sum = output("sum", 0, N, D), y = output("y", low, N, D), mean = output("mean", 0, 0, N),
                              rstd = output("rstd", 0, 0, N);
            /* a row of one number has no spread: its rstd is 1/sqrt(eps) of a difference that is 0 or not */
            if (D == 1) {
                end_case();
                continue;
            }
            AGREE(NEAR, pawl_layernorm(at_hand.cpu, r, x, w, b, 1e-5f, sum, y, mean, rstd),
                  pawl_cuda_layernorm(NULL, r, x, w, b, 1e-5f, sum, y, mean, rstd));
        }
}

static void layernorm_backward(void **state)
{
    (void)state;
    for (int i = 1; i < SHAPES; i++)
        BOTH_PLACES for (int put = 0; put < 3; put++)
        {
            const int64_t N = shapes[i][0], D = shapes[i][1];
            if (is_spared(N, D, put, 0)) continue;
            const pawl_tensor dy = floats(N, D, 1), sum = floats(N, D, 1), w = floats(0, D, 1), y = floats(N, D, 1),
                              mean = floats(0, N, 1), rstd = floats(0, N, 1), dsum = changed("dsum", floats(N, D, 1)),
                              dw = put == 2 ? nothing : put ? changed("dw", floats(0, D, 1)) : output("dw", 0, 0, D),
                              db = put == 2 ? nothing : put ? changed("dbias", floats(0, D, 1)) : output("dbias", 0, 0, D);
            const pawl_put how = put ? PAWL_ADD : PAWL_SET;
            void *scratch = scratch_of(pawl_cuda_norm_scratch_bytes(N, D));
            assert_done(pawl_layernorm(at_hand.cpu, sum, nothing, w, w, 1e-5f, sum, y, mean, rstd));
            AGREE(NEAR, pawl_layernorm_backward(at_hand.cpu, dy, sum, w, mean, rstd, how, dsum, dw, db),
                  pawl_cuda_layernorm_backward(NULL, dy, sum, w, mean, rstd, how, dsum, dw, db, scratch));
        }
}

/* N, head size, heads before, heads, heads behind */
static const int64_t heads[][5] = {{1, 1, 0, 1, 0}, {5, 33, 1, 2, 1}, {3, 64, 0, 4, 2}, {2, 256, 1, 1, 0}, {1370, 8, 0, 3, 1}};

static void head_norm(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        BOTH_TYPES(low)
        {
            if (heads[i][0] > 9 && (low || at_hand.shift)) continue;
            const int64_t N = heads[i][0], K = heads[i][1], first = heads[i][2], H = heads[i][3], W = (first + H + heads[i][4]) * K;
            const pawl_tensor x = values(low, N, W, 1), w = floats(0, K, 1), y = output("y", low, N, W),
                              rstd = output("rstd", 0, 0, N * H);
            AGREE(NEAR, pawl_head_norm(at_hand.cpu, x, w, 1e-5f, first, H, y, rstd),
                  pawl_cuda_head_norm(NULL, x, w, 1e-5f, first, H, y, rstd));
        }
}

static void head_norm_backward(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        BOTH_TYPES(low)
        for (int put = 0; put < 3; put++) {
            if (heads[i][0] > 9 && (put != 1 || low || at_hand.shift)) continue;
            const int64_t N = heads[i][0], K = heads[i][1], first = heads[i][2], H = heads[i][3], W = (first + H + heads[i][4]) * K;
            const pawl_tensor x = values(low, N, W, 1), w = floats(0, K, 1), y = values(low, N, W, 1), rstd = floats(0, N * H, 1),
                              dy = changed("dy", values(low, N, W, 1)),
                              dw = put == 2 ? nothing : put ? changed("dw", floats(0, K, 1)) : output("dw", 0, 0, K);
            const pawl_put how = put ? PAWL_ADD : PAWL_SET;
            void *scratch = scratch_of(pawl_cuda_norm_scratch_bytes(N * H, K));
            assert_done(pawl_head_norm(at_hand.cpu, x, w, 1e-5f, first, H, y, rstd));
            AGREE(NEAR, pawl_head_norm_backward(at_hand.cpu, x, w, rstd, first, H, how, dy, dw),
                  pawl_cuda_head_norm_backward(NULL, x, w, rstd, first, H, how, dy, dw, scratch));
        }
}

const struct CMUnitTest norm_tests[] = {cmocka_unit_test(rmsnorm),   cmocka_unit_test(rmsnorm_backward),
                                        cmocka_unit_test(layernorm), cmocka_unit_test(layernorm_backward),
                                        cmocka_unit_test(head_norm), cmocka_unit_test(head_norm_backward),
                                        {NULL, NULL, NULL, NULL, NULL}};
