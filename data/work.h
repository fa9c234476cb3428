/* data/work.h - one rank's share of preparing: its units, one after the other. */
#ifndef PAWL_DATA_WORK_H
#define PAWL_DATA_WORK_H

#include "data/unit.h"

typedef struct pawl_share {
    int rank;        /* names the files */
    int turn, turns; /* units turn, turn + turns, ... are its own */
} pawl_share;

/* What ended a rank's work before its last unit. */
typedef struct pawl_work_failure {
    int64_t unit; /* INT64_MAX: nothing did */
    int too_many; /* more bad rows than may be skipped: what they are stands in the files */
    pawl_status status;
    pawl_error error;
} pawl_work_failure;

/* Local. Does the share and writes it into dir; ends early when pawl_stop_asked, or when another rank has failed in a
 * unit before the next one here. */
void pawl_work(const pawl_recipe *r, const pawl_units *units, const pawl_share *share, const char *dir,
               pawl_work_failure *out);

#endif
