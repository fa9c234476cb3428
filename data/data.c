/* Opening the data of a run: what is prepared is found or made, then every rank maps it. */
#include "data/data.h"

#include <limits.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/log.h"
#include "data/cache.h"
#include "data/files.h"
#include "data/glob.h"
#include "data/leaks.h"
#include "data/mixture.h"
#include "data/utf8.h"

/* The part of the path that names a domain: its last part without a file's ending; of a pattern the folder that it is
 * looked for in. */
static size_t stem_of(const char *path, const char **first)
{
    const size_t base = pawl_glob_base(path);
    const int pattern = path[base] && !pawl_path_exists(path);
    const char *end = path + (pattern ? base : strlen(path));
    while (end > path + 1 && end[-1] == '/') end--;
    for (*first = end; *first > path && (*first)[-1] != '/';) --*first;
    const char *ending = pattern || pawl_path_is_dir(path) ? "" : pawl_name_ending(path);
    return (size_t)(end - *first) - strlen(ending);
}

/* Cut to fit, between characters. */
static void name_domain(pawl_dataset *s)
{
    const char *first = s->config.domain;
    size_t n = strlen(first);
    if (n == 0) n = stem_of(s->config.path, &first);
    n = n < sizeof s->domain ? n : sizeof s->domain - 1;
    n = pawl_utf8_valid_prefix(first, n);
    memcpy(s->domain, first, n);
    s->domain[n] = 0;
    if (n == 0 || strcmp(s->domain, ".") == 0 || strcmp(s->domain, "..") == 0) memcpy(s->domain, "data", 5);
}

/* Appends a group's datasets to those that are there. */
static void add_group(pawl_data *d, const pawl_data_group *g)
{
    for (int i = 0; i < g->count; i++) {
        pawl_dataset *s = &d->datasets[d->count++];
        s->config = g->items[i];
        name_domain(s);
    }
}

static pawl_status make_data(const pawl_data_inputs *in, pawl_data **out)
{
    pawl_data *d;
    const pawl_data_config *cfg = in->config;
    const pawl_data_group alone = {cfg->datasets.items, cfg->datasets.count}, tests = {cfg->test_datasets.items, cfg->test_datasets.count};
    const pawl_data_group *mixtures = in->mixtures ? in->mixtures : &alone;
    const int mixture_count = in->mixtures ? in->mixture_count : 1;
    int learnt = in->general.count;
    PAWL_ASSERT(mixture_count >= 1 && mixture_count <= PAWL_MIXTURES_MAX);
    for (int m = 0; m < mixture_count; m++) learnt += mixtures[m].count;
    const int count = learnt + tests.count;
    PAWL_TRY(pawl_alloc((void **)&d, sizeof *d, "the list of datasets"));
    *d = (pawl_data){.sequence_len = cfg->sequence_len,
                     .packed = cfg->sample_packing,
                     .seed = in->seed,
                     .learnt = learnt,
                     .mixture_count = mixture_count};
    const pawl_status s =
        pawl_alloc((void **)&d->datasets, (size_t)count * sizeof *d->datasets, "the list of datasets");
    if (s != PAWL_OK) {
        pawl_free(d);
        return s;
    }
    for (int m = 0; m < mixture_count; m++) {
        d->mixtures[m].first = d->count;
        add_group(d, &mixtures[m]);
        d->mixtures[m].end = d->count;
    }
    add_group(d, &in->general);
    add_group(d, &tests);
    *out = d;
    return PAWL_OK;
}

void pawl_data_let_go(const pawl_data *d)
{
    for (int i = 0; i < d->count; i++) pawl_prepared_let_go(&d->datasets[i].prepared);
}

void pawl_data_close(pawl_data *d)
{
    if (!d) return;
    for (int i = 0; i < d->count; i++) pawl_prepared_close(&d->datasets[i].prepared);
    pawl_free(d->datasets);
    pawl_free(d);
}

/* ---- finding or making what is prepared ---- */

typedef struct opening {
    pawl_comm *c;
    const pawl_data_inputs *in;
    const char *folder;
    pawl_data *data;
    pawl_renderer **renderers; /* [datasets] */
    pawl_sources *sources;     /* [datasets] found on rank 0; elsewhere as rank 0 tells */
    pawl_entry *entries;       /* [datasets] */
    int count;     /* datasets */
    int at;        /* the dataset in hand */
    int64_t bytes; /* of its files, on rank 0 */
} opening;

