/* The lineage record of decision 8: what a model was made of, kept in every checkpoint and chained from one to the next. */
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "trainer/internal.h"

/* In which order gradients are added up (decision 2): in rounds with zero_stage 2 and 3, which is the same where each lane is one
 * slot, of the largest step, too: of what is replayed. */
static const char *order_of_sums(const pawl_parts *p)
{
    const pawl_cut cut = pawl_cut_for(p->train, p->reduce, pawl_most_rows(p));
    return p->reduce->zero_stage >= 2 && cut.slots > cut.lanes ? "rounds" : "lanes";
}

static json_t *topology(const pawl_parts *p)
{
    return json_pack("{s:i,s:i,s:s,s:s,s:i,s:s,s:i,s:s}", "ranks", p->comm->size, "threads", pawl_device_threads(p->device), "device",
                     pawl_device_describe(p->device), "transport", pawl_comm_transport(p->comm), "lanes", pawl_cut_of(p->train, p->reduce).lanes, "reduction",
                     pawl_reduction_names[p->reduce->reduction], "zero_stage", (int)p->reduce->zero_stage, "sums", order_of_sums(p));
}

static pawl_status configuration_digest(const json_t *configuration, pawl_hex *out)
{
    pawl_text text = {0};
    pawl_status s = pawl_json_canonical(configuration, &text);
    if (s == PAWL_OK) *out = pawl_digest_hex(pawl_sha256(text.data, text.bytes));
    pawl_text_close(&text);
    return s;
}

pawl_status pawl_lineage_new(const pawl_parts *p, json_t **out)
{
    pawl_hex configuration;
    json_t *datasets, *model;
    PAWL_TRY(configuration_digest(p->configuration, &configuration));
    PAWL_TRY(pawl_data_lineage(p->data, &datasets));
    PAWL_TRY(pawl_fields_json(pawl_model_rows, pawl_model_settings(p->model), &model));
    json_t *l = json_pack("{s:s,s:O?,s:O?,s:{s:s,s:s,s:i},s:o,s:O,s:s,s:o,s:o,s:{},s:[],s:[],s:[]}", "pawl_version", PAWL_VERSION, "base",
                          p->base, "parent", p->parent, "tokenizer", "spec", p->tokenizer_spec, "sha256",
                          pawl_digest_hex(pawl_tokenizer_digest(p->tokenizer)).text, "size", (int)pawl_tokenizer_size(p->tokenizer),
                          "model", model, "configuration", p->configuration, "configuration_sha256", configuration.text,
                          "datasets", datasets, "topology", topology(p), "tokens", "stages", "evaluations", "resumes");
    if (p->adapter) json_object_set(l, "adapter", p->adapter_settings);
    if (p->products) json_object_set(l, "products", p->products);
    if (p->adapter_start) json_object_set(l, "adapter_start", p->adapter_start);
    PAWL_CHECK(l, PAWL_EMEM, "no memory for the lineage record");
    *out = l;
    return PAWL_OK;
}

/* In their canonical form: a record that was written and read back has 1 where it had 1.0. */
static int same_json(const json_t *a, const json_t *b)
{
    pawl_text x = {0}, y = {0};
    if (!a || !b) return a == b;
    const int same = pawl_json_canonical(a, &x) == PAWL_OK && pawl_json_canonical(b, &y) == PAWL_OK && x.bytes == y.bytes &&
                     memcmp(x.data, y.data, x.bytes) == 0;
    pawl_text_close(&x);
    pawl_text_close(&y);
    return same;
}

/* A record without the paths in it: a folder that was moved is the same folder, as its digests say. */
static json_t *without_paths(const json_t *record)
{
    json_t *copy = json_deep_copy(record);
    static const char *const paths[] = {"path", "spec"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        json_object_del(copy, paths[i]);
        json_object_del(json_object_get(copy, "imported"), paths[i]);
    }
    return copy;
}

