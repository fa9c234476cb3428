/* What a run says of itself in metrics.jsonl: steps, evaluations, events. Rank 0 writes. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include "core/arena.h"
#include "core/log.h"
#include "core/memory.h"
#include "trainer/continual/stream.h"

/* JSON has no infinities: a figure that is not finite is null. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

pawl_status pawl_record_step(pawl_trainer *t, const pawl_step_report *r, double seconds)
{
    if (t->p->comm->rank != 0) return PAWL_OK;
    json_t *line = json_object(), *per_rank = json_array();
    uint64_t bytes = 0;
    for (int i = 0; i < t->p->comm->size; i++) {
        bytes += t->ballots[i].bytes_sent;
        json_array_append_new(per_rank, json_integer(t->ballots[i].tokens));
    }
    json_object_set_new(line, "step", json_integer(t->step));
    json_object_set_new(line, "stage", json_string(pawl_course_stage(t)->name));
    json_object_set_new(line, "loss", number(r->loss));
    json_object_set_new(line, "lr", number(r->lr));
    json_object_set_new(line, "grad_norm", number(r->grad_norm));
    json_object_set_new(line, "tokens", json_integer(r->tokens));
    json_object_set_new(line, "tokens_total", json_integer(t->tokens_total));
    json_object_set_new(line, "tokens_per_second", number((double)r->tokens / seconds));
    json_object_set_new(line, "tokens_per_rank", per_rank);
    json_object_set_new(line, "replay_rows", json_integer(r->replayed));
    if (r->penalty != 0) json_object_set_new(line, "penalty", number(r->penalty));
    if (r->distill != 0) json_object_set_new(line, "distill_loss", number(r->distill));
    json_object_set_new(line, "seconds", number(seconds));
    json_object_set_new(line, "bytes_sent", json_integer((json_int_t)bytes));
    return pawl_metrics_add(t->metrics, line);
}

pawl_status pawl_record_event(pawl_trainer *t, const char *event, json_t *rest)
{
    json_t *line = json_pack("{s:I,s:s}", "step", (json_int_t)t->step, "event", event);
    if (rest) json_object_update_new(line, rest);
    return pawl_metrics_add(t->metrics, line);
}

/* {domain: value} of the domains that have the measure; NULL when none has. */
static json_t *by_domain(const json_t *scores, const char *measure)
{
    json_t *all = NULL, *score;
    const char *domain;
    json_object_foreach((json_t *)(uintptr_t)scores, domain, score)
    {
        json_t *value = json_object_get(score, measure);
        if (value && !all) all = json_object();
        if (value) json_object_set(all, domain, value);
    }
    return all;
}

pawl_status pawl_record_scores(pawl_trainer *t, const char *at)
{
    static const char *const beside[] = {"accuracy", "accuracy_norm", "kl", NULL};
    json_t *scores;
    PAWL_TRY(pawl_scores_json(t->p->data, t->scores, &scores));
    json_t *entry = json_pack("{s:I,s:s,s:i,s:s,s:O}", "step", (json_int_t)t->step, "stage", pawl_course_stage(t)->name,
                              "stage_index", t->course->before + t->course->stage, "at", at, "scores", scores);
    json_t *line = json_pack("{s:I,s:s,s:s,s:o}", "step", (json_int_t)t->step, "stage", pawl_course_stage(t)->name,
                             "at", at, "eval", by_domain(scores, "loss"));
    for (int i = 0; beside[i]; i++) {
        json_t *values = by_domain(scores, beside[i]);
        if (values) json_object_set_new(line, beside[i], values);
    }
    json_decref(scores);
    const pawl_status s = pawl_lineage_evaluation(t->lineage, entry);
    if (s == PAWL_OK) return pawl_metrics_add(t->metrics, line);
    json_decref(line);
    return s;
}

/* ---- memory ---- */

typedef struct used { /* of one rank */
    uint64_t planned, arenas, peak;
    uint64_t device_planned, device_arenas, device_used; /* used: by all of its processes and libraries, as the device says */
} used;

static json_t *arenas_by_name(int on_device)
{
    pawl_arena_use uses[PAWL_ARENA_NAMES];
    json_t *out = json_object();
    const int count = pawl_arena_uses(uses);
    for (int i = 0; i < count; i++)
        if (uses[i].on_device == on_device) json_object_set_new(out, uses[i].name, json_integer((json_int_t)uses[i].peak));
    return out;
}

/* One number of each rank. */
static json_t *of_ranks(const pawl_trainer *t, const used *all, size_t member)
{
    json_t *out = json_array();
    for (int r = 0; r < t->p->comm->size; r++)
        json_array_append_new(out, json_integer((json_int_t) * (const uint64_t *)((const char *)&all[r] + member)));
    return out;
}

/* {planned_bytes, arena_bytes, peak_bytes: [ranks]}, what the arenas of rank 0 held at most, by category, and the work that was planned;
 * the same of devices that have memory of their own. */
