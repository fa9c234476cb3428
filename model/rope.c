#include <math.h>
#include <string.h>

#include "core/text.h"
#include "model/decoder.h"

/* Source of all of these: Hugging Face transformers, modeling_rope_utils.py, and the papers named. plain is the
 * frequency of a pair without scaling. */

/* Llama 3.1: long waves are slowed down by factor, short ones kept, those between blended. */
static double scale_llama3(const pawl_model_config *c, int64_t pair, int set, double plain)
{
    const pawl_rope_config *r = &c->rope_scaling.value;
    const double context = (double)r->original_max_position_embeddings, wavelength = 2 * M_PI / plain;
    (void)pair, (void)set;
    if (wavelength > context / r->low_freq_factor) return plain / r->factor;
    if (wavelength < context / r->high_freq_factor) return plain;
    const double smooth = (context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - smooth) * plain / r->factor + smooth * plain;
}

static double scale_linear(const pawl_model_config *c, int64_t pair, int set, double plain)
{
    (void)pair, (void)set;
    return plain / c->rope_scaling.value.factor;
}

static double scale_default(const pawl_model_config *c, int64_t pair, int set, double plain)
{
    (void)c, (void)pair, (void)set;
    return plain;
}

/* The pair (as a real number) whose wave turns so many times in the old context. */
static double pair_of_turns(const pawl_model_config *c, double turns)
{
    const double context = (double)c->rope_scaling.value.original_max_position_embeddings;
    return (double)c->head_dim * log(context / (turns * 2 * M_PI)) / (2 * log(c->rope_theta));
}

/* Peng et al. 2023 (YaRN): pairs up to `low` are kept, from `high` on slowed down by factor, a ramp between. */
static double scale_yarn(const pawl_model_config *c, int64_t pair, int set, double plain)
{
    const pawl_rope_config *r = &c->rope_scaling.value;
    double low = pair_of_turns(c, r->beta_fast > 0 ? r->beta_fast : 32);
    double high = pair_of_turns(c, r->beta_slow > 0 ? r->beta_slow : 1);
    (void)set;
    if (r->truncate) low = floor(low), high = ceil(high);
    low = fmax(low, 0);
    high = fmin(high, (double)(c->head_dim - 1));
    if (low == high) high += 0.001;
    const double slowed = fmin(fmax(((double)pair - low) / (high - low), 0), 1);
    return plain / r->factor * slowed + plain * (1 - slowed);
}

/* Ding et al. 2024 (LongRoPE): a divisor for each pair, from one list or the other. */
static double scale_longrope(const pawl_model_config *c, int64_t pair, int set, double plain)
{
    const pawl_rope_config *r = &c->rope_scaling.value;
    double divisor = 1;
    pawl_parse_f64(set ? r->long_factor.items[pair] : r->short_factor.items[pair], &divisor);
    return plain / (double)(float)divisor;
}

static double no_factor(const pawl_rope_config *r)
{
    (void)r;
    return 1;
}

static double yarn_scale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static double yarn_factor(const pawl_rope_config *r)
{
    if (r->attention_factor > 0) return r->attention_factor;
    if (r->mscale > 0 && r->mscale_all_dim > 0)
        return yarn_scale(r->factor, r->mscale) / yarn_scale(r->factor, r->mscale_all_dim);
    return yarn_scale(r->factor, 1);
}

static double longrope_factor(const pawl_rope_config *r)
{
    if (r->attention_factor > 0) return r->attention_factor;
    return r->factor <= 1 ? 1 : sqrt(1 + log(r->factor) / log((double)r->original_max_position_embeddings));
}

/* In the order of pawl_rope_types. */
static const struct {
    double (*scale)(const pawl_model_config *c, int64_t pair, int set, double plain);
    double (*factor)(const pawl_rope_config *r); /* what cosines and sines are multiplied by */
} kinds[] = {{scale_default, no_factor},
             {scale_linear, no_factor},
             {scale_llama3, no_factor},
             {scale_yarn, yarn_factor},
             {scale_longrope, longrope_factor}};

static int32_t kind_of(const pawl_model_config *c)
{
    return c->rope_scaling.present ? c->rope_scaling.value.rope_type : 0;
}

int64_t pawl_rope_reach(const pawl_model_config *c)
{
    return c->rope_scaling.value.original_max_position_embeddings;
}

int pawl_rope_sets(const pawl_model_config *c, int64_t positions)
{
    return strcmp(pawl_rope_types[kind_of(c)], "longrope") == 0 && positions > pawl_rope_reach(c) ? 2 : 1;
}

/* Frequencies and angles are rounded to f32 where Hugging Face's are, since models were trained with those. */
void pawl_rope_tables(const pawl_model_config *c, int64_t positions, float *cos_table, float *sin_table)
{
    const int64_t pairs = c->head_dim / 2;
    const int sets = pawl_rope_sets(c, positions);
    const float factor = (float)kinds[kind_of(c)].factor(&c->rope_scaling.value);
    for (int set = 0; set < sets; set++)
        for (int64_t i = 0; i < pairs; i++) {
            const float plain = (float)(1 / pow(c->rope_theta, (double)(2 * i) / (double)c->head_dim));
            const float frequency = (float)kinds[kind_of(c)].scale(c, i, set, plain);
            for (int64_t p = 0; p < positions; p++) {
                const int64_t at = (set * positions + p) * pairs + i;
                const float angle = (float)p * frequency;
                cos_table[at] = (float)cos(angle) * factor;
                sin_table[at] = (float)sin(angle) * factor;
            }
        }
}
