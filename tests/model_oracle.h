/* tests/model_oracle.h - the decoder once more, in double and as plainly as can be: one document, one head, one
 * position at a time. It shares nothing with model/ and ops/ but the places of the weights. */
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

/* The numbers that begin at a slot of layer l (l < 0: outside the layers), or NULL. */
static const double *oracle_weight(const oracle *o, int64_t l, pawl_slot s)
{
    const int64_t at = l < 0 ? o->m->outer.at[s] : o->m->layers[l].at[s];
    return at < 0 ? NULL : o->flat + at;
}

/* Root-mean-square, or with a bias (not NULL) about the mean. */
static void oracle_norm(const double *x, const double *w, const double *bias, int64_t n, double eps, double *y)
{
    double squares = 0, mean = 0;
    for (int64_t i = 0; bias && i < n; i++) mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    for (int64_t i = 0; i < n; i++)
        y[i] = w[i] * (x[i] - mean) / sqrt(squares / (double)n + eps) + (bias ? bias[i] : 0);
}

static void oracle_linear(const double *x, const double *w, const double *bias, int64_t in, int64_t out, double *y)
{
    for (int64_t o = 0; o < out; o++) {
        y[o] = bias ? bias[o] : 0;
        for (int64_t i = 0; i < in; i++) y[o] += w[o * in + i] * x[i];
    }
}

/* YaRN, as its paper has it: r turns of the pair's wave in the old context; slowed below beta_slow, kept above
 * beta_fast. The ramp runs over pairs, not over r. */
static double oracle_yarn(const pawl_model_config *c, int64_t pair, double plain)
{
    const pawl_rope_config *r = &c->rope_scaling.value;
    const double old = (double)r->original_max_position_embeddings, K = (double)c->head_dim;
    const double lo = K / 2 * log(old / (2 * M_PI * r->beta_fast)) / log(c->rope_theta);
    const double hi = K / 2 * log(old / (2 * M_PI * r->beta_slow)) / log(c->rope_theta);
    const double from = fmax(floor(lo), 0), to = fmin(ceil(hi), K - 1);
    const double slowed = fmin(fmax(((double)pair - from) / (to - from), 0), 1);
    return plain * (1 - slowed) + plain / r->factor * slowed;
}

static double oracle_frequency(const pawl_model_config *c, int64_t pair, int64_t tokens)
{
    const double plain = pow(c->rope_theta, -2.0 * (double)pair / (double)c->head_dim), wave = 2 * M_PI / plain;
    const pawl_rope_config *r = &c->rope_scaling.value;
    if (!c->rope_scaling.present) return plain;
    const char *type = pawl_rope_types[r->rope_type];
    if (strcmp(type, "linear") == 0) return plain / r->factor;
    if (strcmp(type, "yarn") == 0) return oracle_yarn(c, pair, plain);
    if (strcmp(type, "longrope") == 0)
        return plain / atof(tokens > r->original_max_position_embeddings ? r->long_factor.items[pair]
                                                                         : r->short_factor.items[pair]);
    const double old = (double)r->original_max_position_embeddings, lo = r->low_freq_factor, hi = r->high_freq_factor;
    double keep = (old / wave - lo) / (hi - lo); /* clamped to [0, 1], this is all three cases of llama3 */
    keep = keep < 0 ? 0 : keep > 1 ? 1 : keep;
    return keep * plain + (1 - keep) * plain / r->factor;
}

/* What rotated heads are lengthened by. */
static double oracle_stretch(const pawl_model_config *c)
{
    const pawl_rope_config *r = &c->rope_scaling.value;
    const char *type = c->rope_scaling.present ? pawl_rope_types[r->rope_type] : "default";
    if (strcmp(type, "yarn") == 0) return 1 + 0.1 * log(r->factor);
    if (strcmp(type, "longrope") == 0)
        return sqrt(1 + log(r->factor) / log((double)r->original_max_position_embeddings));
    return 1;
}

/* tokens: of the document. */
static void oracle_rotate(const pawl_model_config *c, double *head, int64_t position, int64_t tokens)
{
    const int64_t half = c->head_dim / 2;
    for (int64_t i = 0; i < half; i++) {
        const double angle = (double)position * oracle_frequency(c, i, tokens), a = head[i], b = head[i + half];
        head[i] = (a * cos(angle) - b * sin(angle)) * oracle_stretch(c);
        head[i + half] = (b * cos(angle) + a * sin(angle)) * oracle_stretch(c);
    }
}

/* All of one position's q, k and v, one behind the other: projected, normed if the model does that, rotated. */
static void oracle_heads(const oracle *o, int64_t l, const double *x, int64_t position, int64_t tokens, double *y)
{
    const pawl_model_config *c = &o->m->config;
    const int64_t H = c->num_attention_heads, G = c->num_key_value_heads, K = c->head_dim;
    const double *q_norm = oracle_weight(o, l, PAWL_Q_NORM), *k_norm = oracle_weight(o, l, PAWL_K_NORM);
    oracle_linear(x, oracle_weight(o, l, PAWL_Q), oracle_weight(o, l, PAWL_Q_BIAS), c->hidden_size, (H + 2 * G) * K, y);
    for (int64_t h = 0; h < H + G; h++) {
        double *head = y + h * K, raw[ORACLE_SIZE];
        memcpy(raw, head, (size_t)K * sizeof *raw);
        if (q_norm) oracle_norm(raw, h < H ? q_norm : k_norm, NULL, K, c->rms_norm_eps, head);
        if (o->m->outer.at[PAWL_POSITIONS] < 0) oracle_rotate(c, head, position, tokens);
    }
}

