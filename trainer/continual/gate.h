/* trainer/continual/gate.h - forgetting_budget: how much worse earlier domains may get, and what happens when they do.
 */
#ifndef PAWL_TRAINER_CONTINUAL_GATE_H
#define PAWL_TRAINER_CONTINUAL_GATE_H

#include "core/fields.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pawl_gate_action { PAWL_GATE_FAIL, PAWL_GATE_ROLLBACK, PAWL_GATE_WARN } pawl_gate_action;
typedef enum pawl_gate_baseline { PAWL_BASELINE_LEARNT, PAWL_BASELINE_BEST } pawl_gate_baseline;
extern const char *const pawl_gate_action_names[], *const pawl_gate_baseline_names[];

/* clang-format off */
#define PAWL_BUDGET_FIELDS(N, C)                                                                                               \
    N(f64, mean,     0, 1000, "nats/token", FREE, "what the held-out losses of earlier domains may have risen by, in the mean") \
    N(f64, worst,    0, 1000, "nats/token", FREE, "what that of any one of them may have risen by")                            \
    C(action,   "fail", pawl_gate_action_names, FREE, "at the end of a stage that exceeds it: end the run with exit status 70 (fail); the same, and go back to the best checkpoint, the newest that is within it (rollback); say so and go on (warn)") \
    C(baseline, "learnt", pawl_gate_baseline_names, FREE, "the rise is measured against the loss just after the domain was learnt, or against the best since then; general_data counts as learnt before the first stage")
/* clang-format on */
typedef struct pawl_budget_config {
    PAWL_BUDGET_FIELDS(PAWL_MEMBER_N, PAWL_MEMBER_C)
} pawl_budget_config;
extern const pawl_field pawl_budget_rows[];

/* The verdict on the last finished stage of a lineage: {mean, worst (null: nothing was learnt before), worst_domain,
 * rises {domain: nats}, not_measured [domains], mean_budget, worst_budget (null: none), baseline, action, verdict: "pass" | "exceeded"}. Pure.
 * Errors: EMEM; EDATA when the lineage has no evaluation. */
PAWL_MUST pawl_status pawl_gate_judge(const pawl_budget_config *c, const json_t *lineage, json_t **out);
/* The last verdict in a lineage; NULL. */
json_t *pawl_gate_last(const json_t *lineage);

#ifdef __cplusplus
}
#endif
#endif
