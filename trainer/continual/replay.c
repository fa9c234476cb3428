#include "trainer/continual/replay.h"

#include <string.h>

const char *const pawl_balance_names[] = {"domain", "stream", NULL};
const char *const pawl_policy_names[] = {"uniform", "weighted", "loss", NULL};
const char *const pawl_storage_names[] = {"ram", "disk", NULL};
const char *const pawl_replay_place_names[] = {"replace", "add", NULL};

#define PAWL_SECTION pawl_replay_domain
const pawl_field pawl_replay_domain_rows[] = {PAWL_REPLAY_DOMAIN_FIELDS(PAWL_ROW_F, PAWL_ROW_T) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_replay_config
const pawl_field pawl_replay_rows[] = {PAWL_REPLAY_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T, PAWL_ROW_L) PAWL_ROW_END};
#undef PAWL_SECTION

double pawl_replay_ratio(const pawl_replay_config *r)
{
    double x;
    if (strcmp(r->ratio, "auto") == 0) return PAWL_RATIO_AUTO;
    return pawl_parse_f64(r->ratio, &x) && x >= 0 && x < 1 ? x : -2;
}

pawl_status pawl_replay_check(const pawl_replay_config *r)
{
    int64_t own = 0;
    PAWL_CHECK(pawl_replay_ratio(r) > -2, PAWL_EUSAGE, "replay.ratio: expected auto or a number in [0, 1), found '%s'", r->ratio);
    PAWL_CHECK(r->domains.count == 0 || r->balance == PAWL_BALANCE_DOMAIN, PAWL_EUSAGE,
               "replay.domains gives domains room of their own, which balance: stream does not have; leave one of the two out");
    for (int i = 0; i < r->domains.count; i++) {
        const pawl_replay_domain *d = &r->domains.items[i];
        own += d->capacity > 0 ? d->capacity : 0;
        for (int j = 0; j < i; j++)
            PAWL_CHECK(strcmp(r->domains.items[j].name, d->name) != 0, PAWL_EUSAGE, "replay.domains names '%s' twice", d->name);
    }
    PAWL_CHECK(own <= r->capacity, PAWL_EUSAGE, "replay.domains: their capacities are %lld rows together, replay.capacity is %lld",
               (long long)own, (long long)r->capacity);
    return PAWL_OK;
}
