#include "trainer/continual/continual.h"

#include <stdio.h>
#include <string.h>

#define PAWL_SECTION pawl_stage_config
const pawl_field pawl_stage_rows[] = {PAWL_STAGE_FIELDS(PAWL_ROW_F, PAWL_ROW_T, PAWL_ROW_L, PAWL_ROW_N, PAWL_ROW_D)
                                          PAWL_ROW_END};
#undef PAWL_SECTION

const char *const pawl_fisher_names[] = {"empirical", "true", NULL};
#define PAWL_SECTION pawl_ewc_config
const pawl_field pawl_ewc_rows[] = {PAWL_EWC_FIELDS(PAWL_ROW_F, PAWL_ROW_C) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_si_config
const pawl_field pawl_si_rows[] = {PAWL_SI_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_mas_config
const pawl_field pawl_mas_rows[] = {PAWL_MAS_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_l2sp_config
const pawl_field pawl_l2sp_rows[] = {PAWL_L2SP_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_agem_config
const pawl_field pawl_agem_rows[] = {PAWL_AGEM_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_sfa_config
const pawl_field pawl_sfa_rows[] = {PAWL_SFA_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_wise_config
const pawl_field pawl_wise_rows[] = {PAWL_WISE_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_reptile_config
const pawl_field pawl_reptile_rows[] = {PAWL_REPTILE_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_freeze_config
const pawl_field pawl_freeze_rows[] = {PAWL_FREEZE_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION

#define PAWL_SECTION pawl_continual_config
const pawl_field pawl_continual_rows[] = {PAWL_CONTINUAL_FIELDS(PAWL_ROW_L, PAWL_ROW_R, PAWL_ROW_F, PAWL_ROW_C) PAWL_ROW_END};
#undef PAWL_SECTION

#define SAY(...) snprintf(why, room, __VA_ARGS__)

/* Lengths that a stage states. */
static int lengths_of(const pawl_stage_config *s)
{
    return (s->num_epochs != PAWL_NONE_f64) + (s->max_steps != PAWL_NONE_i64) + (s->max_tokens != PAWL_NONE_i64);
}

static double weight_of(const pawl_stage_config *s)
{
    double weight = 0;
    for (int k = 0; k < s->datasets.count; k++) weight += s->datasets.items[k].weight;
    return weight;
}

static void check_stage(const pawl_continual_config *c, int i, char *why, size_t room)
{
    const pawl_stage_config *s = &c->stages.items[i];
    for (int k = 0; k < i; k++)
        if (strcmp(c->stages.items[k].name, s->name) == 0) {
            SAY("stages.%d.name: expected names that differ, found '%s' twice", i, s->name);
            return;
        }
    if (s->datasets.count == 0)
        SAY("stages.%d.datasets: nothing says what to learn in '%s': expected a list with a path in each item", i,
            s->name);
    else if (weight_of(s) <= 0)
        SAY("stages.%d.datasets: every dataset has weight 0: expected at least one above 0", i);
    else if (lengths_of(s) > 1)
        SAY("stages.%d: expected one of num_epochs, max_steps and max_tokens, found %d of them", i, lengths_of(s));
    else if (s->num_epochs != PAWL_NONE_f64 && s->num_epochs <= 0)
        SAY("stages.%d.num_epochs: expected a number above 0, found %g", i, s->num_epochs);
    else if (pawl_i64_or(s->warmup_steps, 0) > 0 && pawl_f64_or(s->warmup_ratio, 0) > 0)
        SAY("stages.%d: expected warmup_steps or warmup_ratio, found both", i);
    else if (s->replay_ratio != PAWL_NONE_f64 && !c->replay.present)
        SAY("stages.%d.replay_ratio: without replay it would do nothing: add that, or leave it out", i);
    else if (pawl_f64_or(s->replay_ratio, 0) >= 1)
        SAY("stages.%d.replay_ratio: expected a number below 1, found %g", i, s->replay_ratio);
}

void pawl_continual_check(const pawl_continual_config *c, char *why, size_t room)
{
    why[0] = 0;
    for (int i = 0; i < c->stages.count && !why[0]; i++) check_stage(c, i, why, room);
    if (!why[0] && c->der.present && !c->replay.present)
        SAY("der: its rows come from the memory: expected replay beside it (with ratio: 0 where nothing else is replayed)");
    if (!why[0] && c->agem.present && !c->replay.present)
        SAY("agem: its reference rows come from the memory: expected replay beside it (with ratio: 0 where nothing else is replayed)");
    if (!why[0] && c->synthesis.present && !c->replay.present)
        SAY("synthesis: its rows go into the memory: expected replay beside it");
    if (!why[0] && c->synthesis.present && c->synthesis.value.rows > c->replay.value.capacity)
        SAY("synthesis.rows: expected at most the %lld rows that the memory holds (replay.capacity), found %lld", (long long)c->replay.value.capacity,
            (long long)c->synthesis.value.rows);
    if (!why[0] && c->synthesis.present && !c->synthesis.value.domain[0]) SAY("synthesis.domain: expected a name, found ''");
    if (!why[0] && c->replay.present && pawl_replay_check(&c->replay.value) != PAWL_OK)
        SAY("%s", pawl_last_error()->what);
    const pawl_budget_config *b = &c->forgetting_budget.value;
    if (!why[0] && c->forgetting_budget.present && b->mean == PAWL_NONE_f64 && b->worst == PAWL_NONE_f64)
        SAY("forgetting_budget: expected mean or worst or both, in nats per token, found neither");
}