/* The files are read twice: to find out whether they are what was prepared before, and to prepare them. */
static void tell_progress(void *self)
{
    const opening *o = self;
    const int64_t done = pawl_progress();
    const char *what = pawl_works_alone() ? "checked" : "prepared";
    if (o->c->rank > 0 || !o->in->progress || done == 0 || o->bytes == 0) return;
    o->in->progress(what, o->data->datasets[o->at].domain, done < o->bytes ? done : o->bytes, o->bytes);
}

static pawl_status open_renderers(opening *o)
{
    const pawl_data_config *cfg = o->in->config;
    PAWL_CHECK(o->folder && o->folder[0], PAWL_EUSAGE, "no folder for prepared data; set dataset_prepared_path");
    for (int i = 0; i < o->data->count; i++)
        PAWL_TRY(pawl_renderer_open(cfg, &o->data->datasets[i].config, o->in->tokenizer_spec, o->in->tokenizer,
                                    &o->renderers[i]));
    return PAWL_OK;
}

static pawl_status find_sources(void *self)
{
    opening *o = self;
    for (int i = 0; i < o->data->count && pawl_keep_going(); i++) {
        PAWL_TRY(pawl_sources_find(&o->data->datasets[i].config, &o->sources[i]));
        if (o->sources[i].left_out > 0)
            pawl_log(PAWL_LOG_WARN, "data: %s: %d files that hold no rows (no .jsonl or .json) are passed over",
                     o->data->datasets[i].config.path, o->sources[i].left_out);
    }
    return PAWL_OK;
}

static pawl_status prepare_one(opening *o, int i, int *stopped)
{
    const pawl_data_config *cfg = o->in->config;
    const pawl_dataset *s = &o->data->datasets[i];
    const pawl_recipe recipe = {.domain = s->domain,
                                .dataset = &s->config,
                                .sources = &o->sources[i],
                                .tokenizer = o->in->tokenizer,
                                .renderer = o->renderers[i],
                                .sequence_len = cfg->sequence_len,
                                .packed = cfg->sample_packing && s->config.type != PAWL_CHOICES,
                                .held_out = i < o->data->learnt ? cfg->val_set_size : 1.0,
                                .excess = cfg->excess_length_strategy,
                                .skip_bad_rows = cfg->skip_bad_rows,
                                .unit_bytes = PAWL_UNIT_BYTES};
    o->at = i;
    o->bytes = 0;
    for (int k = 0; k < o->sources[i].count; k++) o->bytes += o->sources[i].items[k].bytes;
    pawl_progress_show(tell_progress, o);
    const pawl_status status = pawl_cache_get(o->c, o->folder, &recipe, &o->sources[i], &o->entries[i], stopped);
    pawl_progress_show(NULL, NULL);
    pawl_sources_close(&o->sources[i]);
    return status;
}

static pawl_status prepare_all(opening *o, int *stopped)
{
    PAWL_TRY(pawl_agree(o->c, open_renderers(o)));
    PAWL_TRY(pawl_alone(o->c, find_sources, o));
    *stopped = pawl_stop_asked != 0;
    PAWL_TRY(pawl_bcast(o->c, stopped, sizeof *stopped, 0));
    for (int i = 0; i < o->data->count && !*stopped; i++) PAWL_TRY(prepare_one(o, i, stopped));
    return PAWL_OK;
}

/* ---- mapping it ---- */

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

/* Whether an entry before it has the same documents under the same name: learnt again in a later stage, they are measured once. */
static int is_repeated(const pawl_data *d, int i)
{
    for (int j = 0; j < i; j++)
        if (pawl_digest_equal(d->datasets[j].prepared.identity, d->datasets[i].prepared.identity) &&
            strcmp(d->datasets[j].domain, d->datasets[i].domain) == 0)
            return 1;
    return 0;
}

