/* Rotary scaling out of a GGUF file: its keys, or the divisors that Llama 3 files carry as a tensor. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "model/gguf.h"

/* What rope_type llama3 needs. Only the wavelengths original/low and original/high count, so low can be 1. */
typedef struct llama3 {
    double factor, low, high, original;
} llama3;

typedef struct divisors {
    const float *of; /* [n]: the frequency of pair i is divided by it */
    int64_t n;
    double theta;
} divisors;

static double wavelength(const divisors *d, int64_t i)
{
    return 2 * 3.14159265358979323846 * pow(d->theta, (double)i / (double)d->n);
}

/* Source: the rule of Llama 3.1 as published with its weights. */
static double divisor(const llama3 *r, double length)
{
    if (length < r->original / r->high) return 1;
    if (length > r->original / r->low) return r->factor;
    const double smooth = (r->original / length - r->low) / (r->high - r->low);
    return 1 / ((1 - smooth) / r->factor + smooth);
}

static int near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b);
}

/* Where a pair stands between being scaled (0) and being kept (1). */
static double smooth_at(const divisors *d, int64_t i, double factor)
{
    return (1 / (double)d->of[i] - 1 / factor) / (1 - 1 / factor);
}

/* smooth = (original/length - 1) / (high - 1) is a line over 1/length: two pairs give it, one gives it for the usual
 * high of 4, and without any the original length only has to stand between what is kept and what is scaled. */
static void fit(const divisors *d, int64_t first, int64_t end, llama3 *r)
{
    r->low = 1;
    r->high = 4;
    if (end - first >= 2) {
        const double x1 = 1 / wavelength(d, first), x2 = 1 / wavelength(d, end - 1);
        const double s1 = smooth_at(d, first, r->factor), s2 = smooth_at(d, end - 1, r->factor);
        const double slope = (s1 - s2) / (x1 - x2), below = slope * x1 - s1; /* original/(high-1), 1/(high-1) */
        r->high = 1 + 1 / below;
        r->original = slope / below;
        if (near(r->high, round(r->high * 100) / 100, 1e-3)) r->high = round(r->high * 100) / 100;
    } else if (end - first == 1) {
        r->original = (3 * smooth_at(d, first, r->factor) + 1) * wavelength(d, first);
    } else {
        const double most = wavelength(d, first), least = first > 0 ? 4 * wavelength(d, first - 1) : most / 2;
        r->original = 8192 > least && 8192 < most ? 8192 : floor(sqrt(least * most));
    }
    r->original = round(r->original);
}

/* The rule whose divisors these are; 0 when there is none. */
static int recognise(const divisors *d, llama3 *r)
{
    const double tolerance = 1e-4; /* f32 arithmetic of whoever wrote them */
    int64_t first = 0, end = d->n;
    r->factor = pawl_gguf_short(round((double)d->of[d->n - 1] * 1e4) / 1e4);
    if (!(r->factor > 1) || !isfinite(r->factor)) return 0;
    while (first < d->n && near((double)d->of[first], 1, tolerance)) first++;
    while (end > first && near((double)d->of[end - 1], r->factor, tolerance)) end--;
    fit(d, first, end, r);
    if (!(r->high > r->low) || !(r->original >= 1) || r->original > 1e9) return 0;
    for (int64_t i = 0; i < d->n; i++)
        if (!near((double)d->of[i], divisor(r, wavelength(d, i)), tolerance)) return 0;
    return 1;
}

static pawl_status llama3_json(const pawl_gguf_model *m, const pawl_gguf_tensor *t, double theta, json_t **out)
{
    float *of;
    llama3 r = {0};
    PAWL_CHECK(t->type == pawl_gguf_type_named("F32") && t->count == m->head_dim / 2, PAWL_EDATA,
               "%s: tensor %s: expected %lld numbers of F32, found %lld of %s", pawl_gguf_path(m->file), t->name,
               (long long)m->head_dim / 2, (long long)t->count, t->type->name);
    PAWL_TRY(pawl_alloc((void **)&of, (size_t)t->count * sizeof *of, "rotary divisors"));
    pawl_gguf_floats(t, 0, t->count, of);
    const divisors d = {of, t->count, theta};
    int64_t ones = 0;
    while (ones < d.n && of[ones] == 1.0f) ones++;
    const int known = ones == d.n || recognise(&d, &r);
    pawl_free(of);
    PAWL_CHECK(known, PAWL_EDATA,
               "%s: tensor %s holds divisors of rotary frequencies that do not follow Llama 3's rule, the one that is "
               "computed here",
               pawl_gguf_path(m->file), t->name);
    *out = ones == t->count
               ? json_null()
               : json_pack("{s:s,s:f,s:f,s:f,s:I}", "rope_type", "llama3", "factor", r.factor, "low_freq_factor", r.low,
                           "high_freq_factor", r.high, "original_max_position_embeddings", (json_int_t)r.original);
    return PAWL_OK;
}

