/* trainer/continual/drift.h - how far the model has gone from what it was at the run's start, on held-out texts.
 *
 * KL(parent || model) in nats per token, a mean over the trained tokens of `rows` held-out rows of a domain, evenly
 * spread. The parent is the model of the run's start. Of it no weights are kept, but what it said of those rows: the
 * top_k likeliest tokens of every position with their log-probabilities. What they leave is one bin, in it and in the
 * model (ops/soft_rule.h, temperature 1). Over k + 1 bins the divergence is at most that over all tokens, and with
 * top_k of the vocabulary's size it is that one. Source: Shenfeld et al. 2025 (forgetting follows this divergence); the
 * bins: data processing inequality (Cover & Thomas 2006, 2.8). */
#ifndef PAWL_TRAINER_CONTINUAL_DRIFT_H
#define PAWL_TRAINER_CONTINUAL_DRIFT_H

#include "core/fields.h"
#include "core/state.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define PAWL_DRIFT_FIELDS(F)                                                                                                   \
    F(i64, rows,  "16", 1, 1e9, "rows",   FIXED, "held-out rows of a domain that are compared, evenly spread over them")          \
    F(i64, top_k, "32", 1, 1e6, "tokens", FIXED, "likeliest tokens of the parent that are compared; the others are one bin, so the figure is a lower bound; at least the vocabulary: exact")
/* clang-format on */
typedef struct pawl_drift_config {
    PAWL_DRIFT_FIELDS(PAWL_MEMBER_F)
} pawl_drift_config;
extern const pawl_field pawl_drift_rows[];

/* What this rank keeps: of the rows that it computes in an evaluation. */
typedef struct pawl_drift pawl_drift;
struct pawl_parts;
struct pawl_evaluator;
struct pawl_pass;
struct pawl_score;

/* For the plan, on the rank that p->comm says; 0 without parent_kl. */
size_t pawl_drift_bytes(const struct pawl_parts *p);
/* Tokens of a position that are recorded; 0 without parent_kl. */
int64_t pawl_drift_bins(const struct pawl_parts *p);
/* *out NULL without parent_kl. Local. Errors: EDATA when no text is held out. */
PAWL_MUST pawl_status pawl_drift_open(const struct pawl_parts *p, pawl_drift **out);
void pawl_drift_close(pawl_drift *d);
/* Appends what is recorded, "parent_kl/N/ids" and "parent_kl/N/logp" for the N-th held-out domain, as ranges: a
 * checkpoint on any number of ranks is the same, and is read by any. */
PAWL_MUST pawl_status pawl_drift_state(const pawl_drift *d, pawl_state *out);
/* Records what the model says now. A stop is taken up behind it, never in it. Collective. */
PAWL_MUST pawl_status pawl_drift_record(pawl_drift *d, struct pawl_evaluator *e, const struct pawl_pass *of);
/* Sets kl and kl_tokens of every domain that has texts, the same on all ranks and for any number of them. Collective.
 */
PAWL_MUST pawl_status pawl_drift_measure(pawl_drift *d, struct pawl_evaluator *e, const struct pawl_pass *of,
                                         struct pawl_score *scores, int *stopped);

#ifdef __cplusplus
}
#endif
#endif
