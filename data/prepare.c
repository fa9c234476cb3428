#include "data/prepare.h"

#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "data/join.h"
#include "data/work.h"

json_t *pawl_source_records(const pawl_sources *s)
{
    json_t *list = json_array();
    for (int i = 0; list && i < s->count; i++) {
        const pawl_source *f = &s->items[i];
        if (json_array_append_new(list, json_pack("{s:s,s:I,s:s}", "name", f->name, "bytes", (json_int_t)f->bytes,
                                                  "sha256", pawl_digest_hex(f->digest).text)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* How files are read follows from their names, but for .json, which counts on how the file was found. */
static json_t *how_read(const pawl_sources *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->count; i++) json_array_append_new(list, json_integer(s->items[i].reads));
    return list;
}

pawl_status pawl_recipe_key(const pawl_recipe *r, pawl_digest *out)
{
    pawl_text text = {0};
    pawl_status status = PAWL_OK;
    const int split = r->dataset->type <= PAWL_PLAIN_TEXT;
    json_t *value = json_pack(
        "{s:i,s:s,s:o,s:o,s:s,s:s,s:I,s:b,s:f,s:s}", "format", PAWL_PREPARED_FORMAT, "byte_order",
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? "little" : "big", "files", pawl_source_records(r->sources), "read",
        how_read(r->sources), "tokenizer", pawl_digest_hex(pawl_tokenizer_digest(r->tokenizer)).text, "renderer",
        pawl_digest_hex(pawl_renderer_digest(r->renderer)).text, "sequence_len", (json_int_t)r->sequence_len, "packing",
        r->packed, "val_set_size", r->held_out, "excess", pawl_excess_names[split ? PAWL_EXCESS_SPLIT : r->excess]);
    PAWL_CHECK(value, PAWL_EMEM, "no memory for the key of the prepared data");
    PAWL_TRY_OUT(pawl_json_canonical(value, &text));
    PAWL_TRY_OUT(pawl_text_status(&text));
    *out = pawl_sha256(text.data, text.bytes);
out:
    json_decref(value);
    pawl_text_close(&text);
    return status;
}

pawl_status pawl_prepare_advise(pawl_status s, const char *folder)
{
    if (s != PAWL_EIO) return s;
    const pawl_error why = *pawl_last_error();
    return PAWL_FAIL(PAWL_EIO,
                     "%.600s; prepared data are kept in %.200s: make room and leave to write there, or set "
                     "dataset_prepared_path to another folder",
                     why.what, folder);
}

typedef struct preparation {
    pawl_comm *c;
    const pawl_recipe *recipe;
    const char *dir, *folder;
    pawl_units units;
    int *takers; /* [size] ranks that take part, in order */
    int taker_count;
    int turn; /* of this rank; -1: it takes no part */
    pawl_work_failure failure;
    pawl_handed_over over;
} preparation;

/* ---- who takes part ---- */

static int sees_all(const preparation *p)
{
    const pawl_sources *s = p->recipe->sources;
    if (!pawl_path_is_dir(p->dir)) return 0;
    for (int i = 0; i < s->count; i++) {
        int64_t bytes;
        if (pawl_file_size(s->items[i].path, &bytes) != PAWL_OK || bytes < s->items[i].bytes) return 0;
    }
    return 1;
}

static pawl_status find_takers(preparation *p)
{
    const int sees = p->c->rank == 0 || sees_all(p);
    PAWL_TRY(pawl_allgather(p->c, &sees, sizeof sees, p->takers));
    p->turn = -1;
    for (int rank = 0; rank < p->c->size; rank++) {
        if (!p->takers[rank]) continue;
        if (rank == p->c->rank) p->turn = p->taker_count;
        p->takers[p->taker_count++] = rank; /* never behind the flag that is read next */
    }
    return PAWL_OK;
}

static pawl_status make_lists(preparation *p)
{
    PAWL_TRY(pawl_alloc((void **)&p->takers, (size_t)p->c->size * sizeof *p->takers, "the list of ranks"));
    return pawl_units_cut(p->recipe->sources, p->recipe->unit_bytes, &p->units);
}

/* ---- the work ---- */

static pawl_status work(void *self)
{
    preparation *p = self;
    const pawl_share share = {.rank = p->c->rank, .turn = p->turn, .turns = p->taker_count};
    p->failure = (pawl_work_failure){.unit = INT64_MAX};
    if (p->turn >= 0) pawl_work(p->recipe, &p->units, &share, p->dir, &p->failure);
    return PAWL_OK;
}

static pawl_status refuse(void *self)
{
    return pawl_join_refuse(&((preparation *)self)->over);
}

/* Of the ranks' failures the one in the earliest unit is told: it is the same for any number of ranks. */
static pawl_status settle(preparation *p)
{
    struct {
        int64_t unit;
        int32_t too_many, rank;
    } mine = {p->failure.unit, p->failure.too_many, p->c->rank}, *all = NULL;
    pawl_status s = PAWL_OK;
    int first = 0;
    PAWL_TRY(pawl_agree(p->c, pawl_alloc((void **)&all, (size_t)p->c->size * sizeof *all, "the list of ranks")));
    s = pawl_allgather(p->c, &mine, sizeof mine, all);
    for (int rank = 1; s == PAWL_OK && rank < p->c->size; rank++)
        if (all[rank].unit < all[first].unit) first = rank;
    const int failed = s == PAWL_OK && all[first].unit < INT64_MAX, too_many = failed && all[first].too_many;
    pawl_free(all);
    if (s != PAWL_OK || !failed) return s;
    if (too_many) return pawl_alone(p->c, refuse, p);
    if (first == p->c->rank) {
        pawl_adopt_error(&p->failure.error);
        s = p->failure.status;
        if (strstr(p->failure.error.what, p->dir)) s = pawl_prepare_advise(s, p->folder); /* else a file of the user's */
    }
    return pawl_agree(p->c, s);
}

static pawl_status join(void *self)
{
    const preparation *p = self;
    if (!pawl_keep_going()) return PAWL_OK;
    return pawl_prepare_advise(pawl_join(&p->over), p->folder);
}

static pawl_status prepare(preparation *p)
{
    PAWL_TRY(pawl_agree(p->c, make_lists(p)));
    PAWL_TRY(find_takers(p));
    p->over = (pawl_handed_over){
        .recipe = p->recipe, .units = &p->units, .dir = p->dir, .takers = p->takers, .count = p->taker_count};
    PAWL_TRY(pawl_together(p->c, work, p));
    PAWL_TRY(settle(p));
    return pawl_alone(p->c, join, p);
}

pawl_status pawl_prepare(pawl_comm *c, const pawl_recipe *r, const char *dir, const char *folder)
{
    preparation *p = NULL;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&p, sizeof *p, "preparing data")));
    *p = (preparation){.c = c, .recipe = r, .dir = dir, .folder = folder};
    const pawl_status s = prepare(p);
    pawl_units_close(&p->units);
    pawl_free(p->takers);
    pawl_free(p);
    return s;
}
