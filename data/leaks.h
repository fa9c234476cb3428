/* data/leaks.h - documents that are both learnt and held out. */
#ifndef PAWL_DATA_LEAKS_H
#define PAWL_DATA_LEAKS_H

#include "data/mixture.h"

/* Local. Counts, for each dataset, those of its held-out documents whose text a dataset that is learnt holds too, and
 * warns of them, naming the first. Memory: about 80 bytes for a held-out document. Ends early when pawl_stop_asked.
 * Errors: EMEM. */
PAWL_MUST pawl_status pawl_leaks_count(pawl_data *d);

#endif
