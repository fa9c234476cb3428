/* Weights in few bits: codes, scales and what comes back have the CPU's bits. */
#include "ops/fp8_rule.h"
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

/* By the rule. */
static pawl_status fp8_by_hand(const uint16_t *x, int64_t count, pawl_fp8_scale *scale, uint8_t *codes_of)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < count; i++) most = (uint32_t)(x[i] & 0x7fff) << 16 > most ? (uint32_t)(x[i] & 0x7fff) << 16 : most;
    *scale = pawl_fp8_scale_rule(most);
    for (int64_t i = 0; i < count; i++) codes_of[i] = pawl_e4m3_rule(pawl_bf16_widen_rule(x[i]) * scale->to);
    return PAWL_OK;
}

/* The last one goes round the grid twice. */
static void eight_bits(void **state)
{
    static const int64_t of[] = {1, 7, 16, 1000, 2048, 2049, 70000, 8 * 256 * PAWL_CUDA_FP8_BLOCKS + 30000};
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        at_hand.shift = 0;
        pawl_fp8_scale *scale = output_bytes("scale", sizeof *scale);
        at_hand.shift = i % 3 == 1; /* not on 16 bytes */
        uint16_t *x = values(1, 0, of[i], i % 2 ? 1e-3f : 300).data;
        if (i == 3) memset(x, 0, (size_t)of[i] * 2);
        if (i == 4) x[700] = 0xff80; /* not finite */
        uint8_t *codes_of = output_bytes("codes", (size_t)of[i]);
        uint32_t *of_blocks = scratch_of(PAWL_CUDA_FP8_BLOCKS * sizeof *of_blocks);
        AGREE(0, fp8_by_hand(x, of[i], scale, codes_of), pawl_cuda_fp8(NULL, x, of[i], of_blocks, scale, codes_of));
    }
}

const struct CMUnitTest quant_tests[] = {cmocka_unit_test(codes), cmocka_unit_test(eight_bits), {NULL, NULL, NULL, NULL, NULL}};
