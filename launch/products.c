/* Which algorithms matrix products are computed by, where a device has more than one for them (decision 0045): found
 * once, by rank 0, when a run begins, and kept by its checkpoints under lineage.products:
 *   {"device": the line that they are of, "algorithms": [a line each, as pawl_device_algorithms writes them]}. */
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "launch/launch.h"

static int count_lines(const pawl_text *t)
{
    int lines = 0;
    for (size_t i = 0; i < t->bytes; i++) lines += t->data[i] == '\n';
    return lines;
}

static const char *text_of(const pawl_text *t)
{
    return t->data ? t->data : "";
}

/* ---- as lineage has them ---- */

static pawl_status to_json(const char *device, const char *table, json_t **out)
{
    json_t *lines = json_array();
    for (const char *end; (end = strchr(table, '\n')) != NULL; table = end + 1)
        json_array_append_new(lines, json_stringn(table, (size_t)(end - table)));
    *out = json_pack("{s:s,s:o}", "device", device, "algorithms", lines);
    PAWL_CHECK(*out, PAWL_EMEM, "no memory for the algorithms of products");
    return PAWL_OK;
}

static void from_json(const json_t *products, pawl_text *out)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(products, "algorithms"), i, line) if (json_is_string(line))
        pawl_text_add(out, "%s\n", json_string_value(line));
}

/* ---- rank 0 ---- */

enum { WHY_ROOM = 640 };

/* Gives the device those of a checkpoint; else says why not. */
static int take_over(pawl_device *d, const json_t *products, char why[WHY_ROOM])
{
    const char *device = json_string_value(json_object_get(products, "device"));
    pawl_text table = {0};
    snprintf(why, WHY_ROOM, "the checkpoint names none");
    if (!device) return 0;
    snprintf(why, WHY_ROOM, "those of the checkpoint are of '%.160s', and this is '%.160s'", device,
             pawl_device_describe(d));
    if (strcmp(device, pawl_device_describe(d)) != 0) return 0;
    from_json(products, &table);
    pawl_status s = pawl_text_status(&table);
    if (s == PAWL_OK) s = pawl_device_choose(d, text_of(&table));
    pawl_text_close(&table);
    if (s != PAWL_OK)
        snprintf(why, WHY_ROOM, "those of the checkpoint cannot be taken: %.500s", pawl_last_error()->what);
    return s == PAWL_OK;
}

static pawl_status time_them(const pawl_opened *o, const char *why)
{
    const double began = pawl_seconds();
    pawl_text table = {0};
    PAWL_TRY(pawl_products_time(&o->parts));
    pawl_status s = pawl_device_algorithms(o->device, &table);
    if (s == PAWL_OK && table.bytes)
        pawl_log(PAWL_LOG_INFO, "products: %d algorithms timed in %.1f s%s%s", count_lines(&table),
                 pawl_seconds() - began, why[0] ? "; " : "", why);
    pawl_text_close(&table);
    return s;
}

static pawl_status choose(const pawl_opened *o, const char *checkpoint, pawl_text *out)
{
    json_t *lineage = NULL;
    char why[WHY_ROOM] = "";
    const int resumes = checkpoint && checkpoint[0];
    if (resumes) PAWL_TRY(pawl_run_lineage(checkpoint, &lineage));
    const int taken = resumes && take_over(o->device, json_object_get(lineage, "products"), why);
    json_decref(lineage);
    if (!taken) PAWL_TRY(time_them(o, why));
    return pawl_device_algorithms(o->device, out);
}

/* ---- all ranks ---- */

/* Rank 0's text, on every rank; to be freed. */
static pawl_status share(pawl_comm *c, const pawl_text *table, char **out)
{
    uint64_t bytes = table->bytes;
    PAWL_TRY(pawl_bcast(c, &bytes, sizeof bytes, 0));
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)out, (size_t)bytes + 1, "the algorithms of products")));
    if (c->rank == 0) memcpy(*out, text_of(table), (size_t)bytes);
    return pawl_bcast(c, *out, (size_t)bytes + 1, 0);
}

static pawl_status take(pawl_opened *o, const char *table)
{
    if (!table[0]) return PAWL_OK;
    PAWL_TRY(pawl_device_choose(o->device, table));
    PAWL_TRY(to_json(pawl_device_describe(o->device), table, &o->products));
    o->parts.products = o->products;
    return PAWL_OK;
}

pawl_status pawl_resolve_products(pawl_comm *c, pawl_opened *o, const char *checkpoint)
{
    pawl_text chosen = {0};
    char *table = NULL;
    if (!o->config.train.tune_products || !pawl_device_tune(o->device, 0)) return PAWL_OK;
    pawl_watch("choosing the algorithms of products", (double)o->config.comm.phase_seconds);
    pawl_status s = pawl_agree(c, c->rank == 0 ? choose(o, checkpoint, &chosen) : PAWL_OK);
    if (s == PAWL_OK) s = share(c, &chosen, &table);
    if (s == PAWL_OK) s = pawl_agree(c, take(o, table));
    pawl_text_close(&chosen);
    pawl_free(table);
    return s;
}