/* Entries of one domain name are one held-out domain. */
static void name_held_out(pawl_data *d)
{
    for (int i = 0; i < d->count; i++) {
        pawl_dataset *s = &d->datasets[i];
        s->held_out_domain = -1;
        s->repeats = is_repeated(d, i);
        if (s->prepared.part[PAWL_HELD_OUT].rows == 0 || s->repeats) continue;
        for (int j = 0; j < i && s->held_out_domain < 0; j++)
            if (strcmp(d->datasets[j].domain, s->domain) == 0) s->held_out_domain = d->datasets[j].held_out_domain;
        if (s->held_out_domain < 0) s->held_out_domain = d->held_out_domains++;
    }
}

/* What was prepared when more bad rows might be skipped is refused when they may no longer be. */
static pawl_status check_bad_rows(const pawl_dataset *s, const pawl_data_config *cfg)
{
    const char *first = json_string_value(json_array_get(s->prepared.bad_rows, 0));
    PAWL_CHECK(s->prepared.tally.bad <= cfg->skip_bad_rows, PAWL_EDATA,
               "dataset '%s' (%s) has %lld bad rows and skip_bad_rows is %lld; the first is %s", s->domain,
               s->config.path, (long long)s->prepared.tally.bad, (long long)cfg->skip_bad_rows,
               first ? first : "not known");
    return PAWL_OK;
}

/* Local; every rank. */
static pawl_status map_all(opening *o)
{
    pawl_data *d = o->data;
    for (int i = 0; i < d->count; i++) {
        PAWL_TRY(map_one(&d->datasets[i], &o->entries[i]));
        PAWL_TRY(check_bad_rows(&d->datasets[i], o->in->config));
    }
    name_held_out(d);
    return pawl_mixture_plan(d);
}

static pawl_status count_leaks(void *self)
{
    return pawl_leaks_count(((opening *)self)->data);
}

static pawl_status share_leaks(opening *o)
{
    PAWL_TRY(pawl_alone(o->c, count_leaks, o));
    for (int i = 0; i < o->data->count; i++)
        PAWL_TRY(pawl_bcast(o->c, &o->data->datasets[i].leaked, sizeof(int64_t), 0));
    return PAWL_OK;
}

static void warn_of_bad_rows(const pawl_dataset *s)
{
    const char *line;
    size_t i;
    json_t *value;
    json_array_foreach(s->prepared.bad_rows, i, value)
    {
        if ((line = json_string_value(value)) != NULL) pawl_log(PAWL_LOG_WARN, "data: bad row skipped: %s", line);
    }
    if (s->prepared.tally.bad > (int64_t)json_array_size(s->prepared.bad_rows))
        pawl_log(PAWL_LOG_WARN, "data: '%s': these and %lld more bad rows are skipped", s->domain,
                 (long long)(s->prepared.tally.bad - (int64_t)json_array_size(s->prepared.bad_rows)));
}

/* Templates that know no tools drop them without a word, and what the assistant then says is learnt as an empty turn. */
static void warn_of_tools(const pawl_dataset *s)
{
    if (s->prepared.tally.toolless > 0)
        pawl_log(PAWL_LOG_WARN,
                 "data: '%s': the chat template leaves out tools, or calls of them, of %lld of %lld rows, so that such a "
                 "call is learnt as a turn that says nothing: take a model whose template knows tools, or give one "
                 "(chat_template_jinja); `pawl data show` shows a row as it is learnt",
                 s->domain, (long long)s->prepared.tally.toolless, (long long)s->prepared.tally.read);
}

static void warn(const opening *o)
{
    const pawl_data *d = o->data;
    for (int i = 0; i < d->count; i++) {
        const pawl_dataset *s = &d->datasets[i];
        warn_of_bad_rows(s);
        warn_of_tools(s);
        if (i < d->learnt && o->in->config->val_set_size > 0 && s->held_out_domain < 0 && !s->repeats)
            pawl_log(PAWL_LOG_WARN, "data: val_set_size %g holds out none of the %lld documents of '%s'",
                     o->in->config->val_set_size, (long long)s->prepared.part[PAWL_TRAIN].tally.documents, s->domain);
    }
    if (pawl_tokenizer_end(o->in->tokenizer) < 0)
        pawl_log(PAWL_LOG_WARN, "data: the tokenizer names no end token, so documents are not ended by one");
}