static json_t *memory_json(const pawl_trainer *t, const used *all)
{
    json_t *out = json_pack("{s:o,s:o,s:o,s:o,s:{s:I,s:f,s:f,s:f}}", "planned_bytes", of_ranks(t, all, offsetof(used, planned)), "arena_bytes",
                            of_ranks(t, all, offsetof(used, arenas)), "peak_bytes", of_ranks(t, all, offsetof(used, peak)), "arenas",
                            arenas_by_name(0), "plan", "steps", (json_int_t)t->plan.steps, "tokens", t->plan.tokens, "flops", t->plan.flops,
                            "elapsed_seconds", pawl_seconds() - t->started);
    if (pawl_device_shares_memory(t->p->device)) return out;
    json_object_set_new(out, "device_planned_bytes", of_ranks(t, all, offsetof(used, device_planned)));
    json_object_set_new(out, "device_arena_bytes", of_ranks(t, all, offsetof(used, device_arenas)));
    json_object_set_new(out, "device_used_bytes", of_ranks(t, all, offsetof(used, device_used)));
    json_object_set_new(out, "device_arenas", arenas_by_name(1));
    return out;
}

static void show_memory(const pawl_trainer *t, const used *all)
{
    char peak[32], planned[32];
    int worst = 0, device = 0;
    for (int r = 1; r < t->p->comm->size; r++) {
        if (all[r].peak > all[worst].peak) worst = r;
        if (all[r].device_arenas > all[device].device_arenas) device = r;
    }
    pawl_format_bytes((double)all[worst].peak, peak);
    pawl_format_bytes((double)all[worst].planned, planned);
    pawl_screen_line(t->p, "memory   %s at most on a rank, planned %s", peak, planned);
    if (pawl_device_shares_memory(t->p->device)) return;
    pawl_format_bytes((double)all[device].device_arenas, peak);
    pawl_format_bytes((double)all[device].device_planned, planned);
    pawl_screen_line(t->p, "GPU      %s at most on a rank beside the libraries' own, planned with it %s", peak, planned);
}

pawl_status pawl_record_memory(pawl_trainer *t)
{
    pawl_comm *c = t->p->comm;
    const pawl_device_memory m = pawl_device_memory_of(t->p->device);
    const used mine = {.planned = t->plan.host.peak_bytes,
                       .arenas = pawl_arena_use_of(NULL, 0).peak,
                       .peak = pawl_memory_of_process().peak,
                       .device_planned = t->plan.device.peak_bytes,
                       .device_arenas = pawl_arena_use_of(NULL, 1).peak,
                       .device_used = m.total - m.available};
    used *all;
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&all, (size_t)c->size * sizeof *all, "the ranks' memory")));
    pawl_status s = pawl_allgather(c, &mine, sizeof mine, all);
    if (s == PAWL_OK) {
        show_memory(t, all);
        s = pawl_agree(c, pawl_record_event(t, "memory", memory_json(t, all)));
    }
    pawl_free(all);
    return s;
}

static void describe(const pawl_trainer *t, const pawl_step_row *r, char *out, size_t room)
{
    if (r->item < 0) {
        pawl_row_describe(t->p->data, PAWL_TRAIN, r->row, out, room);
        return;
    }
    const pawl_memory *m = t->course->memory;
    snprintf(out, room, "%s, row %lld of the memory", pawl_memory_domain(m, (int)pawl_memory_kept(m, r->item)->domain), (long long)r->item);
}

/* Names the rows that are not finite; where only their sum is not, the rows of the step. At most NAMED of them. */
static int name_rows(const pawl_trainer *t, json_t *names, pawl_text *text)
{
    enum { NAMED = 8 };
    const pawl_step_row *rows = pawl_step_rows(t->stepper);
    const pawl_row_result *results = pawl_step_results(t->stepper);
    const int64_t count = pawl_step_count(t->stepper);
    int bad = 0, named = 0;
    for (int64_t g = 0; g < count; g++) bad += results[g].bad != 0;
    for (int64_t g = 0; g < count && named < NAMED; g++) {
        char name[512];
        if (bad && !results[g].bad) continue;
        describe(t, &rows[g], name, sizeof name);
        json_array_append_new(names, json_string(name));
        pawl_text_add(text, "%s%s", named++ ? "; " : "", name);
    }
    if ((bad ? bad : count) > named) pawl_text_add(text, "; ...");
    return bad;
}

pawl_status pawl_record_skip(pawl_trainer *t, const pawl_step_report *r)
{
    json_t *names = json_array();
    pawl_text text = {0};
    const int bad = name_rows(t, names, &text);
    if (t->p->comm->rank == 0)
        pawl_log(PAWL_LOG_WARN, "step %lld skipped, weights unchanged: %s is not finite, from %s%s", (long long)t->step,
                 isfinite(r->loss) ? "the gradient" : "the loss", bad ? "" : "the sum over ", text.data ? text.data : "");
    pawl_text_close(&text);
    return pawl_record_event(t, "skip", json_pack("{s:i,s:o}", "bad_rows", bad, "rows", names));
}
