/* Opening the data of a run: rank 0 finds or makes what is prepared, then every rank maps it. */
#include "data/data.h"

#include <limits.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "data/cache.h"
#include "data/files.h"
#include "data/mixture.h"
#include "data/utf8.h"

/* What rank 0 tells the others. */
typedef struct prepared_list {
    int stopped;
    pawl_entry entry[2 * PAWL_DATASETS_MAX];
} prepared_list;

/* The last part of the path, without a file's ending; cut to fit, between characters. */
static void name_domain(pawl_dataset *s)
{
    const char *path = s->config.path, *end = path + strlen(path), *first;
    while (end > path + 1 && end[-1] == '/') end--;
    for (first = end; first > path && first[-1] != '/';) first--;
    const char *ending = pawl_path_is_dir(path) ? "" : pawl_name_ending(path);
    size_t n = (size_t)(end - first) - strlen(ending);
    if (s->config.domain[0]) {
        first = s->config.domain;
        n = strlen(first);
    }
    n = n < sizeof s->domain ? n : sizeof s->domain - 1;
    n = pawl_utf8_valid_prefix(first, n);
    memcpy(s->domain, first, n);
    s->domain[n] = 0;
    if (n == 0 || strcmp(s->domain, ".") == 0 || strcmp(s->domain, "..") == 0) memcpy(s->domain, "data", 5);
}

static pawl_status make_data(const pawl_data_config *cfg, uint64_t seed, pawl_data **out)
{
    pawl_data *d;
    const int count = cfg->datasets.count + cfg->test_datasets.count;
    PAWL_TRY(pawl_alloc((void **)&d, sizeof *d, "the list of datasets"));
    *d = (pawl_data){.sequence_len = cfg->sequence_len,
                     .packed = cfg->sample_packing,
                     .seed = seed,
                     .learnt = cfg->datasets.count,
                     .count = count};
    const pawl_status s =
        pawl_alloc((void **)&d->datasets, (size_t)count * sizeof *d->datasets, "the list of datasets");
    if (s != PAWL_OK) {
        pawl_free(d);
        return s;
    }
    for (int i = 0; i < count; i++) {
        const int test = i - d->learnt;
        d->datasets[i].config = test < 0 ? cfg->datasets.items[i] : cfg->test_datasets.items[test];
        name_domain(&d->datasets[i]);
    }
    *out = d;
    return PAWL_OK;
}

void pawl_data_close(pawl_data *d)
{
    if (!d) return;
    for (int i = 0; i < d->count; i++) pawl_prepared_close(&d->datasets[i].prepared);
    pawl_free(d->datasets);
    pawl_free(d);
}

static pawl_status prepare_one(const pawl_data *d, int i, const pawl_data_config *cfg, const pawl_tokenizer *t,
                               const char *folder, pawl_entry *out)
{
    pawl_sources sources;
    const pawl_recipe recipe = {.dataset = &d->datasets[i].config,
                                .sources = &sources,
                                .tokenizer = t,
                                .sequence_len = cfg->sequence_len,
                                .packed = cfg->sample_packing,
                                .held_out = i < d->learnt ? cfg->val_set_size : 1.0};
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_sources_find(recipe.dataset, &sources));
    PAWL_TRY_OUT(pawl_sources_hash(&sources));
    if (pawl_keep_going()) PAWL_TRY_OUT(pawl_cache_get(folder, &recipe, out));
out:
    pawl_sources_close(&sources);
    return status;
}

/* What rank 0 prepares, alone. */
typedef struct preparation {
    const pawl_data *data;
    const pawl_data_config *cfg;
    const pawl_tokenizer *tokenizer;
    const char *cache;
    prepared_list *list;
} preparation;

static pawl_status prepare_all(void *self)
{
    const preparation *p = self;
    const char *folder = p->cfg->dataset_prepared_path[0] ? p->cfg->dataset_prepared_path : p->cache;
    PAWL_CHECK(folder && folder[0], PAWL_EUSAGE, "no folder for prepared data; set dataset_prepared_path");
    for (int i = 0; i < p->data->count && pawl_keep_going(); i++)
        PAWL_TRY(prepare_one(p->data, i, p->cfg, p->tokenizer, folder, &p->list->entry[i]));
    p->list->stopped = pawl_stop_asked != 0;
    return PAWL_OK;
}

static pawl_status map_one(pawl_dataset *s, const pawl_entry *e)
{
    PAWL_CHECK(pawl_path_is_dir(e->path), PAWL_EIO,
               "rank 0 prepared data in %s, but here there is no such folder; set dataset_prepared_path to one that "
               "all machines "
               "share",
               e->path);
    PAWL_TRY(pawl_prepared_open(e->path, PAWL_BY_SIZE, &s->prepared));
    PAWL_CHECK(pawl_digest_equal(s->prepared.identity, e->identity), PAWL_EIO,
               "%s is not what rank 0 prepared; set dataset_prepared_path to a folder that all machines share",
               e->path);
    return PAWL_OK;
}

