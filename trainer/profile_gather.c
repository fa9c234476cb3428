/* Every rank's sums to all, and rank 0's one list of them. Ranks name their nodes by path: an address means nothing elsewhere. */
#include <stdio.h>
#include <string.h>

#include "trainer/profile.h"

const char *pawl_profile_name(const pawl_profile_line *l)
{
    const char *slash = strrchr(l->path, '/');
    return slash ? slash + 1 : l->path;
}

int pawl_profile_in_step(const pawl_profile_line *l)
{
    return strncmp(l->path, "step/", 5) == 0 || strcmp(l->path, "step") == 0;
}

int pawl_profile_most(const double *v, int ranks)
{
    int most = 0;
    for (int i = 1; i < ranks; i++)
        if (v[i] > v[most]) most = i;
    return most;
}

int pawl_profile_least(const double *v, int ranks)
{
    int least = 0;
    for (int i = 1; i < ranks; i++)
        if (v[i] < v[least]) least = i;
    return least;
}

/* ---- One rank ---- */

static void fill_line(const pawl_span_node *n, const pawl_profile_line *parent, pawl_profile_line *l)
{
    *l = (pawl_profile_line){.kind = n->kind,
                             .depth = parent ? parent->depth + 1 : 0,
                             .calls = n->calls,
                             .ns = n->ns,
                             .inside_ns = n->inside_ns,
                             .flops = n->flops,
                             .bytes = n->bytes,
                             .ideal_seconds = n->ideal_seconds};
    const int length = snprintf(l->path, sizeof l->path, "%s%s%s", parent ? parent->path : "", parent ? "/" : "", n->name);
    PAWL_ASSERT(length > 0 && length < (int)sizeof l->path); /* names are ours */
    if (n->letters) snprintf(l->letters, sizeof l->letters, "%s", n->letters);
    memcpy(l->shape, n->shape, sizeof l->shape);
}

static void fill_memory(pawl_profile_rank *me)
{
    pawl_arena_use uses[PAWL_ARENA_NAMES];
    me->memory = pawl_memory_of_process();
    me->arenas_peak = pawl_arena_use_of(NULL, 0).peak;
    me->device_arenas_peak = pawl_arena_use_of(NULL, 1).peak;
    me->arena_count = pawl_arena_uses(uses);
    for (int i = 0; i < me->arena_count; i++) {
        snprintf(me->arenas[i].name, sizeof me->arenas[i].name, "%s%s", uses[i].on_device ? "GPU: " : "", uses[i].name);
        me->arenas[i].peak = uses[i].peak;
    }
}

static void fill_rank(const pawl_profiler *r, const pawl_profile_line *lines, pawl_profile_rank *me)
{
    const pawl_span_track *main = pawl_spans_track(r->spans, PAWL_SPAN_MAIN);
    *me = (pawl_profile_rank){.lines = main->node_count,
                              .steps = r->steps,
                              .threads = pawl_device_threads(r->p->device),
                              .allocations = r->allocations,
                              .rates = r->rates,
                              .clock = r->clock};
    for (int64_t i = 0; i < main->node_count; i++) {
        if (lines[i].depth == 0 && pawl_profile_in_step(&lines[i])) me->step_ns += lines[i].ns;
        if (lines[i].kind == PAWL_SPAN_WAIT && pawl_profile_in_step(&lines[i])) me->wait_ns += lines[i].ns;
    }
    for (int i = 0; i < pawl_spans_tracks(r->spans); i++) {
        const pawl_span_track *t = pawl_spans_track(r->spans, i);
        me->events += t->event_count;
        me->events_lost += t->events_lost;
        if (i >= PAWL_SPAN_POOL) me->pool_busy_ns += t->busy_ns;
    }
    fill_memory(me);
}

static pawl_status fill_mine(const pawl_profiler *r, pawl_profile_line **out, pawl_profile_rank *me)
{
    const pawl_span_track *main = pawl_spans_track(r->spans, PAWL_SPAN_MAIN);
    pawl_profile_line *lines;
    PAWL_TRY(pawl_alloc((void **)&lines, (size_t)main->node_count * sizeof *lines, "the profile's lines"));
    for (int64_t i = 0; i < main->node_count; i++) /* parents were made first */
        fill_line(&main->nodes[i], main->nodes[i].parent >= 0 ? &lines[main->nodes[i].parent] : NULL, &lines[i]);
    fill_rank(r, lines, me);
    *out = lines;
    return PAWL_OK;
}