static int same_record(const json_t *a, const json_t *b)
{
    json_t *x = without_paths(a), *y = without_paths(b);
    const int same = same_json(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

/* Adds a sentence when `key` is not as it was: the records hold digests, so equal JSON is equal data. */
static void compare(const json_t *before, const json_t *now, const char *key, const char *advice, pawl_text *differences, int *count)
{
    if (same_record(json_object_get(before, key), json_object_get(now, key))) return;
    pawl_text_add(differences, "%s%s: %s", *count ? "; " : "", key, advice);
    ++*count;
}

/* Records that are older than zero_stage do not say: lanes. */
static void compare_sums(const json_t *before, const json_t *now, pawl_text *differences, int *count)
{
    const char *was = json_string_value(json_object_get(json_object_get(before, "topology"), "sums"));
    const char *is = json_string_value(json_object_get(json_object_get(now, "topology"), "sums"));
    if (strcmp(was ? was : "lanes", is) == 0) return;
    pawl_text_add(differences, "%szero_stage: 2 and 3 add gradients up in another order than 0 and 1; the run began with %s",
                  *count ? "; " : "", strcmp(is, "rounds") == 0 ? "0 or 1" : "2 or 3");
    ++*count;
}

/* One sentence out of pawl_fields_diff's lines. */
static void join_lines(const pawl_text *lines, pawl_text *out, int first)
{
    for (const char *at = lines->data, *end; at && *at; at = end ? end + 1 : NULL) {
        end = strchr(at, '\n');
        const int n = end ? (int)(end - at) : (int)strlen(at);
        if (n > 0) pawl_text_add(out, "%s%.*s", first ? "" : "; ", n, at);
        first = 0;
        if (!end) break;
    }
}

static pawl_status require_same(const pawl_parts *p, const json_t *before, const json_t *now, const char *path)
{
    pawl_text lines = {0}, text = {0};
    int count = p->configuration_diff(json_object_get(before, "configuration"), p->configuration, 1, &lines);
    if (count) join_lines(&lines, &text, 1);
    compare(before, now, "datasets", "files, domains, licences or weights are not those that the run began with", &text, &count);
    compare(before, now, "tokenizer", "it is not the one that the run began with", &text, &count);
    compare(before, now, "base", "the base model's files have changed", &text, &count);
    compare(before, now, "adapter", "it is not the one that the run began with", &text, &count);
    compare(before, now, "parent", "the parent checkpoint is another one", &text, &count);
    compare(json_object_get(before, "topology"), json_object_get(now, "topology"), "lanes",
            "reduction_lanes is not as the run began, and sums would have another shape", &text, &count);
    compare_sums(before, now, &text, &count);
    pawl_status s = PAWL_OK;
    if (count)
        s = PAWL_FAIL(PAWL_EUSAGE, "cannot resume %s, the run has changed: %s. Undo that, or start another run in another output_dir",
                      path, text.data ? text.data : "");
    pawl_text_close(&lines);
    pawl_text_close(&text);
    return s;
}

static void warn_of_another_device(const pawl_parts *p, const json_t *before)
{
    const char *device = json_string_value(json_object_get(json_object_get(before, "topology"), "device"));
    if (p->comm->rank == 0 && device && strcmp(device, pawl_device_describe(p->device)) != 0)
        pawl_log(PAWL_LOG_WARN, "resume: the run computed on '%s' and goes on with '%s': it goes on exactly, but not with the same bits",
                 device, pawl_device_describe(p->device));
}

pawl_status pawl_lineage_resume(const pawl_parts *p, const pawl_checkpoint *k, json_t **out)
{
    json_t *now, *before = json_object_get(pawl_checkpoint_manifest(k), "lineage");
    char stamp[32];
    const time_t clock = time(NULL);
    struct tm utc;
    PAWL_CHECK(json_is_object(before) && json_is_object(json_object_get(before, "configuration")), PAWL_EDATA,
               "%s/manifest.json: expected an object 'lineage' with an object 'configuration'", pawl_checkpoint_path(k));
    PAWL_TRY(pawl_lineage_new(p, &now));
    pawl_status s = require_same(p, before, now, pawl_checkpoint_path(k));
    if (s == PAWL_OK) {
        warn_of_another_device(p, before);
        gmtime_r(&clock, &utc);
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
        json_t *l = json_deep_copy(before);
        json_array_append_new(json_object_get(l, "resumes"),
                              json_pack("{s:I,s:s,s:i,s:s}", "step", (json_int_t)pawl_checkpoint_step(k), "at", stamp, "ranks",
                                        p->comm->size, "pawl_version", PAWL_VERSION));
        static const char *const anew[] = {"topology", "base", "parent", "tokenizer"}; /* the last three may have moved */
        for (size_t i = 0; i < sizeof anew / sizeof *anew; i++) json_object_set(l, anew[i], json_object_get(now, anew[i]));
        if (p->products) json_object_set(l, "products", p->products);
        if (!json_object_get(l, "stages")) json_object_set_new(l, "stages", json_array()); /* from before there were any */
        json_object_set(l, "configuration", p->configuration); /* FREE keys may have changed */
        json_object_set(l, "configuration_sha256", json_object_get(now, "configuration_sha256"));
        if (l) *out = l;
        else s = PAWL_FAIL(PAWL_EMEM, "no memory for the lineage record");
    }
    json_decref(now);
    return s;
}

pawl_status pawl_lineage_evaluation(json_t *lineage, json_t *entry)
{
    PAWL_CHECK(entry && json_array_append_new(json_object_get(lineage, "evaluations"), entry) == 0, PAWL_EMEM,
               "no memory for the lineage record");
    return PAWL_OK;
}

pawl_status pawl_lineage_tokens(const pawl_parts *p, json_t *lineage, const int64_t *tokens)
{
    json_t *all = json_object();
    for (int d = 0; d < pawl_data_domains(p->data, PAWL_TRAIN); d++) {
        const char *name = pawl_data_domain(p->data, PAWL_TRAIN, d); /* two datasets may be of one domain */
        const json_int_t before = json_integer_value(json_object_get(all, name));
        json_object_set_new(all, name, json_integer(before + tokens[d]));
    }
    PAWL_CHECK(all && json_object_set_new(lineage, "tokens", all) == 0, PAWL_EMEM, "no memory for the lineage record");
    return PAWL_OK;
}