/* Entries of one domain name are one held-out domain. */
static void name_held_out(pawl_data *d)
{
    for (int i = 0; i < d->count; i++) {
        pawl_dataset *s = &d->datasets[i];
        s->held_out_domain = -1;
        if (s->prepared.part[PAWL_HELD_OUT].rows == 0) continue;
        for (int j = 0; j < i && s->held_out_domain < 0; j++)
            if (strcmp(d->datasets[j].domain, s->domain) == 0) s->held_out_domain = d->datasets[j].held_out_domain;
        if (s->held_out_domain < 0) s->held_out_domain = d->held_out_domains++;
    }
}

/* Local; every rank. */
static pawl_status map_all(pawl_data *d, const prepared_list *list)
{
    for (int i = 0; i < d->count; i++) PAWL_TRY(map_one(&d->datasets[i], &list->entry[i]));
    name_held_out(d);
    return pawl_mixture_plan(d);
}

static void warn_of_nothing_held_out(const pawl_data *d, const pawl_data_config *cfg)
{
    for (int i = 0; i < d->learnt && cfg->val_set_size > 0; i++)
        if (d->datasets[i].held_out_domain < 0)
            pawl_log(PAWL_LOG_WARN, "data: val_set_size %g holds out none of the %lld documents of '%s'",
                     cfg->val_set_size, (long long)d->datasets[i].prepared.part[PAWL_TRAIN].documents,
                     d->datasets[i].domain);
}

static pawl_status open_all(pawl_comm *c, pawl_data *d, const pawl_data_config *cfg, const pawl_tokenizer *t,
                            const char *cache, prepared_list *list)
{
    preparation all = {d, cfg, t, cache, list};
    PAWL_TRY(pawl_alone(c, prepare_all, &all));
    PAWL_TRY(pawl_bcast(c, list, sizeof *list, 0));
    if (list->stopped) return PAWL_OK;
    PAWL_TRY(pawl_agree(c, map_all(d, list)));
    if (c->rank == 0) warn_of_nothing_held_out(d, cfg);
    return PAWL_OK;
}

/* Local: the two blocks that opening needs. */
static pawl_status make_blocks(const pawl_data_config *cfg, uint64_t seed, pawl_data **d, prepared_list **list)
{
    PAWL_TRY(pawl_alloc((void **)list, sizeof **list, "the list of datasets"));
    return make_data(cfg, seed, d);
}

pawl_status pawl_data_open(pawl_comm *c, const pawl_data_config *cfg, const pawl_tokenizer *t, uint64_t seed,
                           const char *cache, pawl_data **out, int *stopped)
{
    pawl_data *d = NULL;
    prepared_list *list = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_agree(c, make_blocks(cfg, seed, &d, &list)));
    PAWL_TRY_OUT(open_all(c, d, cfg, t, cache, list));
    *stopped = list->stopped;
    if (!list->stopped) {
        *out = d;
        d = NULL;
    }
out:
    pawl_data_close(d);
    pawl_free(list);
    return status;
}

int pawl_data_domains(const pawl_data *d, pawl_part part)
{
    return part == PAWL_TRAIN ? d->learnt : d->held_out_domains;
}

/* The next dataset from i on that has rows of that domain; count when there is none. */
static int next_of_domain(const pawl_data *d, pawl_part part, int domain, int i)
{
    if (part == PAWL_TRAIN) return i <= domain ? domain : d->count;
    while (i < d->count && d->datasets[i].held_out_domain != domain) i++;
    return i;
}

const char *pawl_data_domain(const pawl_data *d, pawl_part part, int domain)
{
    PAWL_ASSERT(domain >= 0 && domain < pawl_data_domains(d, part));
    return d->datasets[next_of_domain(d, part, domain, 0)].domain;
}

int64_t pawl_data_rows_of(const pawl_data *d, pawl_part part, int domain)
{
    int64_t rows = 0;
    for (int i = next_of_domain(d, part, domain, 0); i < d->count; i = next_of_domain(d, part, domain, i + 1))
        rows += d->datasets[i].prepared.part[part].rows;
    return rows;
}

pawl_row_view pawl_row_find(const pawl_data *d, pawl_part part, pawl_row r)
{
    int64_t index = r.index;
    PAWL_ASSERT(index >= 0 && r.domain >= 0 && r.domain < pawl_data_domains(d, part));
    for (int i = next_of_domain(d, part, r.domain, 0); i < d->count; i = next_of_domain(d, part, r.domain, i + 1)) {
        const pawl_prepared_part *p = &d->datasets[i].prepared.part[part];
        if (index < p->rows)
            return (pawl_row_view){.dataset = &d->datasets[i],
                                   .segments = p->segments + p->first[index],
                                   .count = p->first[index + 1] - p->first[index]};
        index -= p->rows;
    }
    pawl_assert_("the row exists", __FILE__, __LINE__);
}
