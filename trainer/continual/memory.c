/* A memory's list of rows, and who has which of them. */
#include "trainer/continual/memory_inner.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"

static size_t token_bytes(const pawl_memory_inputs *in)
{
    return in->wide ? sizeof(uint32_t) : sizeof(uint16_t);
}

size_t pawl_memory_part_bytes(const pawl_memory *m, int part, const pawl_kept *k)
{
    const size_t tokens = (size_t)k->tokens;
    switch (part) {
    case PAWL_PART_SEGMENTS: return (size_t)k->segments * sizeof(pawl_kept_segment);
    case PAWL_PART_TOKENS: return tokens * token_bytes(&m->in);
    case PAWL_PART_TRAINED: return (tokens + 7) / 8;
    default: break;
    }
    const pawl_memory_column *c = &m->columns[part - PAWL_PART_COLUMNS];
    return tokens * (size_t)c->width * pawl_dtype_bytes(c->dtype);
}

int64_t pawl_memory_first(int64_t count, int rank, int size)
{
    return (int64_t)((__int128)count * rank / size);
}

/* ---- The list ---- */

static pawl_status number_bytes(const pawl_memory *m, pawl_index *x)
{
    for (int p = 0; p < m->parts; p++) {
        PAWL_TRY(pawl_alloc((void **)&x->at[p], (size_t)(x->count + 1) * sizeof *x->at[p], "the list of a memory's rows"));
        for (int64_t i = 0; i < x->count; i++)
            x->at[p][i + 1] = x->at[p][i] + (int64_t)pawl_memory_part_bytes(m, p, &x->rows[i]);
    }
    x->row_bytes = 0;
    for (int64_t i = 0; i < x->count; i++) {
        int64_t bytes = 0;
        for (int p = 0; p < m->parts; p++) bytes += (x->at[p][i + 1] - x->at[p][i] + 7) / 8 * 8;
        x->row_bytes = bytes > x->row_bytes ? bytes : x->row_bytes;
    }
    return PAWL_OK;
}

static double weight_of(const pawl_replay_config *r, const char *name)
{
    for (int i = 0; i < r->domains.count; i++)
        if (strcmp(r->domains.items[i].name, name) == 0) return r->domains.items[i].weight;
    return 1;
}

pawl_status pawl_index_finish(const pawl_memory *m, pawl_index *x)
{
    PAWL_TRY(number_bytes(m, x));
    PAWL_TRY(pawl_alloc((void **)&x->rows_of, (size_t)x->domain_count * sizeof *x->rows_of, "a memory's domains"));
    PAWL_TRY(pawl_alloc((void **)&x->weights, (size_t)x->domain_count * sizeof *x->weights, "a memory's domains"));
    for (int64_t i = 0; i < x->count; i++) x->rows_of[x->rows[i].domain]++;
    for (int d = 0; d < x->domain_count; d++) x->weights[d] = weight_of(m->in.replay, x->domains[d].name);
    return pawl_names_write(x);
}

void pawl_index_close(pawl_index *x)
{
    pawl_free(x->rows);
    pawl_free(x->fresh);
    pawl_free(x->domains);
    pawl_free(x->rows_of);
    pawl_free(x->weights);
    for (int p = 0; p < PAWL_STORE_PARTS_MAX; p++) pawl_free(x->at[p]);
    pawl_text_close(&x->names);
    json_decref(x->sources);
    memset(x, 0, sizeof *x);
}

/* ---- The store ---- */

void pawl_memory_range(const pawl_memory *m, const pawl_index *x, int part, int64_t *first, int64_t *end)
{
    const pawl_comm *c = m->in.comm;
    *first = x->at[part][pawl_memory_first(x->count, c->rank, c->size)];
    *end = x->at[part][pawl_memory_first(x->count, c->rank + 1, c->size)];
}

pawl_status pawl_memory_store_open(pawl_memory *m, const pawl_index *x, pawl_store *out)
{
    size_t bytes[PAWL_STORE_PARTS_MAX];
    char path[1200];
    int64_t first, end;
    for (int p = 0; p < m->parts; p++) {
        pawl_memory_range(m, x, p, &first, &end);
        bytes[p] = (size_t)(end - first);
    }
    if (m->in.replay->storage == PAWL_STORAGE_RAM) return pawl_store_open(bytes, m->parts, NULL, out);
    const int n = snprintf(path, sizeof path, "%s/memory", m->in.output_dir);
    PAWL_CHECK(n > 0 && n + 48 < (int)sizeof path, PAWL_EUSAGE, "path too long: %s", m->in.output_dir);
    PAWL_TRY(pawl_dir_make(path));
    snprintf(path + n, sizeof path - (size_t)n, "/rank-%d.%d", m->in.comm->rank, m->generation++ % 2);
    return pawl_store_open(bytes, m->parts, path, out);
}

static pawl_status take_hand(pawl_memory *m)
{
    pawl_free(m->hand);
    m->hand = NULL;
    return pawl_alloc((void **)&m->hand, (size_t)(m->most_here * m->index.row_bytes), "rows from the memory");
}

pawl_status pawl_memory_become(pawl_memory *m, pawl_index *x, pawl_store *s)
{
    pawl_store_close(&m->store);
    pawl_index_close(&m->index);
    m->index = *x;
    m->store = *s;
    *x = (pawl_index){0};
    *s = (pawl_store){.fd = -1};
    return take_hand(m);
}

