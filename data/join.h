/* data/join.h - rank 0 joins what the ranks have prepared: in the order of the units, then packed. */
#ifndef PAWL_DATA_JOIN_H
#define PAWL_DATA_JOIN_H

#include "data/unit.h"

/* What the ranks have written into dir: those of takers[0..count), which did the units turn by turn. */
typedef struct pawl_handed_over {
    const pawl_recipe *recipe;
    const pawl_units *units;
    const char *dir;
    const int *takers;
    int count;
} pawl_handed_over;

/* Local. Writes the prepared form and removes what was handed over. Ends early, unsealed, when pawl_stop_asked.
 * Errors: EDATA as pawl_join_refuse; EIO, EMEM. */
PAWL_MUST pawl_status pawl_join(const pawl_handed_over *h);
/* Local. EDATA: there are more bad rows than may be skipped. All of the first few are named in the log, when some may
 * be skipped; a single one is named by the error. */
PAWL_MUST pawl_status pawl_join_refuse(const pawl_handed_over *h);

#endif
