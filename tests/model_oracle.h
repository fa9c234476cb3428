/* tests/model_oracle.h - the decoder once more, in double and as plainly as can be: one document, one head, one
 * position at a time. It shares no code with model/ and ops/ but the names of the weights. */
#ifndef PAWL_TESTS_MODEL_ORACLE_H
#define PAWL_TESTS_MODEL_ORACLE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/decoder.h"

enum { ORACLE_TOKENS = 32, ORACLE_SIZE = 96, ORACLE_VOCAB = 64 };

typedef struct oracle {
    const pawl_model *m;
    const double *flat;
} oracle;

/* The numbers of layer l's tensor of that name (l < 0: outside the layers), or NULL. */
static const double *oracle_weight(const oracle *o, int64_t l, const char *name)
{
    char full[PAWL_NAME_MAX];
    if (l < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "model.layers.%d.%s", (int)l, name);
    for (int i = 0; i < o->m->count; i++)
        if (strcmp(o->m->weights[i].name, full) == 0) return o->flat + o->m->weights[i].first;
    return NULL;
}

static void oracle_norm(const double *x, const double *w, int64_t n, double eps, double *y)
{
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += x[i] * x[i];
    for (int64_t i = 0; i < n; i++) y[i] = w[i] * x[i] / sqrt(squares / (double)n + eps);
}

static void oracle_linear(const double *x, const double *w, const double *bias, int64_t in, int64_t out, double *y)
{
    for (int64_t o = 0; o < out; o++) {
        y[o] = bias ? bias[o] : 0;
        for (int64_t i = 0; i < in; i++) y[o] += w[o * in + i] * x[i];
    }
}

static double oracle_frequency(const pawl_model_config *c, int64_t pair)
{
    const double plain = pow(c->rope_theta, -2.0 * (double)pair / (double)c->head_dim), wave = 2 * M_PI / plain;
    const pawl_rope_config *r = &c->rope_scaling.value;
    if (!c->rope_scaling.present) return plain;
    if (strcmp(pawl_rope_types[r->rope_type], "linear") == 0) return plain / r->factor;
    const double old = (double)r->original_max_position_embeddings, lo = r->low_freq_factor, hi = r->high_freq_factor;
    double keep = (old / wave - lo) / (hi - lo); /* clamped to [0, 1], this is all three cases of llama3 */
    keep = keep < 0 ? 0 : keep > 1 ? 1 : keep;
    return keep * plain + (1 - keep) * plain / r->factor;
}

static void oracle_rotate(const pawl_model_config *c, double *head, int64_t position)
{
    const int64_t half = c->head_dim / 2;
    for (int64_t i = 0; i < half; i++) {
        const double angle = (double)position * oracle_frequency(c, i), a = head[i], b = head[i + half];
        head[i] = a * cos(angle) - b * sin(angle);
        head[i + half] = b * cos(angle) + a * sin(angle);
    }
}

/* Heads of one position: projected, normed if the model does that, rotated. */
static void oracle_heads(const oracle *o, int64_t l, const double *x, char which, int64_t heads, int64_t position,
                         double *y)
{
    const pawl_model_config *c = &o->m->config;
    char weight[64], bias[64], norm[64];
    snprintf(weight, sizeof weight, "self_attn.%c_proj.weight", which);
    snprintf(bias, sizeof bias, "self_attn.%c_proj.bias", which);
    snprintf(norm, sizeof norm, "self_attn.%c_norm.weight", which);
    oracle_linear(x, oracle_weight(o, l, weight), oracle_weight(o, l, bias), c->hidden_size, heads * c->head_dim, y);
    for (int64_t h = 0; h < heads; h++) {
        double *head = y + h * c->head_dim, raw[ORACLE_SIZE];
        memcpy(raw, head, (size_t)c->head_dim * sizeof *raw);
        if (oracle_weight(o, l, norm)) oracle_norm(raw, oracle_weight(o, l, norm), c->head_dim, c->rms_norm_eps, head);
        if (which != 'v') oracle_rotate(c, head, position);
    }
}

static void oracle_attend(const pawl_model_config *c, int64_t window, int64_t n, const double *q,
                          double (*k)[ORACLE_SIZE], double (*v)[ORACLE_SIZE], double *out)
{
    const int64_t K = c->head_dim, shared = c->num_attention_heads / c->num_key_value_heads;
    for (int64_t h = 0; h < c->num_attention_heads; h++) {
        const int64_t g = h / shared;
        double total = 0, weight[ORACLE_TOKENS];
        memset(out + h * K, 0, (size_t)K * sizeof *out);
        for (int64_t j = 0; j <= n; j++) {
            double score = 0;
            for (int64_t i = 0; i < K; i++) score += q[h * K + i] * k[j][g * K + i];
            weight[j] = window && n - j >= window ? 0 : exp(score / sqrt((double)K));
            total += weight[j];
        }
        for (int64_t j = 0; j <= n; j++)
            for (int64_t i = 0; i < K; i++) out[h * K + i] += weight[j] / total * v[j][g * K + i];
    }
}