/* Adds a real under its name in config.json when the file has it. */
static pawl_status add_real(const pawl_gguf_model *m, const char *suffix, const char *ours, json_t *rope)
{
    char key[256];
    double x;
    pawl_gguf_own_key(m, suffix, key);
    if (!pawl_gguf_has(m->file, key)) return PAWL_OK;
    PAWL_TRY(pawl_gguf_f64(m->file, key, &x));
    PAWL_CHECK(json_object_set_new(rope, ours, json_real(pawl_gguf_short(x))) == 0, PAWL_EMEM,
               "no memory for rope_scaling");
    return PAWL_OK;
}

static pawl_status add_scaling(const pawl_gguf_model *m, int yarn, double factor, json_t *rope)
{
    char key[256];
    int64_t original;
    int bad = json_object_set_new(rope, "rope_type", json_string(yarn ? "yarn" : "linear")) < 0;
    bad |= json_object_set_new(rope, "factor", json_real(pawl_gguf_short(factor))) < 0;
    PAWL_CHECK(!bad, PAWL_EMEM, "no memory for rope_scaling");
    if (!yarn) return PAWL_OK;
    PAWL_TRY(add_real(m, "rope.scaling.yarn_beta_fast", "beta_fast", rope));
    PAWL_TRY(add_real(m, "rope.scaling.yarn_beta_slow", "beta_slow", rope));
    pawl_gguf_own_key(m, "rope.scaling.original_context_length", key);
    PAWL_TRY(pawl_gguf_i64(m->file, key, 1, 1000000000, &original));
    PAWL_CHECK(json_object_set_new(rope, "original_max_position_embeddings", json_integer(original)) == 0, PAWL_EMEM,
               "no memory for rope_scaling");
    return PAWL_OK;
}

static pawl_status scaling_json(const pawl_gguf_model *m, json_t **out)
{
    static const char *const known[] = {"none", "linear", "yarn", NULL};
    char key[256];
    double factor, older;
    int kind = 0;
    PAWL_TRY(pawl_gguf_f64_or(m->file, pawl_gguf_own_key(m, "rope.scale_linear", key), 1, &older));
    PAWL_TRY(pawl_gguf_f64_or(m->file, pawl_gguf_own_key(m, "rope.scaling.factor", key), older, &factor));
    if (factor == 0) factor = 1; /* ggml's way to say none */
    pawl_gguf_own_key(m, "rope.scaling.type", key);
    if (!pawl_gguf_has(m->file, key))
        kind = factor != 1; /* a factor without a type is linear */
    else
        while (known[kind] && !pawl_gguf_is(m->file, key, known[kind])) kind++;
    if (!known[kind]) {
        pawl_text found = {0};
        pawl_gguf_show(m->file, key, &found);
        const pawl_status s =
            PAWL_FAIL(PAWL_EDATA, "%s: %s is %s; imported are none, linear, yarn, and Llama 3's divisors",
                      pawl_gguf_path(m->file), key, found.data ? found.data : "unknown");
        pawl_text_close(&found);
        return s;
    }
    *out = NULL;
    if (kind == 0 || (kind == 1 && factor == 1)) return PAWL_OK;
    json_t *rope = json_object();
    PAWL_CHECK(rope, PAWL_EMEM, "no memory for rope_scaling");
    const pawl_status s = add_scaling(m, kind == 2, factor, rope);
    if (s == PAWL_OK)
        *out = rope;
    else
        json_decref(rope);
    return s;
}

pawl_status pawl_gguf_rope_json(const pawl_gguf_model *m, double theta, json_t **out)
{
    const pawl_gguf_tensor *t = pawl_gguf_find(m->file, "rope_freqs.weight");
    json_t *scaling;
    PAWL_TRY(scaling_json(m, &scaling));
    if (scaling && t) {
        json_decref(scaling);
        return PAWL_FAIL(PAWL_EDATA,
                         "%s: rotary frequencies are scaled by keys and by the tensor %s: only one is computed here",
                         pawl_gguf_path(m->file), t->name);
    }
    if (t) return llama3_json(m, t, theta, out);
    *out = scaling ? scaling : json_null();
    return PAWL_OK;
}