/* qkv [tokens][(H+2G) K] */
static void oracle_attend(const pawl_model_config *c, int64_t l, int64_t window, int64_t n, double (*qkv)[ORACLE_SIZE],
                          double *out)
{
    const int64_t H = c->num_attention_heads, G = c->num_key_value_heads, K = c->head_dim;
    double scale = c->scale_attn_weights ? 1 / sqrt((double)K) : 1;
    if (c->scale_attn_by_inverse_layer_idx) scale /= (double)(l + 1);
    for (int64_t h = 0; h < H; h++) {
        const int64_t g = h / (H / G);
        double total = 0, weight[ORACLE_TOKENS];
        memset(out + h * K, 0, (size_t)K * sizeof *out);
        for (int64_t j = 0; j <= n; j++) {
            double score = 0;
            for (int64_t i = 0; i < K; i++) score += qkv[n][h * K + i] * qkv[j][(H + g) * K + i];
            weight[j] = window && n - j >= window ? 0 : exp(score * scale);
            total += weight[j];
        }
        for (int64_t j = 0; j <= n; j++)
            for (int64_t i = 0; i < K; i++) out[h * K + i] += weight[j] / total * qkv[j][(H + G + g) * K + i];
    }
}

/* What goes into the last product, from what came out of the first. */
static double oracle_act(const pawl_model *m, const double *up, int64_t F, int64_t i)
{
    const double x = up[i];
    if (!(m->has & PAWL_UNGATED)) return x / (1 + exp(-x)) * up[F + i];
    if (strcmp(pawl_hidden_activations[m->config.hidden_act], "gelu") == 0) return x * 0.5 * erfc(-x / sqrt(2));
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static void oracle_layer(const oracle *o, int64_t l, int64_t tokens, double (*x)[ORACLE_SIZE])
{
    const pawl_model_config *c = &o->m->config;
    const int64_t D = c->hidden_size, F = c->intermediate_size, HK = c->num_attention_heads * c->head_dim;
    double qkv[ORACLE_TOKENS][ORACLE_SIZE], y[ORACLE_SIZE], z[ORACLE_SIZE], up[ORACLE_SIZE], act[ORACLE_SIZE];
    for (int64_t n = 0; n < tokens; n++) {
        oracle_norm(x[n], oracle_weight(o, l, PAWL_ATTENTION_NORM), oracle_weight(o, l, PAWL_ATTENTION_NORM_BIAS), D,
                    c->rms_norm_eps, y);
        oracle_heads(o, l, y, n, tokens, qkv[n]);
    }
    for (int64_t n = 0; n < tokens; n++) {
        oracle_attend(c, l, o->m->windows[l], n, qkv, y);
        oracle_linear(y, oracle_weight(o, l, PAWL_O), oracle_weight(o, l, PAWL_O_BIASES), HK, D, z);
        for (int64_t i = 0; i < D; i++) x[n][i] += z[i];
        oracle_norm(x[n], oracle_weight(o, l, PAWL_MLP_NORM), oracle_weight(o, l, PAWL_MLP_NORM_BIAS), D,
                    c->rms_norm_eps, y);
        oracle_linear(y, oracle_weight(o, l, PAWL_GATE), oracle_weight(o, l, PAWL_GATE_BIAS), D,
                      o->m->has & PAWL_UNGATED ? F : 2 * F, up);
        for (int64_t i = 0; i < F; i++) act[i] = oracle_act(o->m, up, F, i);
        oracle_linear(act, oracle_weight(o, l, PAWL_DOWN), oracle_weight(o, l, PAWL_DOWN_BIAS), F, D, z);
        for (int64_t i = 0; i < D; i++) x[n][i] += z[i];
    }
}

/* One document alone: the loss of each position (0 where its target is -100), returning their sum. */
static double oracle_document(const oracle *o, const int32_t *ids, const int32_t *targets, int64_t tokens,
                              double *losses)
{
    const pawl_model_config *c = &o->m->config;
    const int64_t D = c->hidden_size, V = c->vocab_size;
    const double *embed = oracle_weight(o, -1, PAWL_EMBED), *head = oracle_weight(o, -1, PAWL_HEAD),
                 *positions = oracle_weight(o, -1, PAWL_POSITIONS);
    double x[ORACLE_TOKENS][ORACLE_SIZE], y[ORACLE_SIZE], logits[ORACLE_VOCAB], sum = 0;
    for (int64_t n = 0; n < tokens; n++)
        for (int64_t i = 0; i < D; i++) x[n][i] = embed[ids[n] * D + i] + (positions ? positions[n * D + i] : 0);
    for (int64_t l = 0; l < c->num_hidden_layers; l++) oracle_layer(o, l, tokens, x);
    for (int64_t n = 0; n < tokens; n++) {
        double total = 0;
        losses[n] = 0;
        if (targets[n] < 0) continue;
        oracle_norm(x[n], oracle_weight(o, -1, PAWL_FINAL_NORM), oracle_weight(o, -1, PAWL_FINAL_NORM_BIAS), D,
                    c->rms_norm_eps, y);
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
