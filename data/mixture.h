/* data/mixture.h - what pawl_data is made of: the datasets of a run, mapped. */
#ifndef PAWL_DATA_MIXTURE_H
#define PAWL_DATA_MIXTURE_H

#include "data/prepared.h"

typedef struct pawl_dataset {
    pawl_dataset_config config;
    char domain[64];
    pawl_prepared prepared;
    int held_out_domain; /* index among held-out domains; -1: it has no such rows, or ... */
    int repeats;         /* ... an entry before it has the same documents under the same name */
    int64_t epoch_first; /* its rows in an epoch of the mixture are epoch_first + [0, epoch_rows) */
    int64_t epoch_rows;
    int64_t leaked; /* of its held-out documents, those that some dataset learns from too */
} pawl_dataset;

/* Datasets [first, end), and their rows in an epoch. */
typedef struct pawl_mixture {
    int first, end;
    int64_t epoch_rows;
} pawl_mixture;

struct pawl_data {
    int64_t sequence_len;
    int packed;
    uint64_t seed;
    int learnt; /* the first so many of datasets are learnt or general, the others only measured */
    int count;
    pawl_dataset *datasets;
    pawl_mixture mixtures[PAWL_MIXTURES_MAX];
    int mixture_count;
    int held_out_domains;
};

/* Of a dataset of type choices; of others 0. */
int64_t pawl_dataset_questions(const pawl_dataset *s);

/* A row of a dataset, found. */
typedef struct pawl_row_view {
    const pawl_dataset *dataset;
    const pawl_segment *segments;
    int64_t count;
} pawl_row_view;

pawl_row_view pawl_row_find(const pawl_data *d, pawl_part part, pawl_row r);

/* "file.jsonl:12", or "file.txt" for a whole file: where a document stands, cut to room. */
void pawl_place_of(const pawl_dataset *s, int64_t document, char *out, size_t room);

/* Fills epoch_first, epoch_rows and the mixtures'. Errors: EDATA for a dataset that gives no row. */
PAWL_MUST pawl_status pawl_mixture_plan(pawl_data *d);

#endif
