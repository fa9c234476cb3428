#include <math.h>

#include "model/decoder.h"

/* Llama 3.1: long waves are slowed down by factor, short ones kept, those between blended.
 * Source: Hugging Face transformers, _compute_llama3_parameters. */
static double scale_llama3(double frequency, const pawl_rope_config *r)
{
    const double context = (double)r->original_max_position_embeddings, wavelength = 2 * M_PI / frequency;
    if (wavelength > context / r->low_freq_factor) return frequency / r->factor;
    if (wavelength < context / r->high_freq_factor) return frequency;
    const double smooth = (context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - smooth) * frequency / r->factor + smooth * frequency;
}

static double scale_linear(double frequency, const pawl_rope_config *r)
{
    return frequency / r->factor;
}

static double scale_default(double frequency, const pawl_rope_config *r)
{
    (void)r;
    return frequency;
}

static double (*const scales[])(double, const pawl_rope_config *) = {scale_default, scale_linear, scale_llama3};

/* Frequencies and angles are rounded to f32 where Hugging Face's are, since models were trained with those. */
void pawl_rope_tables(const pawl_model_config *c, int64_t positions, float *cos_table, float *sin_table)
{
    const int64_t pairs = c->head_dim / 2;
    const pawl_rope_config *r = &c->rope_scaling.value;
    for (int64_t i = 0; i < pairs; i++) {
        const float plain = (float)(1 / pow(c->rope_theta, (double)(2 * i) / (double)c->head_dim));
        const float frequency = (float)scales[c->rope_scaling.present ? r->rope_type : 0](plain, r);
        for (int64_t p = 0; p < positions; p++) {
            const float angle = (float)p * frequency;
            cos_table[p * pairs + i] = (float)cos(angle);
            sin_table[p * pairs + i] = (float)sin(angle);
        }
    }
}
