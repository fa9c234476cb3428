/* tests/data_case.h - a scratch folder with data files, and a configuration that names them. */
#ifndef PAWL_TESTS_DATA_CASE_H
#define PAWL_TESTS_DATA_CASE_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "data/data.h"

typedef struct data_case {
    char dir[64];
    pawl_data_config cfg;
    pawl_tokenizer *tokenizer;
} data_case;

static inline void must(pawl_status s)
{
    if (s == PAWL_OK) return;
    fprintf(stderr, "test set-up: %s\n", pawl_last_error()->what);
    abort();
}

/* A folder of that name, shared by ranks when they pass the same one. */
static inline void data_case_open_at(data_case *k, const char *dir, int64_t sequence_len)
{
    memset(k, 0, sizeof *k);
    snprintf(k->dir, sizeof k->dir, "%s", dir);
    pawl_fields_default(pawl_data_rows, &k->cfg);
    k->cfg.sequence_len = sequence_len;
    snprintf(k->cfg.dataset_prepared_path, sizeof k->cfg.dataset_prepared_path, "%s/cache", dir);
    must(pawl_tokenizer_open("bytes", &k->tokenizer));
}

static inline void data_case_open(data_case *k, int64_t sequence_len)
{
    char dir[] = "/tmp/pawl-data-XXXXXX";
    if (!mkdtemp(dir)) abort();
    data_case_open_at(k, dir, sequence_len);
}

static inline void data_case_close(data_case *k)
{
    pawl_tokenizer_close(k->tokenizer);
    must(pawl_dir_remove(k->dir));
}

static inline void put_bytes(const data_case *k, const char *name, const void *data, size_t bytes)
{
    char path[PATH_MAX], dir[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", k->dir, name);
    snprintf(dir, sizeof dir, "%s", path);
    *strrchr(dir, '/') = 0;
    must(pawl_dir_make(dir));
    must(pawl_file_replace(path, data, bytes));
}

static inline void put(const data_case *k, const char *name, const char *text)
{
    put_bytes(k, name, text, strlen(text));
}

static inline pawl_dataset_config *name_dataset(const data_case *k, pawl_dataset_config *d, const char *name)
{
    pawl_fields_default(pawl_dataset_rows, d);
    must(pawl_path_join(d->path, sizeof d->path, k->dir, name));
    return d;
}

static inline pawl_dataset_config *learn(data_case *k, const char *name)
{
    return name_dataset(k, &k->cfg.datasets.items[k->cfg.datasets.count++], name);
}

static inline pawl_dataset_config *measure(data_case *k, const char *name)
{
    return name_dataset(k, &k->cfg.test_datasets.items[k->cfg.test_datasets.count++], name);
}

static inline pawl_status open_on(pawl_comm *c, const data_case *k, pawl_data **out, int *stopped)
{
    const pawl_data_inputs in = {.config = &k->cfg, .tokenizer = k->tokenizer, .seed = 7};
    return pawl_data_open(c, &in, out, stopped);
}

/* Opens with a communicator of one rank. */
static inline pawl_status open_alone(const data_case *k, pawl_data **out)
{
    pawl_comm *c;
    int stopped;
    must(pawl_comm_open_alone(&c));
    const pawl_status s = open_on(c, k, out, &stopped);
    pawl_comm_close(c);
    return s;
}

/* A batch with room for rows x tokens. */
static inline void batch_open(pawl_arena *a, pawl_batch *b, int64_t rows, int64_t tokens)
{
    *a = (pawl_arena){.name = "batch"};
    pawl_batch_lay_out(a, b, rows, tokens);
    must(pawl_arena_open(a));
    pawl_batch_lay_out(a, b, rows, tokens);
}

/* The text of the first document in a row, as bytes, without its end. */
static inline void row_text(const pawl_data *d, const pawl_tokenizer *t, pawl_part part, pawl_row r, pawl_text *out)
{
    pawl_arena a;
    pawl_batch b;
    int64_t n = 0;
    batch_open(&a, &b, 1, pawl_slot_tokens(d, part, &r, 1));
    pawl_slot_fill(d, part, &r, 1, &b);
    while (n < b.tokens && b.starts[n] == 0) n++;
    pawl_text_add_bytes(out, "", 0);
    must(pawl_decode(t, b.ids, n, 1, out));
    pawl_arena_close(&a);
}

#endif