static pawl_status open_all(opening *o, int *stopped)
{
    PAWL_TRY(prepare_all(o, stopped));
    if (*stopped) return PAWL_OK;
    PAWL_TRY(pawl_agree(o->c, map_all(o)));
    PAWL_TRY(share_leaks(o));
    if (o->c->rank == 0) warn(o);
    return PAWL_OK;
}

/* Local: the blocks that opening needs. */
static pawl_status make_blocks(pawl_comm *c, const pawl_data_inputs *in, opening **o)
{
    PAWL_TRY(pawl_alloc((void **)o, sizeof **o, "the list of datasets"));
    (*o)->c = c;
    (*o)->in = in;
    (*o)->folder = in->config->dataset_prepared_path[0] ? in->config->dataset_prepared_path : in->cache;
    PAWL_TRY(make_data(in, &(*o)->data));
    (*o)->count = (*o)->data->count;
    const size_t count = (size_t)(*o)->count;
    PAWL_TRY(pawl_alloc((void **)&(*o)->renderers, count * sizeof *(*o)->renderers, "the list of datasets"));
    PAWL_TRY(pawl_alloc((void **)&(*o)->sources, count * sizeof *(*o)->sources, "the list of datasets"));
    return pawl_alloc((void **)&(*o)->entries, count * sizeof *(*o)->entries, "the list of datasets");
}

static void opening_close(opening *o)
{
    if (!o) return;
    for (int i = 0; i < o->count; i++) {
        if (o->renderers) pawl_renderer_close(o->renderers[i]);
        if (o->sources) pawl_sources_close(&o->sources[i]);
    }
    pawl_free(o->renderers);
    pawl_free(o->sources);
    pawl_free(o->entries);
    pawl_data_close(o->data);
    pawl_free(o);
}

pawl_status pawl_data_open(pawl_comm *c, const pawl_data_inputs *in, pawl_data **out, int *stopped)
{
    opening *o = NULL;
    int stop = 0;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_agree(c, make_blocks(c, in, &o)));
    PAWL_TRY_OUT(open_all(o, &stop));
    *stopped = stop;
    if (!stop) {
        *out = o->data;
        o->data = NULL;
    }
out:
    opening_close(o);
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
    const int choices = part == PAWL_CHOICE_ROWS;
    while (i < d->count &&
           (d->datasets[i].held_out_domain != domain || (d->datasets[i].config.type == PAWL_CHOICES) != choices))
        i++;
    return i;
}

/* The half of what is prepared that a part's rows lie in. */
static const pawl_prepared_part *half_of(const pawl_dataset *s, pawl_part part)
{
    return &s->prepared.part[part == PAWL_TRAIN ? PAWL_TRAIN : PAWL_HELD_OUT];
}

const char *pawl_data_domain(const pawl_data *d, pawl_part part, int domain)
{
    PAWL_ASSERT(domain >= 0 && domain < pawl_data_domains(d, part));
    if (part == PAWL_TRAIN) return d->datasets[domain].domain;
    int i = 0;
    while (d->datasets[i].held_out_domain != domain) i++;
    return d->datasets[i].domain;
}

int64_t pawl_data_rows_of(const pawl_data *d, pawl_part part, int domain)
{
    int64_t rows = 0;
    for (int i = next_of_domain(d, part, domain, 0); i < d->count; i = next_of_domain(d, part, domain, i + 1))
        rows += half_of(&d->datasets[i], part)->rows;
    return rows;
}

pawl_row_view pawl_row_find(const pawl_data *d, pawl_part part, pawl_row r)
{
    int64_t index = r.index;
    PAWL_ASSERT(index >= 0 && r.domain >= 0 && r.domain < pawl_data_domains(d, part));
    for (int i = next_of_domain(d, part, r.domain, 0); i < d->count; i = next_of_domain(d, part, r.domain, i + 1)) {
        const pawl_prepared_part *p = half_of(&d->datasets[i], part);
        if (index < p->rows)
            return (pawl_row_view){.dataset = &d->datasets[i],
                                   .segments = p->segments + p->first[index],
                                   .count = p->first[index + 1] - p->first[index]};
        index -= p->rows;
    }
    pawl_assert_("the row exists", __FILE__, __LINE__);
}
