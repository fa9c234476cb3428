#include "trainer/continual/soft.h"

#include <string.h>

static int64_t larger_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t pawl_run_bins(const pawl_parts *p)
{
    const pawl_continual_config *c = p->continual;
    const int64_t V = pawl_model_settings(p->model)->vocab_size;
    const int64_t k =
        c ? larger_of(c->der.present ? c->der.value.top_k : 0, c->lwf.present ? c->lwf.value.top_k : 0) : 0;
    return k < V ? k : V;
}

void pawl_soft_lay_out(pawl_arena *a, pawl_soft_room *s, int64_t k, int64_t rows, int64_t tokens)
{
    const size_t n = (size_t)(k > 0 ? rows * tokens : 0), b = (size_t)(k > 0 ? rows : 0);
    s->k = k;
    s->ids = pawl_take_bytes(a, n * (size_t)k * sizeof *s->ids);
    s->logp = pawl_take_bytes(a, n * (size_t)k * sizeof *s->logp);
    s->loss = pawl_take_bytes(a, n * sizeof *s->loss);
    s->row_weights = pawl_take_bytes(a, b * sizeof *s->row_weights);
    s->row_temperatures = pawl_take_bytes(a, b * sizeof *s->row_temperatures);
    s->row_k = pawl_take_bytes(a, b * sizeof *s->row_k);
}

void pawl_soft_clear(pawl_soft_room *s, int64_t rows)
{
    for (int64_t b = 0; s->k > 0 && b < rows; b++) {
        s->row_weights[b] = 0;
        s->row_temperatures[b] = 1;
        s->row_k[b] = s->k;
    }
}

void pawl_soft_put(pawl_soft_room *s, int64_t b, int64_t T, int64_t k, float temperature, float weight,
                   const int32_t *ids, const float *logp, int64_t count)
{
    s->row_weights[b] = weight;
    s->row_temperatures[b] = temperature;
    s->row_k[b] = k;
    for (int64_t t = 0; t < T; t++) {
        int32_t *to = s->ids + (b * T + t) * s->k;
        float *logs = s->logp + (b * T + t) * s->k;
        if (t < count) {
            memcpy(to, ids + t * k, (size_t)k * sizeof *to);
            memcpy(logs, logp + t * k, (size_t)k * sizeof *logs);
        } else {
            memset(to, 0, (size_t)k * sizeof *to);
            memset(logs, 0, (size_t)k * sizeof *logs);
        }
    }
}

int pawl_soft_of(const pawl_soft_room *s, int64_t rows, pawl_soft *out)
{
    int any = 0;
    for (int64_t b = 0; s->k > 0 && b < rows; b++) any |= s->row_weights[b] != 0.0f;
    *out = (pawl_soft){.k = s->k,
                       .ids = s->ids,
                       .logp = s->logp,
                       .temperature = 1,
                       .row_weights = s->row_weights,
                       .loss = s->loss,
                       .row_k = s->row_k,
                       .row_temperatures = s->row_temperatures};
    return any;
}