static void oracle_layer(const oracle *o, int64_t l, int64_t tokens, double (*x)[ORACLE_SIZE])
{
    const pawl_model_config *c = &o->m->config;
    const int64_t D = c->hidden_size, F = c->intermediate_size, H = c->num_attention_heads, G = c->num_key_value_heads;
    double q[ORACLE_TOKENS][ORACLE_SIZE], k[ORACLE_TOKENS][ORACLE_SIZE], v[ORACLE_TOKENS][ORACLE_SIZE];
    double y[ORACLE_SIZE], z[ORACLE_SIZE], gate[ORACLE_SIZE], up[ORACLE_SIZE];
    for (int64_t n = 0; n < tokens; n++) {
        oracle_norm(x[n], oracle_weight(o, l, "input_layernorm.weight"), D, c->rms_norm_eps, y);
        oracle_heads(o, l, y, 'q', H, n, q[n]);
        oracle_heads(o, l, y, 'k', G, n, k[n]);
        oracle_heads(o, l, y, 'v', G, n, v[n]);
    }
    for (int64_t n = 0; n < tokens; n++) {
        oracle_attend(c, o->m->windows[l], n, q[n], k, v, y);
        oracle_linear(y, oracle_weight(o, l, "self_attn.o_proj.weight"), oracle_weight(o, l, "self_attn.o_proj.bias"),
                      H * c->head_dim, D, z);
        for (int64_t i = 0; i < D; i++) x[n][i] += z[i];
        oracle_norm(x[n], oracle_weight(o, l, "post_attention_layernorm.weight"), D, c->rms_norm_eps, y);
        oracle_linear(y, oracle_weight(o, l, "mlp.gate_proj.weight"), oracle_weight(o, l, "mlp.gate_proj.bias"), D, F,
                      gate);
        oracle_linear(y, oracle_weight(o, l, "mlp.up_proj.weight"), oracle_weight(o, l, "mlp.up_proj.bias"), D, F, up);
        for (int64_t i = 0; i < F; i++) gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
        oracle_linear(gate, oracle_weight(o, l, "mlp.down_proj.weight"), oracle_weight(o, l, "mlp.down_proj.bias"), F,
                      D, z);
        for (int64_t i = 0; i < D; i++) x[n][i] += z[i];
    }
}

/* One document alone: the loss of each position (0 where its target is -100), returning their sum. */
static double oracle_document(const oracle *o, const int32_t *ids, const int32_t *targets, int64_t tokens,
                              double *losses)
{
    const pawl_model_config *c = &o->m->config;
    const int64_t D = c->hidden_size, V = c->vocab_size;
    const double *embed = oracle_weight(o, -1, "model.embed_tokens.weight"),
                 *head = oracle_weight(o, -1, "lm_head.weight");
    double x[ORACLE_TOKENS][ORACLE_SIZE], y[ORACLE_SIZE], logits[ORACLE_VOCAB], sum = 0;
    for (int64_t n = 0; n < tokens; n++) memcpy(x[n], embed + ids[n] * D, (size_t)D * sizeof **x);
    for (int64_t l = 0; l < c->num_hidden_layers; l++) oracle_layer(o, l, tokens, x);
    for (int64_t n = 0; n < tokens; n++) {
        double total = 0;
        losses[n] = 0;
        if (targets[n] < 0) continue;
        oracle_norm(x[n], oracle_weight(o, -1, "model.norm.weight"), D, c->rms_norm_eps, y);
        oracle_linear(y, head ? head : embed, NULL, D, V, logits);
        for (int64_t i = 0; i < V; i++) total += exp(logits[i]);
        losses[n] = log(total) - logits[targets[n]];
        sum += losses[n];
    }
    return sum;
}

/* A batch, document by document. */
static double oracle_batch(const oracle *o, const pawl_batch *b, double *losses)
{
    const int64_t N = b->rows * b->tokens;
    double sum = 0;
    for (int64_t n = 0, end; n < N; n = end) {
        for (end = n + 1; end < N && b->starts[end] == n; end++) continue;
        sum += oracle_document(o, b->ids + n, b->targets + n, end - n, losses + n);
    }
    return sum;
}

#endif
