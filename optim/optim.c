#include "optim/optim.h"

#include <stdio.h>
#include <string.h>

#include "optim/rules.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- which rank holds what ---- */

/* The place nearest to x at which the flat run may be cut; the lower of two that are as near. */
static int64_t cut_near(const pawl_optim_config *c, const pawl_extent *parts, int part_count, int64_t count, int64_t x)
{
    int64_t best = 0;
    for (int i = 0; i <= part_count; i++) {
        const int64_t start = i < part_count ? parts[i].first : count;
        const int64_t step = i < part_count ? pawl_rule_of(c, &parts[i])->cut : 0;
        int64_t at = start;
        if (step && x > start && x < start + parts[i].count) at = start + (x - start) / step * step;
        for (int k = 0; k < 2; k++, at += step) {
            if (k && (!step || at >= start + parts[i].count)) break;
            if (most(at, x) - least(at, x) < most(best, x) - least(best, x)) best = at;
        }
    }
    return best;
}

void pawl_optim_cuts(const pawl_optim_config *c, const pawl_extent *parts, int part_count, int64_t count, int ranks,
                     int64_t *cuts)
{
    cuts[0] = 0;
    for (int r = 1; r < ranks; r++)
        cuts[r] = cut_near(c, parts, part_count, count, (int64_t)((double)count * r / ranks));
    cuts[ranks] = count;
}

/* ---- memory ---- */

static void find_piece(const pawl_optim *o, const pawl_extent *e, pawl_piece *p)
{
    const int64_t first = most(o->first - e->first, 0), end = least(o->end - e->first, e->count);
    *p = (pawl_piece){.of = e, .rule = pawl_rule_of(&o->config, e), .first = first, .count = most(end - first, 0)};
}

static void lay_out_piece(pawl_optim *o, pawl_piece *p)
{
    pawl_arena *a = o->offload ? &o->here : &o->arena;
    for (int j = 0; j < PAWL_RULE_RUNS && p->rule->runs[j].name; j++) {
        int64_t first, count;
        const pawl_tensor whole = p->rule->runs[j].shape(&o->config, p->of);
        pawl_run_part(&p->rule->runs[j], whole, p, &first, &count);
        if (count > 0) p->state[j] = pawl_take_bytes(a, (size_t)count * pawl_dtype_bytes(whole.dtype));
    }
    if (o->config.ema_decay > 0) p->ema = pawl_take_bytes(a, (size_t)p->count * sizeof *p->ema);
    const size_t needed = p->rule->scratch_bytes ? p->rule->scratch_bytes(&o->config, p->of) : 0;
    if (needed > o->scratch_bytes) o->scratch_bytes = needed;
    const size_t window = o->offload ? pawl_optim_window_bytes(o, p) : 0;
    if (window > o->window_bytes) o->window_bytes = window;
}

static void lay_out(pawl_optim *o)
{
    const int64_t blocks = pawl_norm_blocks(o->parts, o->part_count, 0, INT64_MAX) +
                           pawl_norm_blocks(o->parts, o->part_count, o->first, o->end);
    o->pieces = pawl_take_bytes(&o->here, (size_t)o->part_count * sizeof *o->pieces);
    for (int i = 0; i < o->part_count; i++) {
        pawl_piece here, *p = o->pieces ? &o->pieces[i] : &here;
        find_piece(o, &o->parts[i], p);
        if (p->count > 0) lay_out_piece(o, p);
    }
    o->blocks = pawl_take_bytes(&o->arena, (size_t)blocks * sizeof *o->blocks);
    o->scratch = pawl_take_bytes(&o->arena, o->scratch_bytes);
    for (int i = 0; i < PAWL_OPTIM_WINDOWS && o->offload; i++) o->window[i] = pawl_take_bytes(&o->arena, o->window_bytes);
    o->blocks_here = pawl_device_shares_memory(o->device) ? o->blocks : pawl_take_bytes(&o->here, (size_t)blocks * sizeof *o->blocks);
}

static pawl_optim optim_of(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count, int64_t first, int64_t end)
{
    return (pawl_optim){.config = *c,
                        .device = d,
                        .parts = parts,
                        .part_count = part_count,
                        .first = first,
                        .end = end,
                        .offload = c->offload_optimizer && !pawl_device_shares_memory(d)};
}

pawl_room pawl_optim_bytes(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count, int64_t first,
                        int64_t end)
{
    pawl_optim o = optim_of(c, d, parts, part_count, first, end);
    lay_out(&o);
    return pawl_room_of(&o.arena, &o.here);
}

