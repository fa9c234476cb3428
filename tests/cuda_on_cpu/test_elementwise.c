#include "tests/cuda_on_cpu/cases.h"

/* Rows and widths: one of each, whole registers, a bit more and a bit less than warps and blocks. */
static const int64_t shapes[][2] = {{1, 1}, {3, 8}, {5, 33}, {2, 1031}, {67, 40}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void swiglu(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        BOTH_TYPES(low)
        {
            const int64_t N = shapes[i][0], F = shapes[i][1];
            const pawl_tensor x = values(low, N, 2 * F, 3), d = values(low, N, F, 1), y = output("y", low, N, F),
                              dx = output("dx", low, N, 2 * F);
            AGREE(0, pawl_swiglu(at_hand.cpu, x, y) || pawl_swiglu_backward(at_hand.cpu, d, x, dx),
                  (pawl_cuda_swiglu(NULL, x, y), pawl_cuda_swiglu_backward(NULL, d, x, dx)));
        }
}

static void activations(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int which = 0; which < PAWL_ACTIVATION_COUNT; which++)
            BOTH_TYPES(low)
            {
                const int64_t N = shapes[i][0], F = shapes[i][1];
                const pawl_activation a = (pawl_activation)which;
                const pawl_tensor x = values(low, N, F, 3), d = values(low, N, F, 1), y = output("y", low, N, F),
                                  dx = output("dx", low, N, F);
                AGREE(0, pawl_activate(at_hand.cpu, a, x, y) || pawl_activate_backward(at_hand.cpu, a, d, x, dx),
                      (pawl_cuda_activate(NULL, a, x, y), pawl_cuda_activate_backward(NULL, a, d, x, dx)));
            }
}

static void rope(void **state)
{
    static const int64_t of[][4] = {{1, 1, 0, 1}, {7, 3, 1, 16}, {5, 2, 2, 5}, {33, 4, 3, 40}}; /* N, heads, others, half */
    (void)state;
    for (int i = 0; i < 4; i++)
        BOTH_TYPES(low)
        for (int direction = -1; direction < 2; direction += 2) {
            const int64_t N = of[i][0], H = of[i][1], all = H + of[i][2], half = of[i][3];
            const pawl_tensor x = changed("x", values(low, N, all * 2 * half, 1)), c = floats(9, half, 1),
                              s = floats(9, half, 1), p = ids_below(N, 9);
            AGREE(0, pawl_rope(at_hand.cpu, x, H, c, s, p, direction), pawl_cuda_rope(NULL, x, H, c, s, p, direction));
        }
}

static void casts(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        BOTH_TYPES(from)
        for (int to = 0; to < 2; to++) {
            const pawl_tensor x = values(from, shapes[i][0], shapes[i][1], 1), y = output("y", to, shapes[i][0], shapes[i][1]);
            AGREE(0, pawl_cast(at_hand.cpu, x, y), pawl_cuda_cast(NULL, x, y));
        }
}

static void scales(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        BOTH_TYPES(low)
        {
            const pawl_tensor x = changed("x", values(low, shapes[i][0], shapes[i][1], 1));
            AGREE(0, pawl_scale(at_hand.cpu, x, 0.3f), pawl_cuda_scale(NULL, x, 0.3f));
        }
}

static void sums_and_copies(void **state)
{
    (void)state;
    for (int i = 0; i < COUNTS; i++)
        BOTH_PLACES
        {
            const int64_t n = counts[i];
            float *a = array_changed("a", n), *b = array_of(n), *zeroed = array_changed("zeroed", n),
                  *copied = array_changed("copied", n);
            AGREE(0, pawl_add(at_hand.cpu, a, b, n) || pawl_zero(at_hand.cpu, zeroed, n) || pawl_copy(at_hand.cpu, copied, b, n),
                  (pawl_cuda_add(NULL, a, b, n), pawl_cuda_zero(NULL, zeroed, n), pawl_cuda_copy(NULL, copied, b, n)));
        }
}

const struct CMUnitTest elementwise_tests[] = {
    cmocka_unit_test(swiglu), cmocka_unit_test(activations), cmocka_unit_test(rope),
    cmocka_unit_test(casts),  cmocka_unit_test(scales),      cmocka_unit_test(sums_and_copies),
    {NULL, NULL, NULL, NULL, NULL}};
