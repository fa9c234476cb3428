/* Columns. Sums over rows are of 32 interleaved runs and so within 1e-6; the CPU's are of one run, which loses some more: 1e-5. */
#include "tests/cuda_on_cpu/cases.h"

/* Rows, width, columns before and behind; the last ones in more than one chunk. */
static const int64_t shapes[][4] = {{1, 1, 0, 0}, {7, 33, 2, 1}, {40, 64, 0, 0}, {65, 5, 3, 0}, {4097, 3, 1, 1}, {9000, 2, 0, 0}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* A bias's gradient comes with a product's on the CPU, one column wide here. */
static void column_sums(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        BOTH_TYPES(low)
        for (int put = 0; put < 2; put++) {
            const int64_t N = shapes[i][0], O = shapes[i][1];
            const pawl_tensor dy = values(low, N, O, 1), x = values(low, N, 1, 1), dw = floats(O, 1, 1),
                              sums = changed("sums", floats(0, O, 1));
            const pawl_put how = put ? PAWL_ADD : PAWL_SET;
            void *scratch = scratch_of(pawl_cuda_column_scratch_bytes(N, O));
            AGREE(1e-5, pawl_linear_dw(at_hand.cpu, dy, x, how, dw, sums),
                  pawl_cuda_column_sums(NULL, dy, 0, how, sums, scratch));
        }
}

static void column_dots(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int put = 0; put < 2; put++) {
            const int64_t N = shapes[i][0], O = shapes[i][1], first = shapes[i][2], W = first + O + shapes[i][3];
            const pawl_tensor x = floats(N, W, 1), y = floats(N, O, 1), sums = changed("sums", floats(0, O, 1));
            const pawl_put how = put ? PAWL_ADD : PAWL_SET;
            void *scratch = scratch_of(pawl_cuda_column_scratch_bytes(N, O));
            AGREE(1e-5, pawl_column_dots(at_hand.cpu, x, first, y, how, sums),
                  pawl_cuda_column_dots(NULL, x, first, y, how, sums, scratch));
        }
}

static void gains(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const int64_t N = shapes[i][0], O = shapes[i][1], first = shapes[i][2], W = first + O + shapes[i][3];
        const pawl_tensor wide = floats(N, W, 1), gain = floats(0, O, 1), y = output("y", 0, N, O),
                          to = changed("to", floats(N, W, 1));
        AGREE(0, pawl_scale_columns(at_hand.cpu, wide, first, gain, y) || pawl_add_columns(at_hand.cpu, y, gain, to, first),
              (pawl_cuda_scale_columns(NULL, wide, first, gain, y), pawl_cuda_add_columns(NULL, y, gain, to, first)));
    }
}

static void quotients(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (int put = 0; put < 2; put++) {
            const int64_t O = shapes[i][1];
            const pawl_tensor a = floats(0, O, 1), b = floats(0, O, 2), y = changed("y", floats(0, O, 1));
            const pawl_put how = put ? PAWL_ADD : PAWL_SET;
            const float plus = put ? 0.0f : -1.0f;
            AGREE(0, pawl_divide(at_hand.cpu, a, b, plus, how, y), pawl_cuda_divide(NULL, a, b, plus, how, y));
        }
}

/* A product of zeros with a bias is the bias. */
static void biases(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        BOTH_TYPES(low)
        for (int put = 0; put < 2; put++) {
            const int64_t N = shapes[i][0], O = shapes[i][1], first = shapes[i][2], W = first + O + shapes[i][3];
            const pawl_tensor x = values(low, N, 1, 0), w = values(low, O, 1, 1), bias = floats(0, O, 1),
                              y = changed("y", values(low, N, W, 1));
            const pawl_put how = put ? PAWL_ADD : PAWL_SET;
            memset(x.data, 0, pawl_tensor_bytes(x));
            AGREE(0, pawl_linear_part(at_hand.cpu, x, w, bias, how, first, y), pawl_cuda_add_bias(NULL, bias, how, y, first));
        }
}

static void low_rank_norms(void **state)
{
    static const int64_t of[][3] = {{1, 1, 1}, {5, 33, 4}, {3, 700, 8}, {2, 256, 16}, {19, 70, 3}}; /* rows, width, rank */
    (void)state;
    for (int i = 0; i < 5; i++) {
        const int64_t O = of[i][0], I = of[i][1], r = of[i][2];
        const pawl_tensor w = floats(O, I, 1), a = floats(r, I, 1), b = floats(O, r, 1), norms = output("norms", 0, 0, O);
        AGREE(2e-7, pawl_low_rank_norms(at_hand.cpu, w, a, b, 0.5f, norms),
              pawl_cuda_low_rank_norms(NULL, w, a, b, 0.5f, norms));
    }
}

const struct CMUnitTest column_tests[] = {cmocka_unit_test(column_sums), cmocka_unit_test(column_dots),
                                          cmocka_unit_test(gains),       cmocka_unit_test(biases), cmocka_unit_test(quotients),
                                          cmocka_unit_test(low_rank_norms), {NULL, NULL, NULL, NULL, NULL}};