pawl_status pawl_optim_open(const pawl_optim_config *c, pawl_device *d, const pawl_extent *parts, int part_count,
                            int64_t first, int64_t end, pawl_optim **out)
{
    pawl_optim *o;
    PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "the optimizer"));
    *o = optim_of(c, d, parts, part_count, first, end);
    o->arena.name = o->here.name = "optimizer";
    lay_out(o); /* measures */
    pawl_status s = pawl_arena_open_on(d, PAWL_ON_DEVICE, &o->arena);
    if (s == PAWL_OK) s = pawl_arena_open_on(d, PAWL_ON_HOST, &o->here);
    if (s != PAWL_OK) {
        pawl_optim_close(o);
        return s;
    }
    lay_out(o);
    *out = o;
    return PAWL_OK;
}

void pawl_optim_close(pawl_optim *o)
{
    if (!o) return;
    pawl_arena_close_on(o->device, PAWL_ON_DEVICE, &o->arena);
    pawl_arena_close_on(o->device, PAWL_ON_HOST, &o->here);
    pawl_free(o);
}

/* ---- state ---- */

static pawl_status list_ema(const pawl_piece *p, const char *name, pawl_state *out)
{
    pawl_tensor whole = pawl_shape_alike(p->of);
    whole.data = p->ema;
    PAWL_TRY(pawl_state_add(out, "ema/", name, whole));
    out->items[out->count - 1].first = p->count > 0 ? p->first : 0;
    out->items[out->count - 1].count = p->count;
    return PAWL_OK;
}

static pawl_status list_piece(const pawl_optim_config *c, const pawl_piece *p, const char *name, pawl_state *out)
{
    for (int j = 0; j < PAWL_RULE_RUNS && p->rule->runs[j].name; j++) {
        char prefix[PAWL_NAME_MAX];
        pawl_tensor whole = p->rule->runs[j].shape(c, p->of);
        if (pawl_tensor_count(whole) == 0) continue;
        whole.data = p->state[j];
        snprintf(prefix, sizeof prefix, "optimizer/%s/%s/", p->rule->name, p->rule->runs[j].name);
        PAWL_TRY(pawl_state_add(out, prefix, name, whole));
        pawl_named *item = &out->items[out->count - 1];
        if (p->count > 0)
            pawl_run_part(&p->rule->runs[j], whole, p, &item->first, &item->count);
        else
            item->count = 0;
    }
    return c->ema_decay > 0 ? list_ema(p, name, out) : PAWL_OK;
}

pawl_status pawl_optim_state(const pawl_optim *o, const pawl_state *names, pawl_state *out)
{
    PAWL_CHECK(names->count == o->part_count, PAWL_EBUG, "%d names for %d tensors", names->count, o->part_count);
    const int first = out->count;
    for (int i = 0; i < o->part_count; i++) PAWL_TRY(list_piece(&o->config, &o->pieces[i], names->items[i].name, out));
    for (int i = first; i < out->count; i++) {
        out->items[i].device = o->offload ? NULL : o->device;
        out->items[i].offloaded = o->offload;
    }
    return PAWL_OK;
}

pawl_status pawl_optim_state_like(const pawl_optim_config *c, const pawl_extent *parts, const pawl_state *names,
                                  int64_t first, int64_t end, pawl_state *out)
{
    const pawl_optim o = {.config = *c, .first = first, .end = end};
    for (int i = 0; i < names->count; i++) {
        pawl_piece p;
        find_piece(&o, &parts[i], &p);
        PAWL_TRY(list_piece(c, &p, names->items[i].name, out));
    }
    return PAWL_OK;
}

/* ---- the step ---- */

/* PyTorch's clip_grad_norm_: the factor has 1e-6 under it, and is never above 1. */
static double clip_factor(double max_norm, double norm)
{
    const double factor = max_norm > 0 ? max_norm / (norm + 1e-6) : 1;
    return factor < 1 ? factor : 1;
}

/* How far the average goes towards the weights after step t (from 1); 0: it is not this one's turn. */
static double ema_part(const pawl_optim_config *c, int64_t t)
{
    const double turn = (double)(t / c->ema_every), early = (1 + turn) / (10 + turn);
    if (c->ema_decay == 0 || t % c->ema_every != 0) return 0;
    return 1 - (c->ema_warmup && early < c->ema_decay ? early : c->ema_decay);
}

