/* Blocks of quantised numbers, as ggml lays them out, and what they stand for.
 *
 * Every value is one product, or a product and a sum, rounded as f32; the products of a scale of 11 bits and small
 * integers are exact but in Q6_K, so there is one right answer and all readers give its bits. */
#include <string.h>

#include "core/gguf.h"

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float f16_at(const uint8_t *p)
{
    const uint16_t bits = u16_at(p);
    float x;
    pawl_convert(&bits, PAWL_F16, &x, PAWL_F32, 1);
    return x;
}

static float f32_at(const uint8_t *p)
{
    const uint32_t bits = (uint32_t)u16_at(p) | (uint32_t)u16_at(p + 2) << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void F32_floats(const uint8_t *b, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++) out[i] = f32_at(b + 4 * i);
}

static void F16_floats(const uint8_t *b, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++) out[i] = f16_at(b + 2 * i);
}

static void BF16_floats(const uint8_t *b, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++) {
        const uint16_t bits = u16_at(b + 2 * i);
        pawl_convert(&bits, PAWL_BF16, &out[i], PAWL_F32, 1);
    }
}

/* --- 32 numbers with a scale, or a scale and a minimum -------------------------------------------------------- */

static void Q4_0_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 18, out += 32) {
        const float d = f16_at(b);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((b[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
        }
    }
}

static void Q4_1_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 20, out += 32) {
        const float d = f16_at(b), m = f16_at(b + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(b[4 + i] & 15) + m;
            out[i + 16] = d * (float)(b[4 + i] >> 4) + m;
        }
    }
}

/* Number i of 32, of five bits: the low four in nibbles, the fifth in a word of bits. */
static int five_bits(const uint8_t *high, const uint8_t *nibbles, int i)
{
    const int low = i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4;
    return low | (high[i / 8] >> i % 8 & 1) << 4;
}

static void Q5_0_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 22, out += 32) {
        const float d = f16_at(b);
        for (int i = 0; i < 32; i++) out[i] = d * (float)(five_bits(b + 2, b + 6, i) - 16);
    }
}

static void Q5_1_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 24, out += 32) {
        const float d = f16_at(b), m = f16_at(b + 2);
        for (int i = 0; i < 32; i++) out[i] = d * (float)five_bits(b + 4, b + 8, i) + m;
    }
}

static void Q8_0_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 34, out += 32) {
        const float d = f16_at(b);
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)b[2 + i];
    }
}

/* --- 256 numbers in groups, each with a scale of its own ------------------------------------------------------ */

/* 16 bytes of a scale and a minimum, 64 bytes of two bits, then the scales of scales. */
static void Q2_K_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 84, out += 256) {
        const float d = f16_at(b + 80), m = f16_at(b + 82);
        for (int i = 0; i < 256; i++) {
            const int group = i / 16, half = i / 128, shift = i / 32 % 4 * 2;
            const int q = b[16 + half * 32 + i % 32] >> shift & 3;
            out[i] = d * (float)(b[group] & 15) * (float)q - m * (float)(b[group] >> 4);
        }
    }
}

/* Sixteen scales of six bits in twelve bytes: the low four in eight bytes of nibbles, the high two in four bytes. */
static int q3_scale(const uint8_t *s, int group)
{
    const int low = group < 8 ? s[group] & 15 : s[group - 8] >> 4;
    return (low | (s[8 + group % 4] >> group / 4 * 2 & 3) << 4) - 32;
}

/* 32 bytes of third bits (a clear one takes 4 away), 64 bytes of two bits, the scales, their scale. */
static void Q3_K_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 110, out += 256) {
        const float d = f16_at(b + 108);
        for (int i = 0; i < 256; i++) {
            const int half = i / 128, shift = i / 32 % 4 * 2;
            const int low = b[32 + half * 32 + i % 32] >> shift & 3, third = b[i % 32] >> i / 32 & 1;
            out[i] = d * (float)q3_scale(b + 96, i / 16) * (float)(low - (third ? 0 : 4));
        }
    }
}

/* Eight scales and eight minima of six bits in twelve bytes. */
static void k_scale(const uint8_t *s, int group, float *scale, float *minimum)
{
    if (group < 4) {
        *scale = (float)(s[group] & 63);
        *minimum = (float)(s[group + 4] & 63);
    } else {
        *scale = (float)((s[group + 4] & 15) | (s[group - 4] >> 6) << 4);
        *minimum = (float)((s[group + 4] >> 4) | (s[group] >> 6) << 4);
    }
}

static void Q4_K_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 144, out += 256) {
        const float d = f16_at(b), m = f16_at(b + 2);
        for (int group = 0; group < 8; group++) {
            float scale, minimum;
            k_scale(b + 4, group, &scale, &minimum);
            for (int i = 0; i < 32; i++) {
                const int q = b[16 + group / 2 * 32 + i] >> group % 2 * 4 & 15;
                out[group * 32 + i] = d * scale * (float)q - m * minimum;
            }
        }
    }
}

static void Q5_K_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 176, out += 256) {
        const float d = f16_at(b), m = f16_at(b + 2);
        for (int group = 0; group < 8; group++) {
            float scale, minimum;
            k_scale(b + 4, group, &scale, &minimum);
            for (int i = 0; i < 32; i++) {
                const int low = b[48 + group / 2 * 32 + i] >> group % 2 * 4 & 15, high = b[16 + i] >> group & 1;
                out[group * 32 + i] = d * scale * (float)(low | high << 4) - m * minimum;
            }
        }
    }
}

/* 128 bytes of low nibbles, 64 bytes of two high bits, 16 scales of eight bits, their scale. */
static void Q6_K_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 210, out += 256) {
        const float d = f16_at(b + 208);
        for (int i = 0; i < 256; i++) {
            const int half = i / 128, at = i % 128;
            const int low = b[half * 64 + at % 64] >> at / 64 * 4 & 15;
            const int high = b[128 + half * 32 + at % 32] >> at / 32 * 2 & 3;
            out[i] = d * (float)(int8_t)b[192 + i / 16] * (float)((low | high << 4) - 32);
        }
    }
}

static void Q8_K_floats(const uint8_t *b, int64_t count, float *out)
{
    for (; count > 0; count--, b += 292, out += 256) {
        const float d = f32_at(b);
        for (int i = 0; i < 256; i++) out[i] = d * (float)(int8_t)b[4 + i];
    }
}

/* --- the table ------------------------------------------------------------------------------------------------ */

#define TYPE_ROW(name, number, block, bytes) {#name, number, block, bytes, name##_floats},
static const pawl_gguf_type types[] = {PAWL_GGUF_TYPE_LIST(TYPE_ROW)};
enum { TYPES = sizeof types / sizeof types[0] };

const pawl_gguf_type *pawl_gguf_type_numbered(uint32_t number)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].number == number) return &types[i];
    return NULL;
}

const pawl_gguf_type *pawl_gguf_type_named(const char *name)
{
    for (int i = 0; i < TYPES; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

void pawl_gguf_floats(const pawl_gguf_tensor *t, int64_t first, int64_t count, float *out)
{
    PAWL_ASSERT(first >= 0 && count >= 0 && first + count <= t->count && first % t->type->block == 0 &&
                count % t->type->block == 0);
    t->type->floats(t->data + first / t->type->block * t->type->bytes, count / t->type->block, out);
}
