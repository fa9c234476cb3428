/* Weights in few bits: codes, scales and what comes back have the CPU's bits. */
#include "tests/cuda_on_cpu/cases.h"

static void codes(void **state)
{
    static const int64_t of[][2] = {{1, 1}, {3, 63}, {5, 64}, {2, 257}, {9, 136}};
    (void)state;
    for (int i = 0; i < 5; i++)
        for (int code = PAWL_CODE_INT8; code <= PAWL_CODE_NF4; code++)
            BOTH_TYPES(low)
            {
                const int64_t rows = of[i][0], cols = of[i][1];
                const pawl_code how = (pawl_code)code;
                const pawl_tensor w = floats(rows, cols, 1), back = output("back", low, rows, cols);
                const pawl_coded q = {how, rows + 2, cols, output_bytes("codes", (size_t)((rows + 2) * pawl_code_row_bytes(how, cols))),
                                      output("scales", 0, rows + 2, pawl_code_row_scales(how, cols)).data};
                if (cols > 130) memset(w.data, 0, 130 * sizeof(float)); /* a whole block of zeros */
                AGREE(0, pawl_quantise(at_hand.cpu, w, &q, 1) || pawl_dequantise(at_hand.cpu, &q, 1, back),
                      (pawl_cuda_quantise(NULL, w, &q, 1), pawl_cuda_dequantise(NULL, &q, 1, back)));
            }
}

const struct CMUnitTest quant_tests[] = {cmocka_unit_test(codes), {NULL, NULL, NULL, NULL, NULL}};
