/* The nearest change of configuration that fits: what changes least is tried first. */
#include <stdio.h>
#include <string.h>

#include "trainer/planning.h"

/* A configuration that is tried. */
typedef struct trial {
    pawl_parts parts;
    pawl_comm comm;
    pawl_train_config train;
    pawl_optim_config optim;
    pawl_comm_config reduce;
} trial;

static void open_trial(const pawl_parts *p, trial *t)
{
    *t = (trial){.parts = *p, .comm = *p->comm, .train = *p->train, .optim = *p->optim, .reduce = *p->reduce};
    t->parts.comm = &t->comm;
    t->parts.train = &t->train;
    t->parts.optim = &t->optim;
    t->parts.reduce = &t->reduce;
}

static const pawl_field *find_row(trial *t, const char *key, void **section)
{
    const struct { const pawl_field *rows; void *section; } all[] = {
        {pawl_train_rows, &t->train}, {pawl_optim_rows, &t->optim}, {pawl_comm_rows, &t->reduce}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (const pawl_field *row = all[i].rows; row->key; row++)
            if (strcmp(row->key, key) == 0) {
                *section = all[i].section;
                return row;
            }
    return NULL;
}

/* ---- what can be changed: each gives its n-th value, from the nearest on; 0 when there are no more ---- */

typedef int next_value(const trial *t, int n, char out[32]);

static int fewer_rows(const trial *t, int n, char out[32])
{
    const int64_t rows = t->train.global_batch_size;
    for (int64_t m = t->train.micro_batch_size - 1; m >= 1; m--)
        if (rows % m == 0 && n-- == 0) return snprintf(out, 32, "%lld", (long long)m) > 0;
    return 0;
}

static int shorter_rows(const trial *t, int n, char out[32])
{
    enum { SHORTEST = 64 };
    const int64_t tokens = t->parts.sequence_len >> (n + 1);
    return tokens >= SHORTEST && snprintf(out, 32, "%lld", (long long)tokens) > 0;
}

static int fewest_lanes(const trial *t, int n, char out[32])
{
    const int lanes = pawl_cut_of(&t->train, &t->reduce).lanes;
    return n == 0 && lanes > t->comm.size && snprintf(out, 32, "%d", t->comm.size) > 0;
}

static const struct change {
    const char *key, *from; /* from: only where it stands at that value; NULL: at any */
    const char *values[4];  /* in order; or: */
    next_value *next;
} changes[] = {
    {.key = "micro_batch_size", .next = fewer_rows},
    {.key = "activation_recompute", .from = "none", .values = {"norms", "block"}},
    {.key = "activation_recompute", .from = "norms", .values = {"block"}},
    {.key = "offload_activations", .from = "false", .values = {"true"}},
    {.key = "offload_optimizer", .from = "false", .values = {"true"}},
    {.key = "zero_stage", .from = "0", .values = {"1", "2", "3"}},
    {.key = "zero_stage", .from = "1", .values = {"2", "3"}},
    {.key = "zero_stage", .from = "2", .values = {"3"}},
    {.key = "reduction_lanes", .next = fewest_lanes},
    {.key = "optimizer", .from = "adamw", .values = {"adamw_8bit"}},
    {.key = "sequence_len", .next = shorter_rows},
};
enum { CHANGES = sizeof changes / sizeof *changes };

static int value_of(const struct change *c, const trial *t, int n, char out[32])
{
    if (c->next) return c->next(t, n, out);
    return n < 4 && c->values[n] && snprintf(out, 32, "%s", c->values[n]) > 0;
}

/* What checks between keys would refuse, or what would do nothing. */
static int is_allowed(const trial *t, const char *key, const char *value)
{
    enum { INVARIANT = 0 };
    if (strncmp(key, "offload_", strlen("offload_")) == 0) return !pawl_device_shares_memory(t->parts.device);
    if (strcmp(key, "zero_stage") != 0) return 1;
    return t->comm.size > 1 && t->reduce.reduction == INVARIANT && !(t->parts.adapter && strcmp(value, "3") == 0);
}

/* Whether the change can be made where t stands, and this version knows the key. */
static int applies(const struct change *c, trial *t)
{
    char now[64];
    void *section;
    if (strcmp(c->key, "sequence_len") == 0) return 1;
    const pawl_field *row = find_row(t, c->key, &section);
    if (!row) return 0;
    pawl_field_get(row, section, now, sizeof now);
    return !c->from || strcmp(now, c->from) == 0;
}

static int put(trial *t, const char *key, const char *value)
{
    char why[600];
    void *section;
    if (strcmp(key, "sequence_len") == 0) return pawl_parse_i64(value, &t->parts.sequence_len);
    const pawl_field *row = find_row(t, key, &section);
    return row && pawl_field_set(row, section, value, why, sizeof why);
}

/* ---- the search ---- */

static pawl_status fits(const trial *t, const pawl_budget *budget, pawl_plan *plan, int *yes)
{
    PAWL_TRY(pawl_plan_most(&t->parts, plan));
    *yes = t->comm.size <= pawl_cut_of(&t->train, &t->reduce).lanes && pawl_plan_is_within(plan, budget);
    return PAWL_OK;
}

/* The first value of a change with which it fits, or *yes 0; t stands at the last that was tried, whose name is in `out`. */
static pawl_status try_change(const struct change *c, trial *t, const pawl_budget *budget, char out[PAWL_NEAREST_ROOM], pawl_plan *plan, int *yes)
{
    const trial before = *t;
    char value[32];
    *yes = 0;
    for (int n = 0; !*yes && value_of(c, &before, n, value); n++) {
        trial here;
        if (!is_allowed(&before, c->key, value)) continue;
        open_trial(&before.parts, &here);
        if (!put(&here, c->key, value)) break;
        open_trial(&here.parts, t);
        snprintf(out, PAWL_NEAREST_ROOM, "%s=%s", c->key, value);
        PAWL_TRY(fits(t, budget, plan, yes));
    }
    return PAWL_OK;
}

static pawl_status try_alone(const pawl_parts *p, const pawl_budget *budget, char out[PAWL_NEAREST_ROOM], pawl_plan *plan, int *yes)
{
    *yes = 0;
    for (int i = 0; i < CHANGES && !*yes; i++) {
        trial t;
        open_trial(p, &t);
        if (applies(&changes[i], &t)) PAWL_TRY(try_change(&changes[i], &t, budget, out, plan, yes));
    }
    return PAWL_OK;
}

/* Changes that are made together, each as key=value. */
typedef struct chosen {
    char text[CHANGES][64];
    int count;
} chosen;

static int put_text(trial *t, const char *text)
{
    char key[64];
    const char *equals = strchr(text, '=');
    snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
    return put(t, key, equals + 1);
}

/* Bytes that a rank has too few of. */
static double missing_on(const pawl_plan_side *s, double budget)
{
    return budget > 0 && (double)s->peak_bytes > budget ? (double)s->peak_bytes - budget : 0;
}

/* Whether the side that is short is less so with a change, and neither side more: one that only moves bytes to where there is no room for them
 * is none. */
static int saves(const pawl_plan *before, const pawl_plan *then, const pawl_budget *b)
{
    const double host = missing_on(&before->host, b->host) - missing_on(&then->host, b->host),
                 device = missing_on(&before->device, b->device) - missing_on(&then->device, b->device);
    return host >= 0 && device >= 0 && host + device > 0;
}

/* Each change at its strongest stays, if it saves, while the next one is tried. */
static pawl_status add_changes(const pawl_budget *budget, trial *t, chosen *all, pawl_plan *plan, int *yes)
{
    pawl_plan before = *plan;
    for (int i = 0; i < CHANGES && !*yes; i++) {
        trial here;
        char one[PAWL_NEAREST_ROOM] = "";
        if (!applies(&changes[i], t)) continue;
        open_trial(&t->parts, &here);
        PAWL_TRY(try_change(&changes[i], &here, budget, one, plan, yes));
        if (!one[0] || all->count == CHANGES || !(*yes || saves(&before, plan, budget))) continue;
        open_trial(&here.parts, t);
        before = *plan;
        snprintf(all->text[all->count++], sizeof all->text[0], "%s", one);
    }
    *plan = before;
    return PAWL_OK;
}

/* Again from the top while that helps: what there was no room for on the other side there may be later. */
static pawl_status add_rounds(const pawl_parts *p, const pawl_budget *budget, chosen *all, pawl_plan *plan, int *yes)
{
    trial t;
    int before;
    open_trial(p, &t);
    PAWL_TRY(fits(&t, budget, plan, yes));
    do {
        before = all->count;
        PAWL_TRY(add_changes(budget, &t, all, plan, yes));
    } while (!*yes && all->count > before);
    return PAWL_OK;
}

/* Takes change `without` out of all when it fits without it, too. */
static pawl_status drop_change(const pawl_parts *p, const pawl_budget *budget, int without, chosen *all, pawl_plan *plan)
{
    trial t;
    pawl_plan then;
    int yes, allowed = 1;
    open_trial(p, &t);
    for (int i = 0; i < all->count && allowed; i++) {
        if (i != without) allowed = put_text(&t, all->text[i]);
    }
    if (!allowed) return PAWL_OK;
    PAWL_TRY(fits(&t, budget, &then, &yes));
    if (!yes) return PAWL_OK;
    *plan = then;
    all->count--;
    memmove(all->text[without], all->text[without + 1], (size_t)(all->count - without) * sizeof all->text[0]);
    return PAWL_OK;
}

/* What was tried on the way to a fit is taken back, one after the other, where it fits without. */
static pawl_status try_together(const pawl_parts *p, const pawl_budget *budget, char out[PAWL_NEAREST_ROOM], pawl_plan *plan, int *yes)
{
    chosen all = {.count = 0};
    size_t used = 0;
    PAWL_TRY(add_rounds(p, budget, &all, plan, yes));
    for (int i = 0; *yes && i < all.count;) {
        const int before = all.count;
        PAWL_TRY(drop_change(p, budget, i, &all, plan));
        if (all.count == before) i++;
    }
    out[0] = 0;
    for (int i = 0; i < all.count && used < PAWL_NEAREST_ROOM; i++)
        used += (size_t)snprintf(out + used, PAWL_NEAREST_ROOM - used, "%s%s", i ? " " : "", all.text[i]);
    return PAWL_OK;
}

void pawl_plan_no_key(const pawl_plan *plan, const pawl_budget *b, int on_device, int on_machine, char out[PAWL_NEAREST_ROOM])
{
    const int device = missing_on(&plan->device, b->device) > 0, host = missing_on(&plan->host, b->host) > 0;
    const char *gpu = on_device > 1 ? "fewer ranks on a GPU" : "GPUs with more memory, or more of them with zero_stage",
               *machine = on_machine > 1 ? "fewer ranks on a machine" : "a machine with more memory";
    snprintf(out, PAWL_NEAREST_ROOM, "no key alone or with others makes it fit: take a smaller model, an adapter, or %s%s%s", device ? gpu : "",
             device && host ? ", and " : "", host ? machine : "");
}

pawl_status pawl_plan_nearest(const pawl_parts *p, const pawl_budget *budget, char change[PAWL_NEAREST_ROOM], pawl_plan *then)
{
    int yes;
    PAWL_TRY(try_alone(p, budget, change, then, &yes));
    if (!yes) PAWL_TRY(try_together(p, budget, change, then, &yes));
    if (!yes) change[0] = 0;
    return PAWL_OK;
}
