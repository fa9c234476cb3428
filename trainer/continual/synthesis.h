/* trainer/continual/synthesis.h - self-synthesised replay: rows that the model a run begins with writes itself, where the data it has
 * learnt may not be kept.
 *
 * Before the first step, row i begins with recorded prompt i mod n and goes on with tokens that the model says: greedily, or drawn as a
 * function of (seed, i, position). So it is a pure function of model, prompts and settings; rank r of P writes the rows with i mod P = r, and all
 * get all of them. They enter the memory as a domain of their own. What is learnt of them are the tokens that were written, and the end.
 * Sources: Sun et al. 2020 (LAMOL); Huang et al. 2024 (SSR), of which this is the generation from the model itself. */
#ifndef PAWL_TRAINER_CONTINUAL_SYNTHESIS_H
#define PAWL_TRAINER_CONTINUAL_SYNTHESIS_H

#include "core/arena.h"
#include "core/fields.h"

/* clang-format off */
#define PAWL_SYNTHESIS_FIELDS(F, T, N)                                                                                         \
    T(prompts,  "", 1024, FIXED, "recorded prompts: a file, folder or pattern of rows with a prompt (a text, or messages) or messages; row i begins with prompt i, over and over; empty: as a text begins") \
    F(i64, rows,       "200", 1, 1e9, "rows",   FIXED, "rows that are written; those that end at once are left out")            \
    F(i64, max_tokens, "0",   0, 1e7, "tokens", FIXED, "tokens behind a prompt, at most; 0: as many as sequence_len leaves")      \
    F(f64, temperature, "1",  0, 100, "",       FIXED, "of the drawing; 0: the likeliest token always")                          \
    F(f64, top_p,      "1",   0, 1,   "",       FIXED, "share of probability that is drawn from")                                \
    N(i64, seed, 0, 9007199254740991, "",       FIXED, "of the drawing; null: the run's")                                        \
    F(flag, train_on_prompts, "false", 0, 1, "", FIXED, "learn the prompts too, not only what was written")                      \
    T(domain,   "synthetic", 64, FIXED, "the domain of these rows in the memory")                                                \
    T(license,  "", 64, FIXED, "SPDX identifier that these rows carry")
/* clang-format on */
typedef struct pawl_synthesis_config {
    PAWL_SYNTHESIS_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_T, PAWL_MEMBER_N)
} pawl_synthesis_config;
extern const pawl_field pawl_synthesis_rows[];

struct pawl_trainer;
struct pawl_parts;
/* The run's rows are written by its model as it is now and enter the memory; lineage and metrics say so. *stopped = 1, and the memory is as it
 * was, when a rank was asked to stop. Nothing where synthesis is off. Collective. Errors: EDATA when every row ended at once; EMEM. */
PAWL_MUST pawl_status pawl_synthesise(struct pawl_trainer *t, int *stopped);
/* The plan: what writing takes on this rank while it lasts. */
pawl_room pawl_synthesis_bytes(const struct pawl_parts *p);

#endif
