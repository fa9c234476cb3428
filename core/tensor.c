#include "core/tensor.h"

#include <string.h>
#include <strings.h>

#include "core/status.h"

static const struct {
    size_t bytes;
    const char *safetensors, *wire;
} traits[] = {
#define ROW(name, bytes, safetensors, wire) {bytes, safetensors, wire},
    PAWL_DTYPE_LIST(ROW)
#undef ROW
};

size_t pawl_dtype_bytes(pawl_dtype t)
{
    return traits[t].bytes;
}

const char *pawl_dtype_name(pawl_dtype t)
{
    return traits[t].wire;
}

const char *pawl_dtype_safetensors(pawl_dtype t)
{
    return traits[t].safetensors;
}

pawl_dtype pawl_dtype_named(const char *name)
{
    int t = 0;
    while (t < PAWL_DTYPE_COUNT && strcasecmp(name, traits[t].wire) != 0) t++;
    return (pawl_dtype)t;
}

int64_t pawl_tensor_count(pawl_tensor t)
{
    int64_t n = 1;
    for (int i = 0; i < t.ndim; i++) n *= t.dim[i];
    return n;
}

size_t pawl_tensor_bytes(pawl_tensor t)
{
    return (size_t)pawl_tensor_count(t) * traits[t.dtype].bytes;
}

static float f32_from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_from_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float from_bf16(uint16_t h)
{
    return f32_from_bits((uint32_t)h << 16);
}

static uint16_t to_bf16(float x)
{
    uint32_t u = bits_from_f32(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(u >> 16 | 0x40u); /* NaN: keep it one, quiet */
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

static float from_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, mantissa = h & 0x3ffu;
    if (exponent == 0) { /* zero or subnormal: mantissa x 2^-24 is exact in f32 */
        float x = (float)mantissa * 0x1p-24f;
        return sign ? -x : x;
    }
    if (exponent == 31) return f32_from_bits(sign | 0x7f800000u | mantissa << 13);
    return f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static uint16_t to_f16(float x)
{
    const uint32_t u = bits_from_f32(x), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and up round to infinity */
    if (magnitude < 0x38800000u) {                                   /* below 2^-14: subnormal in f16 */
        float shifted = f32_from_bits(magnitude) + 0.5f;             /* 2^-24 is the last bit of a float near 0.5 */
        return (uint16_t)(sign | (bits_from_f32(shifted) - bits_from_f32(0.5f)));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13));
}

static double get(const void *p, pawl_dtype t, int64_t i)
{
    switch (t) {
    case PAWL_F32: return ((const float *)p)[i];
    case PAWL_BF16: return from_bf16(((const uint16_t *)p)[i]);
    case PAWL_F16: return from_f16(((const uint16_t *)p)[i]);
    case PAWL_F64: return ((const double *)p)[i];
    default: pawl_assert_("a float type", __FILE__, __LINE__);
    }
}

static void put(void *p, pawl_dtype t, int64_t i, double x)
{
    switch (t) {
    case PAWL_F32: ((float *)p)[i] = (float)x; break;
    case PAWL_BF16: ((uint16_t *)p)[i] = to_bf16((float)x); break;
    case PAWL_F16: ((uint16_t *)p)[i] = to_f16((float)x); break;
    case PAWL_F64: ((double *)p)[i] = x; break;
    default: pawl_assert_("a float type", __FILE__, __LINE__);
    }
}

void pawl_convert(const void *from, pawl_dtype from_type, void *to, pawl_dtype to_type, int64_t count)
{
    if (from_type == to_type) {
        memcpy(to, from, (size_t)count * traits[to_type].bytes);
    } else if (from_type == PAWL_BF16 && to_type == PAWL_F32) { /* the pair that big models load and save */
        for (int64_t i = 0; i < count; i++) ((float *)to)[i] = from_bf16(((const uint16_t *)from)[i]);
    } else if (from_type == PAWL_F32 && to_type == PAWL_BF16) {
        for (int64_t i = 0; i < count; i++) ((uint16_t *)to)[i] = to_bf16(((const float *)from)[i]);
    } else {
        for (int64_t i = 0; i < count; i++) put(to, to_type, i, get(from, from_type, i));
    }
}
