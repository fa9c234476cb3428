/* trainer/continual/shown.h - which rows a stage has shown: a function of counters, found again when the stage ends. */
#ifndef PAWL_TRAINER_CONTINUAL_SHOWN_H
#define PAWL_TRAINER_CONTINUAL_SHOWN_H

#include "trainer/continual/memory.h"

/* Every training row of the run has a number: that of its dataset's rows behind those of the datasets before. */
int64_t pawl_row_number(const pawl_data *d, pawl_row r);
/* How many there are: a place for each row's last loss, for policy loss (f32, part of a run's state; 0: not trained on yet). */
int64_t pawl_row_numbers(const pawl_data *d);

/* Row `at` of a stage's new rows: pawl_data_row_at. */
typedef pawl_row pawl_row_of(const pawl_data *d, int stage, int64_t at);

typedef struct pawl_shown {
    pawl_seen seen; /* for pawl_memory_absorb */
    uint8_t *bits;  /* [rows of the datasets]; NULL: all */
    int64_t base;   /* number of the first of them */
    const float *losses;
} pawl_shown;
/* The first `consumed` new rows of a stage of datasets [first, end); row_at NULL: all of their rows (general data). losses: a token's
 * in the mean, [pawl_row_numbers]; NULL: none is known, and every row counts alike. Local. Errors: EMEM. */
PAWL_MUST pawl_status pawl_shown_open(const pawl_data *d, int first, int end, pawl_row_of *row_at, int stage, int64_t consumed,
                                      const float *losses, pawl_shown *out);
void pawl_shown_close(pawl_shown *s);

#endif