pawl_status pawl_memory_reserve(pawl_memory *m, int64_t here, int64_t all)
{
    m->most_here = here;
    m->most_all = all;
    PAWL_TRY(pawl_realloc((void **)&m->fetched, (size_t)all * sizeof *m->fetched, "rows from the memory"));
    PAWL_TRY(pawl_realloc((void **)&m->transfers, (size_t)(all * m->parts) * sizeof *m->transfers, "rows from the memory"));
    return take_hand(m);
}

/* ---- Opening ---- */

static pawl_status open_empty(pawl_memory *m, const pawl_memory_inputs *in)
{
    pawl_index x = {0};
    pawl_store s = {.fd = -1};
    PAWL_ASSERT(in->column_count <= PAWL_MEMORY_COLUMNS_MAX);
    m->in = *in;
    m->parts = PAWL_PART_COLUMNS + in->column_count;
    for (int i = 0; i < in->column_count; i++) m->columns[i] = in->columns[i];
    m->in.columns = m->columns;
    x.sources = json_array();
    pawl_status status = pawl_index_finish(m, &x);
    if (status == PAWL_OK) status = pawl_memory_store_open(m, &x, &s);
    if (status == PAWL_OK) status = pawl_memory_become(m, &x, &s);
    pawl_index_close(&x);
    pawl_store_close(&s);
    return status;
}

pawl_status pawl_memory_open(const pawl_memory_inputs *in, pawl_memory **out)
{
    pawl_memory *m = NULL;
    pawl_status s = pawl_alloc((void **)&m, sizeof *m, "the memory");
    if (s == PAWL_OK) {
        m->store = (pawl_store){.fd = -1};
        s = open_empty(m, in);
    }
    s = pawl_agree(in->comm, s);
    if (s == PAWL_OK) *out = m;
    else pawl_memory_close(m);
    return s;
}

void pawl_memory_close(pawl_memory *m)
{
    char path[1200];
    if (!m) return;
    pawl_store_close(&m->store);
    pawl_index_close(&m->index);
    pawl_free(m->hand);
    pawl_free(m->fetched);
    pawl_free(m->transfers);
    if (m->in.replay && m->in.replay->storage == PAWL_STORAGE_DISK) {
        snprintf(path, sizeof path, "%s/memory", m->in.output_dir);
        (void)pawl_fs_in_use->rmdir(path); /* the last rank's succeeds */
    }
    pawl_free(m);
}

size_t pawl_memory_bytes(const pawl_memory_inputs *in)
{
    const int64_t capacity = in->replay->capacity, share = (capacity + in->comm->size - 1) / in->comm->size;
    size_t row = (size_t)in->longest * token_bytes(in) + (size_t)(in->longest + 7) / 8 + sizeof(pawl_kept_segment);
    for (int i = 0; i < in->column_count; i++)
        row += (size_t)(in->longest * in->columns[i].width) * pawl_dtype_bytes(in->columns[i].dtype);
    /* Parts begin at whole pages (store.c). */
    const size_t pages = (size_t)(PAWL_PART_COLUMNS + in->column_count) * 4096;
    return in->replay->storage == PAWL_STORAGE_RAM ? (size_t)share * row + pages : 0;
}

size_t pawl_memory_list_bytes(const pawl_memory_inputs *in)
{
    const size_t parts = (size_t)(PAWL_PART_COLUMNS + in->column_count);
    return (size_t)in->replay->capacity * (sizeof(pawl_kept) + parts * sizeof(int64_t) + 1);
}

/* ---- What every rank knows ---- */

pawl_comm *pawl_memory_comm(const pawl_memory *m)
{
    return m->in.comm;
}

int64_t pawl_memory_count(const pawl_memory *m)
{
    return m->index.count;
}

const pawl_kept *pawl_memory_kept(const pawl_memory *m, int64_t item)
{
    PAWL_ASSERT(item >= 0 && item < m->index.count);
    return &m->index.rows[item];
}

int pawl_memory_domains(const pawl_memory *m)
{
    return m->index.domain_count;
}

const char *pawl_memory_domain(const pawl_memory *m, int domain)
{
    return m->index.domains[domain].name;
}

int64_t pawl_memory_rows_of(const pawl_memory *m, int domain)
{
    return m->index.rows_of[domain];
}

int64_t pawl_memory_seen(const pawl_memory *m, int domain)
{
    return m->index.domains[domain].seen;
}

int pawl_memory_owner(const pawl_memory *m, int64_t item)
{
    const int size = m->in.comm->size;
    int rank = (int)((__int128)item * size / (m->index.count ? m->index.count : 1));
    while (rank > 0 && item < pawl_memory_first(m->index.count, rank, size)) rank--;
    while (rank < size - 1 && item >= pawl_memory_first(m->index.count, rank + 1, size)) rank++;
    return rank;
}

int64_t pawl_memory_draw(const pawl_memory *m, int64_t step, int64_t g, pawl_draw_use use)
{
    const double *weights = m->in.replay->balance == PAWL_BALANCE_DOMAIN ? m->index.weights : NULL;
    return pawl_memory_pick(m->in.seed, step, g, (int)use, m->index.rows_of, weights, m->index.domain_count);
}

int pawl_memory_fresh(const pawl_memory *m, int64_t item)
{
    return m->index.fresh && m->index.fresh[item];
}

void pawl_memory_let_go(const pawl_memory *m)
{
    pawl_store_let_go(&m->store);
}
