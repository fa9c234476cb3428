/* trainer/continual/replay.h - the configuration of the memory and of what is drawn from it. */
#ifndef PAWL_TRAINER_CONTINUAL_REPLAY_H
#define PAWL_TRAINER_CONTINUAL_REPLAY_H

#include "core/fields.h"

typedef enum pawl_balance { PAWL_BALANCE_DOMAIN, PAWL_BALANCE_STREAM } pawl_balance;
typedef enum pawl_policy { PAWL_POLICY_UNIFORM, PAWL_POLICY_WEIGHTED, PAWL_POLICY_LOSS } pawl_policy;
typedef enum pawl_storage { PAWL_STORAGE_RAM, PAWL_STORAGE_DISK } pawl_storage;
typedef enum pawl_replay_place { PAWL_REPLAY_REPLACE, PAWL_REPLAY_ADD } pawl_replay_place;
extern const char *const pawl_balance_names[], *const pawl_policy_names[], *const pawl_storage_names[], *const pawl_replay_place_names[];

enum { PAWL_REPLAY_DOMAINS_MAX = 64 };

/* clang-format off */
#define PAWL_REPLAY_DOMAIN_FIELDS(F, T)                                                                                        \
    T(name,     NULL, 64, FIXED, "the domain")                                                                                 \
    F(i64, capacity, "-1", -1, 1e12, "rows", FIXED, "rows of it that are kept; -1: an equal share of what is left")            \
    F(f64, weight,   "1", 0, 1e6, "", FIXED, "how often it is drawn, beside the others' 1")

#define PAWL_REPLAY_FIELDS(F, C, T, L)                                                                                         \
    T(ratio,    "0.25", 16, FIXED, "share of a step's rows that come from the memory, below 1; auto: the least that holds budget")  \
    F(f64, budget,   "0.05", 0, 100, "nats/token", FIXED, "ratio auto: the rise of the worst earlier domain's loss that is allowed") \
    F(i64, capacity, "2000", 1, 1e12, "rows", FIXED, "rows that the memory holds, all domains together")                       \
    C(balance,  "domain", pawl_balance_names, FIXED, "domain: equal room for each, and each is drawn as often; stream: one sample of all that was seen") \
    C(policy,   "uniform", pawl_policy_names, FIXED, "which rows stay: any alike; by their trained tokens (weighted); by their loss when last seen (loss)") \
    L(domains,  pawl_replay_domain, PAWL_REPLAY_DOMAINS_MAX, pawl_replay_domain_rows, FIXED, "room and weight of single domains, for balance: domain") \
    C(storage,  "ram", pawl_storage_names, FREE, "where a rank keeps its rows: in memory, or in a mapped file in output_dir, which may be larger") \
    C(rows,     "replace", pawl_replay_place_names, FIXED, "drawn rows take the places of new ones (replace), or come on top (add)")
/* clang-format on */

typedef struct pawl_replay_domain { PAWL_REPLAY_DOMAIN_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_T) } pawl_replay_domain;
extern const pawl_field pawl_replay_domain_rows[];
typedef struct pawl_replay_config {
    PAWL_REPLAY_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T, PAWL_MEMBER_L)
} pawl_replay_config;
extern const pawl_field pawl_replay_rows[];

/* ratio as a number; PAWL_RATIO_AUTO for auto, -2 for what is neither a number in [0, 1) nor auto. */
#define PAWL_RATIO_AUTO (-1.0)
double pawl_replay_ratio(const pawl_replay_config *r);
/* Errors: EUSAGE: a ratio that is none, capacities of domains above the capacity, a domain twice, domains with balance: stream. */
PAWL_MUST pawl_status pawl_replay_check(const pawl_replay_config *r);

#endif