pawl_status pawl_optim_begin(pawl_optim *o, const float *weights)
{
    for (int i = 0; i < o->part_count; i++) {
        const pawl_piece *p = &o->pieces[i];
        const float *from = weights + (p->of->first + p->first - o->first);
        if (!p->ema) continue;
        if (o->offload) PAWL_TRY(pawl_download(o->device, p->ema, from, (size_t)p->count * sizeof *from));
        else PAWL_TRY(pawl_copy(o->device, p->ema, from, p->count));
    }
    return PAWL_OK;
}

void pawl_optim_seed(pawl_optim *o, uint64_t seed)
{
    o->seed = seed;
}

void pawl_optim_since(pawl_optim *o, int64_t step)
{
    o->since = step;
}

/* The bytes of a run of state: zeros, whatever the type, from places that are all aligned. */
static pawl_status clear_bytes(const pawl_optim *o, void *at, size_t bytes)
{
    pawl_device *d = o->device;
    const size_t whole = bytes / sizeof(float), rest = bytes % sizeof(float);
    const char zeros[sizeof(float)] = {0};
    if (o->offload) {
        memset(at, 0, bytes);
        return PAWL_OK;
    }
    PAWL_TRY(pawl_zero(d, at, (int64_t)whole));
    return pawl_upload(d, (char *)at + whole * sizeof(float), zeros, rest);
}

pawl_status pawl_optim_forget(pawl_optim *o)
{
    for (int i = 0; i < o->part_count; i++) {
        const pawl_piece *p = &o->pieces[i];
        for (int j = 0; p->count > 0 && j < PAWL_RULE_RUNS && p->rule->runs[j].name; j++) {
            int64_t first, count;
            const pawl_tensor whole = p->rule->runs[j].shape(&o->config, p->of);
            pawl_run_part(&p->rule->runs[j], whole, p, &first, &count);
            if (count > 0) PAWL_TRY(clear_bytes(o, p->state[j], (size_t)count * pawl_dtype_bytes(whole.dtype)));
        }
    }
    return PAWL_OK;
}

void pawl_optim_freeze(pawl_optim *o, int part)
{
    o->pieces[part].frozen = 1;
}

pawl_dtype pawl_optim_weights(const pawl_optim_config *c)
{
    return c->master_weights ? PAWL_F32 : PAWL_BF16;
}

/* How a piece's numbers are kept, and which of the flat run's they are. */
static pawl_kept_as kept_as(const pawl_optim *o, const pawl_piece *p, int64_t step)
{
    return (pawl_kept_as){.weights = pawl_optim_weights(&o->config),
                          .moments = pawl_moments_type(&o->config),
                          .seed = o->seed,
                          .step = (uint64_t)step,
                          .first = p->of->first + p->first};
}

typedef struct updating {
    void *weights;
    const float *grads;
    double lr, part;
    int64_t step;
    pawl_rule_step k;
} updating;

static pawl_status update(pawl_optim *o, const pawl_piece *p, void *self)
{
    updating *u = self;
    const int64_t at = p->of->first + p->first - o->first;
    void *w = (char *)u->weights + at * (int64_t)pawl_dtype_bytes(pawl_optim_weights(&o->config));
    u->k.decay = p->of->decays ? o->config.weight_decay : 0;
    u->k.lr = pawl_rate_of(&o->config, p->of, u->lr);
    u->k.kept = kept_as(o, p, u->step);
    PAWL_TRY(p->rule->step(o, p, w, u->grads + at, &u->k));
    return u->part > 0 ? pawl_lerp(o->device, p->ema, w, (float)u->part, p->count) : PAWL_OK; /* never of bf16 (pawl_optim_checks) */
}

pawl_status pawl_optim_step(pawl_optim *o, void *weights, const float *grads, double norm, double lr, int64_t step)
{
    const pawl_optim_config *c = &o->config;
    updating u = {.weights = weights, .grads = grads, .lr = lr, .part = ema_part(c, step + 1), .step = step,
                  .k = {.t = step + 1 - o->since, .grad_scale = clip_factor(c->max_grad_norm, norm)}};
    if (o->offload) return pawl_optim_stream(o, update, &u);
    for (int i = 0; i < o->part_count; i++)
        if (o->pieces[i].count > 0 && !o->pieces[i].frozen) PAWL_TRY(update(o, &o->pieces[i], &u));
    return PAWL_OK;
}
