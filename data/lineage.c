/* What people and checkpoints are told of the data. */
#include <inttypes.h>
#include <string.h>

#include "data/mixture.h"

static int64_t part_rows(const pawl_dataset *s, pawl_part part)
{
    return s->prepared.part[part].rows;
}

/* The counts of a part, as members of o. */
static json_t *put_part(json_t *o, const pawl_prepared_part *p)
{
    json_t *counts = pawl_part_tally_json(&p->tally);
    json_object_set_new(counts, "rows", json_integer((json_int_t)p->rows));
    json_object_update(o, counts);
    json_decref(counts);
    return o;
}

/* Counts of the learnt part stand in the record itself, those of the held-out part under held_out. */
static json_t *record(const pawl_dataset *s, const char *use)
{
    json_t *o = json_pack("{s:s,s:s,s:s,s:f,s:s,s:O,s:o}", "domain", s->domain, "path", s->config.path, "license",
                          s->config.license, "weight", s->config.weight, "use", use, "files",
                          s->prepared.sources, "read", pawl_tally_json(&s->prepared.tally));
    json_t *held = put_part(json_object(), &s->prepared.part[PAWL_HELD_OUT]);
    json_object_set_new(held, "leaked", json_integer((json_int_t)s->leaked));
    json_object_set_new(o, "held_out", held);
    if (s->config.type == PAWL_CHOICES)
        json_object_set_new(o, "questions", json_integer((json_int_t)pawl_dataset_questions(s)));
    return put_part(o, &s->prepared.part[PAWL_TRAIN]);
}

static const char *use_of(const pawl_data *d, int i)
{
    int first, end;
    pawl_data_general(d, &first, &end);
    return i < first ? "learnt" : i < end ? "general" : "measured";
}

pawl_status pawl_data_lineage(const pawl_data *d, json_t **out)
{
    json_t *list = json_array();
    for (int i = 0; list && i < d->count; i++)
        if (json_array_append_new(list, record(&d->datasets[i], use_of(d, i))) < 0) {
            json_decref(list);
            list = NULL;
        }
    PAWL_CHECK(list, PAWL_EMEM, "no memory for the lineage of the data");
    *out = list;
    return PAWL_OK;
}

/* Share of the positions of a part's rows that hold tokens. */
static double fullness(const pawl_data *d, const pawl_prepared_part *p)
{
    int64_t tokens = 0;
    for (int64_t k = 0; k < p->first[p->rows]; k++) tokens += p->segments[k].tokens;
    return (double)tokens / ((double)p->rows * (double)d->sequence_len);
}

static void report_part(const pawl_data *d, const pawl_dataset *s, pawl_part part, const char *verb, pawl_text *out)
{
    const pawl_prepared_part *p = &s->prepared.part[part];
    const pawl_part_tally *t = &p->tally;
    pawl_text_add(out, ", %s %" PRId64 " document%s, %" PRId64 " tokens", verb, t->documents,
                  t->documents == 1 ? "" : "s", t->tokens);
    if (t->trained < t->tokens - t->documents) pawl_text_add(out, " (%" PRId64 " trained)", t->trained);
    pawl_text_add(out, " in %" PRId64 " row%s", p->rows, p->rows == 1 ? "" : "s");
    if (d->packed && p->rows > 0 && s->config.type != PAWL_CHOICES)
        pawl_text_add(out, " (%.1f%% full)", 100 * fullness(d, p));
    if (t->duplicates > 0) pawl_text_add(out, ", %" PRId64 " of them duplicates", t->duplicates);
    if (part == PAWL_HELD_OUT && s->leaked > 0) pawl_text_add(out, ", %" PRId64 " LEARNT TOO", s->leaked);
}

/* What did not come through, a line if there is any. */
static void report_losses(const pawl_dataset *s, pawl_text *out)
{
    const pawl_tally *t = &s->prepared.tally;
    const struct {
        int64_t n;
        const char *what;
    } lost[] = {
        {t->empty, "without text"},
        {t->bad, "bad and skipped"},
        {t->dropped, "longer than sequence_len and dropped"},
        {t->truncated, "longer than sequence_len and truncated"},
        {t->masked, "left out, for nothing in them is trained"},
        {t->toolless, "with tools that the chat template leaves out"},
    };
    const char *before = "";
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
        if (lost[i].n == 0) continue;
        if (!before[0]) pawl_text_add(out, "; of %" PRId64 " rows read:", t->read);
        pawl_text_add(out, "%s %" PRId64 " %s", before, lost[i].n, lost[i].what);
        before = ",";
    }
}

void pawl_data_report(const pawl_data *d, pawl_text *out)
{
    for (int i = 0; i < d->count; i++) {
        const pawl_dataset *s = &d->datasets[i];
        const size_t files = json_array_size(s->prepared.sources);
        pawl_text_add(out, "%s: %s (%zu file%s)", s->domain, s->config.path, files, files == 1 ? "" : "s");
        if (i < d->learnt) report_part(d, s, PAWL_TRAIN, strcmp(use_of(d, i), "general") == 0 ? "known" : "learnt", out);
        if (s->config.type == PAWL_CHOICES)
            pawl_text_add(out, ", %" PRId64 " questions with choices", pawl_dataset_questions(s));
        if (part_rows(s, PAWL_HELD_OUT) > 0) report_part(d, s, PAWL_HELD_OUT, "held out", out);
        if (i < d->learnt && s->config.weight != 1.0) pawl_text_add(out, ", weight %g", s->config.weight);
        pawl_text_add(out, ", licence %s", s->config.license[0] ? s->config.license : "not stated");
        report_losses(s, out);
        pawl_text_add(out, "\n");
    }
}

void pawl_row_describe(const pawl_data *d, pawl_part part, pawl_row r, char *out, size_t room)
{
    static const char more[] = ", ...)";
    const pawl_row_view v = pawl_row_find(d, part, r);
    char place[512];
    int n = snprintf(out, room, "%s row %" PRId64 " (", pawl_data_domain(d, part, r.domain), r.index);
    size_t used = n < 0 || (size_t)n >= room ? room : (size_t)n;
    for (int64_t k = 0; k < v.count && used < room; k++) {
        pawl_place_of(v.dataset, v.segments[k].document, place, sizeof place);
        const size_t length = strlen(place);
        if (length + 1 >= sizeof place || used + length + 2 + sizeof more > room) {
            if (used + sizeof more <= room) memcpy(out + used, k ? more : "...)", k ? sizeof more : sizeof "...)");
            return;
        }
        used += (size_t)snprintf(out + used, room - used, "%s%s", k ? ", " : "", place);
    }
    if (used + 2 <= room) memcpy(out + used, ")", 2);
}
