/* A row as people and scripts look at it. */
#include <inttypes.h>

#include "core/arena.h"
#include "data/mixture.h"

void pawl_place_of(const pawl_dataset *s, int64_t document, char *out, size_t room)
{
    const pawl_document *d = &s->prepared.documents[document];
    const char *name =
        json_string_value(json_object_get(json_array_get(s->prepared.sources, (size_t)d->source), "name"));
    if (d->line > 0)
        snprintf(out, room, "%s:%" PRId64, name, d->line);
    else
        snprintf(out, room, "%s", name);
}

static json_t *integers(const int32_t *x, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++) json_array_append_new(list, json_integer(x[i]));
    return list;
}

/* labels[n] is what position n - 1 predicts: nothing at a segment's first token, which no other document may predict.
 */
static json_t *labels_of(const pawl_batch *b, int64_t count)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(i > 0 ? b->targets[i - 1] : PAWL_NOT_TRAINED));
    return list;
}

static json_t *documents_of(const pawl_row_view *v)
{
    json_t *list = json_array();
    int64_t at = 0;
    for (int64_t k = 0; k < v->count; at += v->segments[k++].tokens) {
        const pawl_segment *s = &v->segments[k];
        char place[512];
        pawl_place_of(v->dataset, s->document, place, sizeof place);
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:I,s:I,s:i}", "domain", v->dataset->domain, "source", place, "first",
                                        (json_int_t)at, "end", (json_int_t)(at + s->tokens), "trained", s->trained));
    }
    return list;
}

static json_t *choice_json(pawl_choice c)
{
    return json_pack("{s:i,s:i,s:b,s:i}", "index", c.index, "count", c.count, "right", c.right, "bytes", c.bytes);
}

pawl_status pawl_row_json(const pawl_data *d, pawl_part part, pawl_row r, json_t **out)
{
    const pawl_row_view v = pawl_row_find(d, part, r);
    const int64_t count = pawl_row_length(d, part, r);
    pawl_arena a = {.name = "a row"};
    pawl_batch b;
    pawl_batch_lay_out(&a, &b, 1, pawl_slot_tokens(d, part, &r, 1));
    PAWL_TRY(pawl_arena_open(&a));
    pawl_batch_lay_out(&a, &b, 1, pawl_slot_tokens(d, part, &r, 1));
    pawl_slot_fill(d, part, &r, 1, &b);
    *out = json_pack("{s:o,s:o,s:o,s:o}", "ids", integers(b.ids, count), "labels", labels_of(&b, count), "positions",
                     integers(b.positions, count), "documents", documents_of(&v));
    pawl_arena_close(&a);
    PAWL_CHECK(*out, PAWL_EMEM, "no memory for a row");
    if (part == PAWL_CHOICE_ROWS) json_object_set_new(*out, "choice", choice_json(pawl_row_choice(d, r)));
    return PAWL_OK;
}
