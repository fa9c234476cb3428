/* The profile for people: phases, ops, memory, in milliseconds of a step as the mean over ranks and steps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/internal.h"
#include "trainer/profile.h"

enum { OPS = 64 };

/* ---- Ops ---- */

static int by_time(const void *a, const void *b)
{
    const pawl_profile_op *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

int pawl_profile_ops(const pawl_profile *f, pawl_profile_op *out, int room)
{
    int count = 0;
    for (int i = 0; i < f->count; i++) {
        const pawl_profile_line *l = &f->lines[i];
        const char *name = pawl_profile_name(l);
        int at = 0;
        if (l->kind != PAWL_SPAN_OP || !pawl_profile_in_step(l)) continue;
        while (at < count && strcmp(out[at].name, name) != 0) at++;
        if (at == room) continue;
        if (at == count) out[count++] = (pawl_profile_op){.name = name};
        out[at].calls += l->calls;
        out[at].ns += l->ns;
        out[at].flops += l->flops;
        out[at].bytes += l->bytes;
        out[at].ideal_seconds += l->ideal_seconds;
    }
    qsort(out, (size_t)count, sizeof *out, by_time);
    return count;
}

typedef struct table {
    const pawl_profiler *r;
    const pawl_profile *f;
    double per;  /* ns, summed over ranks and steps, to ms of a step of a rank */
    double step; /* ms */
} table;

static void show_ops(const table *t)
{
    const pawl_parts *p = t->r->p;
    pawl_profile_op ops[OPS];
    const int count = pawl_profile_ops(t->f, ops, OPS);
    pawl_screen_line(p, "  %-30s%10s%8s%9s%11s%9s%11s", "op", "ms", "share", "calls", "GFLOP/s", "GB/s", "roofline");
    for (int i = 0; i < count; i++) {
        const pawl_profile_op *o = &ops[i];
        const double seconds = 1e-9 * (double)o->ns, steps = (double)t->r->steps * t->f->ranks;
        pawl_screen_line(p, "  %-30s%10.3f%7.1f%%%9.0f%11.2f%9.2f%10.0f%%", o->name, t->per * (double)o->ns,
                         100 * t->per * (double)o->ns / t->step, (double)o->calls / steps, 1e-9 * o->flops / seconds, 1e-9 * o->bytes / seconds,
                         100 * o->ideal_seconds / seconds);
    }
}

/* ---- Phases ---- */

static void show_phase(const table *t, int at)
{
    const pawl_profile_line *l = &t->f->lines[at];
    const int ranks = t->f->ranks;
    const double *ns = &t->f->ns[(int64_t)at * ranks];
    char label[64], slowest[48] = "";
    const double most = ns[pawl_profile_most(ns, ranks)], least = ns[pawl_profile_least(ns, ranks)];
    if (ranks > 1) snprintf(slowest, sizeof slowest, "%8d%10.1f%%", pawl_profile_most(ns, ranks), most > 0 ? 100 * (most - least) / most : 0);
    snprintf(label, sizeof label, "%*s%s%s", 2 * l->depth, "", pawl_profile_name(l), l->kind == PAWL_SPAN_WAIT ? " (waiting)" : "");
    pawl_screen_line(t->r->p, "  %-30s%10.3f%7.1f%%%9.1f%s", label, t->per * (double)l->ns, 100 * t->per * (double)l->ns / t->step,
                     (double)l->calls / (double)t->r->steps / ranks, slowest);
}

/* What belongs to a phase stands under it, in the order of its first time. */
static int is_under(const pawl_profile_line *l, const pawl_profile_line *parent)
{
    const size_t n = parent ? strlen(parent->path) : 0;
    return l->depth == (parent ? parent->depth + 1 : 0) && (!parent || (strncmp(l->path, parent->path, n) == 0 && l->path[n] == '/'));
}

static void show_phases(const table *t, const pawl_profile_line *parent)
{
    int between = 0;
    for (int i = 0; i < t->f->count; i++) {
        if (!is_under(&t->f->lines[i], parent) || t->f->lines[i].kind == PAWL_SPAN_OP) continue;
        if (!parent && !pawl_profile_in_step(&t->f->lines[i]) && !between++) pawl_screen_line(t->r->p, "  %-30s", "between steps");
        show_phase(t, i);
        show_phases(t, &t->f->lines[i]);
    }
}

/* ---- Ranks and machine ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void show_steps(const table *t)
{
    const pawl_profiler *r = t->r;
    double sorted[PAWL_PROFILE_STEPS];
    const int n = (int)(r->steps < PAWL_PROFILE_STEPS ? r->steps : PAWL_PROFILE_STEPS);
    memcpy(sorted, r->seconds, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    pawl_screen_line(r->p, "profile of %lld steps, %lld to %lld: %.3f ms a step, median %.3f, from %.3f to %.3f", (long long)r->steps,
                     (long long)(r->ended - r->steps + 1), (long long)r->ended, t->step, 1e3 * sorted[n / 2], 1e3 * sorted[0], 1e3 * sorted[n - 1]);
}

static void show_ranks(const table *t)
{
    const int ranks = t->f->ranks;
    const double *work = t->f->work, ms = 1e-6 / (double)t->r->steps;
    double wait = 0;
    for (int i = 0; i < ranks; i++) wait += ms * (double)t->f->rank[i].wait_ns / ranks;
    const int slow = pawl_profile_most(work, ranks), fast = pawl_profile_least(work, ranks);
    const pawl_profile_rank *k = &t->f->rank[0];
    char low[48] = "";
    if (t->r->p->train->bf16) snprintf(low, sizeof low, " (bf16 %.1f)", 1e-9 * k->rates.bf16_flops);
    pawl_screen_line(t->r->p, "  machine  products %.1f%s GFLOP/s, memory %.1f GB/s: rank 0, measured while all ranks measured", 1e-9 * k->rates.f32_flops,
                     low, 1e-9 * k->rates.bytes);
    if (ranks == 1) return;
    pawl_screen_line(t->r->p, "  ranks    slowest %d, at work %.3f ms a step; fastest %d, %.3f ms: %.1f%% less; waiting %.3f ms on average", slow,
                     ms * work[slow], fast, ms * work[fast], 100 * (work[slow] - work[fast]) / work[slow], wait);
}

/* ---- Memory ---- */

static void show_memory(const table *t, const pawl_plan *plan)
{
    const pawl_profile_rank *k = &t->f->rank[0];
    char one[32], two[32];
    pawl_screen_line(t->r->p, "  %-30s%14s", "memory of rank 0", "high-water");
    for (int i = 0; i < k->arena_count; i++) {
        pawl_format_bytes((double)k->arenas[i].peak, one);
        pawl_screen_line(t->r->p, "  %-30s%14s", k->arenas[i].name, one);
    }
    pawl_format_bytes((double)k->arenas_peak, one);
    pawl_format_bytes((double)plan->host.peak_bytes, two);
    pawl_screen_line(t->r->p, "  %-30s%14s", "all at once", one);
    pawl_format_bytes((double)k->memory.peak, one);
    pawl_screen_line(t->r->p, "  %-30s%14s   planned %s", "resident (VmHWM)", one, two);
    pawl_format_bytes((double)k->device_arenas_peak, one);
    pawl_format_bytes((double)plan->device.peak_bytes, two);
    if (plan->device.peak_bytes) pawl_screen_line(t->r->p, "  %-30s%14s   planned %s", "GPU: all at once", one, two);
    pawl_screen_line(t->r->p, "  %-30s%14ld", "allocations inside steps", k->allocations);
}

void pawl_profile_show(const pawl_profiler *r, const pawl_profile *f, const pawl_plan *plan)
{
    table t = {.r = r, .f = f, .per = 1e-6 / ((double)r->steps * f->ranks)};
    int64_t step_ns = 0, lost = 0;
    for (int i = 0; i < f->ranks; i++) {
        step_ns += f->rank[i].step_ns;
        lost += f->rank[i].events_lost;
    }
    t.step = t.per * (double)step_ns;
    show_steps(&t);
    show_ranks(&t);
    pawl_screen_line(r->p, "  %-30s%10s%8s%9s%s", "phase", "ms", "share", "calls", f->ranks > 1 ? " slowest rank  spread" : "");
    show_phases(&t, NULL);
    show_ops(&t);
    show_memory(&t, plan);
    if (lost) pawl_screen_line(r->p, "  trace    %lld events did not fit: trace.json has the first steps only; the sums here have all", (long long)lost);
    pawl_screen_line(r->p, "  output   %s/profile.json, and trace.json for ui.perfetto.dev or chrome://tracing", r->p->train->output_dir);
}
