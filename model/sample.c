/* Texts from a decoder: the next token chosen greedily or drawn from the nucleus, by counted random numbers. */
#include <math.h>
#include <stdlib.h>

#include "core/arena.h"
#include "core/rng.h"
#include "model/model.h"

typedef struct weighed {
    double p;
    int32_t id;
} weighed;

struct pawl_sampler {
    pawl_sampling how;
    weighed *candidates; /* [size] */
};

pawl_status pawl_sampler_open(const pawl_sampling *how, pawl_sampler **out)
{
    pawl_sampler *s;
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "a sampler"));
    s->how = *how;
    const pawl_status status = pawl_alloc((void **)&s->candidates, (size_t)how->size * sizeof *s->candidates, "candidates");
    if (status == PAWL_OK) *out = s;
    else pawl_sampler_close(s);
    return status;
}

void pawl_sampler_close(pawl_sampler *s)
{
    if (!s) return;
    pawl_free(s->candidates);
    pawl_free(s);
}

static int32_t greedy(const float *logits, int32_t size)
{
    int32_t best = 0;
    for (int32_t i = 1; i < size; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static int by_weight(const void *a, const void *b)
{
    const weighed *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* The smallest set of likeliest ids whose probability reaches top_p, drawn from in proportion.
 * Source: Holtzman et al. 2020. */
static int32_t nucleus(const pawl_sampler *s, const float *logits, double top, int64_t position, int64_t text)
{
    const int32_t size = s->how.size;
    double sum = 0, kept = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < size; i++) {
        s->candidates[i] = (weighed){exp((logits[i] - top) / s->how.temperature), i};
        sum += s->candidates[i].p;
    }
    qsort(s->candidates, (size_t)size, sizeof *s->candidates, by_weight);
    while (n < size && (n == 0 || kept < s->how.top_p * sum)) kept += s->candidates[n++].p;
    const pawl_random r = pawl_random_at(s->how.seed, PAWL_FOR_SAMPLING, (uint64_t)position, (uint64_t)text);
    double left = kept * pawl_uniform(r.word[0]);
    int32_t i = 0;
    while (i + 1 < n && (left -= s->candidates[i].p) >= 0) i++;
    return s->candidates[i].id;
}

/* Of a model that has diverged there is nothing to choose from. */
static pawl_status choose(const pawl_sampler *s, const float *logits, int64_t position, int64_t text, int32_t *id)
{
    *id = greedy(logits, s->how.size);
    double sum = 0;
    for (int32_t i = 0; i < s->how.size; i++) sum += (double)logits[i];
    PAWL_CHECK(isfinite(sum), PAWL_EDATA, "the model has no finite numbers for the token at position %lld: it has diverged, use an earlier checkpoint",
               (long long)position);
    if (s->how.temperature > 0) *id = nucleus(s, logits, (double)logits[*id], position, text);
    return PAWL_OK;
}

static int ends(const pawl_sampler *s, const pawl_model *m, int32_t end, int32_t id)
{
    return id == s->how.end || id == end || pawl_model_ends(m, id);
}

static int goes_on(const pawl_sampler *s)
{
    return !s->how.alive || s->how.alive();
}

pawl_status pawl_write(pawl_decoder *d, pawl_sampler *s, const pawl_to_write *w, pawl_written *out)
{
    const float *logits = NULL;
    int64_t n = w->prompt;
    pawl_decoder_restart(d);
    *out = (pawl_written){.count = n, .end = -1};
    for (int64_t i = 0; i < w->prompt; i++) {
        if (!goes_on(s)) return PAWL_OK;
        PAWL_TRY(pawl_decoder_step(d, w->ids[i], &logits));
    }
    while (n < w->prompt + w->most && goes_on(s)) {
        int32_t id;
        PAWL_TRY(choose(s, logits, n, w->number, &id));
        if (ends(s, pawl_decoder_model(d), w->end, id)) {
            out->end = id;
            break;
        }
        w->ids[n++] = id;
        if (n < w->prompt + w->most) PAWL_TRY(pawl_decoder_step(d, id, &logits));
    }
    out->count = n;
    return PAWL_OK;
}