/* ---- All ranks ---- */

static int same_line(const pawl_profile_line *a, const pawl_profile_line *b)
{
    return strcmp(a->path, b->path) == 0 && strcmp(a->letters, b->letters) == 0 && memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

/* Ranks make their nodes in nearly the same order, so the search begins where the last one ended. */
static int find_line(const pawl_profile *f, const pawl_profile_line *l, int hint)
{
    for (int i = 0; i < f->count; i++) {
        const int at = (hint + i) % f->count;
        if (same_line(&f->lines[at], l)) return at;
    }
    return -1;
}

static void add_line(pawl_profile *f, const pawl_profile_line *l, int rank, int *hint)
{
    int at = find_line(f, l, *hint);
    if (at < 0) {
        at = f->count++;
        f->lines[at] = *l;
    } else {
        pawl_profile_line *sum = &f->lines[at];
        sum->calls += l->calls;
        sum->ns += l->ns;
        sum->inside_ns += l->inside_ns;
        sum->flops += l->flops;
        sum->bytes += l->bytes;
        sum->ideal_seconds += l->ideal_seconds;
    }
    f->ns[(int64_t)at * f->ranks + rank] += (double)l->ns;
    *hint = at + 1;
}

static pawl_status merge(pawl_profile *f, const pawl_profile_line *all, int64_t total)
{
    PAWL_TRY(pawl_alloc((void **)&f->lines, (size_t)total * sizeof *f->lines, "the profile"));
    PAWL_TRY(pawl_alloc((void **)&f->ns, (size_t)(total * f->ranks) * sizeof *f->ns, "the profile"));
    PAWL_TRY(pawl_alloc((void **)&f->work, (size_t)f->ranks * sizeof *f->work, "the profile"));
    for (int rank = 0, hint = 0; rank < f->ranks; rank++, hint = 0) {
        f->work[rank] = (double)(f->rank[rank].step_ns - f->rank[rank].wait_ns);
        for (int64_t i = 0; i < f->rank[rank].lines; i++, all++) add_line(f, all, rank, &hint);
    }
    return PAWL_OK;
}

/* Rooms for what all ranks send: blocks of lines, rank after rank. */
static pawl_status make_room(const pawl_profile *f, size_t **places, pawl_profile_line **all, int64_t *total)
{
    PAWL_TRY(pawl_alloc((void **)places, 2 * (size_t)f->ranks * sizeof **places, "the profile"));
    *total = 0;
    for (int i = 0; i < f->ranks; i++) {
        (*places)[i] = (size_t)f->rank[i].lines * sizeof **all;
        (*places)[f->ranks + i] = (size_t)*total * sizeof **all;
        *total += f->rank[i].lines;
    }
    return pawl_alloc((void **)all, (size_t)*total * sizeof **all, "the profile");
}

pawl_status pawl_profile_gather(const pawl_profiler *r, pawl_profile *out)
{
    pawl_comm *c = r->p->comm;
    pawl_profile_line *mine = NULL, *all = NULL;
    pawl_profile_rank me;
    size_t *places = NULL;
    int64_t total = 0;
    pawl_status status;
    out->ranks = c->size;
    memset(&me, 0, sizeof me);
    status = fill_mine(r, &mine, &me);
    if (status == PAWL_OK) status = pawl_alloc((void **)&out->rank, (size_t)c->size * sizeof *out->rank, "the profile");
    PAWL_TRY_OUT(pawl_agree(c, status));
    PAWL_TRY_OUT(pawl_allgather(c, &me, sizeof me, out->rank));
    PAWL_TRY_OUT(pawl_agree(c, make_room(out, &places, &all, &total)));
    PAWL_TRY_OUT(pawl_allgather_blocks(c, mine, places, places + c->size, all));
    PAWL_TRY_OUT(pawl_agree(c, c->rank == 0 ? merge(out, all, total) : PAWL_OK));
out:
    pawl_free(mine);
    pawl_free(all);
    pawl_free(places);
    return status;
}

void pawl_profile_free(pawl_profile *f)
{
    pawl_free(f->rank);
    pawl_free(f->lines);
    pawl_free(f->ns);
    pawl_free(f->work);
}
