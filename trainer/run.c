/* The loop: steps, and at every step boundary what all ranks decide alike - evaluation, saving, stopping. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/memory.h"
#include "trainer/continual/keeping.h"
#include "trainer/continual/stream.h"
#include "trainer/profile.h"

/* On all ranks before any of them takes memory, so that none counts what another has taken already. */
static pawl_status plan(pawl_trainer *t)
{
    PAWL_TRY(pawl_plan_of(t->p, &t->plan));
    return pawl_plan_fits(t->p, &t->plan);
}

static pawl_status take(pawl_trainer *t)
{
    const pawl_parts *p = t->p;
    const size_t domains = (size_t)pawl_data_domains(p->data, PAWL_HELD_OUT) + 1;
    PAWL_TRY(pawl_alloc((void **)&t->scores, domains * sizeof *t->scores, "scores"));
    PAWL_TRY(pawl_alloc((void **)&t->votes, (size_t)p->comm->size * sizeof *t->votes, "votes"));
    PAWL_TRY(pawl_alloc((void **)&t->ballots, (size_t)p->comm->size * sizeof *t->ballots, "ballots"));
    PAWL_TRY(pawl_alloc((void **)&t->tokens, (size_t)pawl_data_domains(p->data, PAWL_TRAIN) * sizeof *t->tokens, "token counts"));
    PAWL_TRY(pawl_stepper_open(p, &t->stepper));
    PAWL_TRY(pawl_evaluator_open(p, &t->evaluator));
    PAWL_TRY(pawl_profiler_open(p, &t->profiler));
    return pawl_lineage_new(p, &t->lineage);
}

pawl_status pawl_trainer_open(const pawl_parts *p, pawl_trainer **out)
{
    pawl_trainer *t;
    PAWL_TRY(pawl_alloc((void **)&t, sizeof *t, "the trainer"));
    t->p = p;
    t->evaluated = t->saved = t->resumed = -1;
    pawl_watch("opening the trainer", (double)p->reduce->phase_seconds);
    pawl_memory_trim();
    pawl_status s = pawl_agree(p->comm, plan(t));
    if (s == PAWL_OK) s = pawl_agree(p->comm, take(t));
    if (s == PAWL_OK) s = pawl_shared_register(p->comm);
    if (s == PAWL_OK) s = pawl_course_open(t);
    if (s == PAWL_OK) s = pawl_course_saver(t);
    if (s != PAWL_OK) {
        pawl_trainer_close(t);
        return s;
    }
    *out = t;
    return PAWL_OK;
}

void pawl_trainer_close(pawl_trainer *t)
{
    if (!t) return;
    pawl_saver_close(t->saver);
    pawl_profiler_close(t->profiler); /* no thread writes to it any more */
    pawl_metrics_close(t->metrics);
    pawl_course_close(t);
    pawl_evaluator_close(t->evaluator);
    pawl_stepper_close(t->stepper);
    json_decref(t->lineage);
    pawl_free(t->scores);
    pawl_free(t->ballots);
    pawl_free(t->votes);
    pawl_free(t->tokens);
    pawl_free(t);
}

float *pawl_trainer_weights(pawl_trainer *t)
{
    return pawl_stepper_weights(t->stepper);
}

pawl_status pawl_trainer_fill(pawl_trainer *t, pawl_weight_read read, void *self)
{
    return pawl_stepper_fill(t->stepper, read, self);
}

pawl_frozen *pawl_trainer_base(pawl_trainer *t)
{
    return pawl_stepper_base(t->stepper);
}

/* The first dataset with the domain name of dataset d: where that domain's tokens are counted. */
static int first_of_name(const pawl_data *data, int d)
{
    int i = 0;
    while (strcmp(pawl_data_domain(data, PAWL_TRAIN, i), pawl_data_domain(data, PAWL_TRAIN, d)) != 0) i++;
    return i;
}

/* A run may go on from a checkpoint that lies elsewhere; then its own folder has none of that step. */
static int lies_in(const char *output_dir, int64_t step)
{
    char path[1200];
    const int n = snprintf(path, sizeof path, "%s/checkpoints/step-%09lld", output_dir, (long long)step);
    return n > 0 && n < (int)sizeof path && pawl_path_exists(path);
}

static pawl_status take_over(pawl_trainer *t, const pawl_checkpoint *k)
{
    const pawl_data *data = t->p->data;
    const json_t *run = json_object_get(pawl_checkpoint_manifest(k), "run");
    json_t *lineage;
    PAWL_TRY(pawl_lineage_resume(t->p, k, &lineage));
    json_decref(t->lineage);
    t->lineage = lineage;
    PAWL_TRY(pawl_json_i64(run, "tokens_total", pawl_checkpoint_path(k), 0, INT64_MAX, &t->tokens_total));
    for (int d = 0; d < pawl_data_domains(data, PAWL_TRAIN); d++)
        if (first_of_name(data, d) == d)
            t->tokens[d] = json_integer_value(json_object_get(json_object_get(lineage, "tokens"), pawl_data_domain(data, PAWL_TRAIN, d)));
    const json_t *evaluations = json_object_get(lineage, "evaluations"), *last;
    if ((last = json_array_get(evaluations, json_array_size(evaluations) - 1)) != NULL)
        t->evaluated = json_integer_value(json_object_get(last, "step"));
    t->step = t->resumed = pawl_checkpoint_step(k);
    snprintf(t->last, sizeof t->last, "%s", pawl_checkpoint_path(k));
    t->saved = lies_in(t->p->train->output_dir, t->step) ? t->step : -1;
    snprintf(t->from, sizeof t->from, "%s", pawl_checkpoint_path(k));
    return pawl_course_place(t, k);
}

pawl_status pawl_trainer_resume(pawl_trainer *t, const char *path)
{
    pawl_checkpoint *k = NULL;
    pawl_status mine = pawl_checkpoint_open(path, &k);
    pawl_status s = pawl_agree(t->p->comm, mine == PAWL_OK ? take_over(t, k) : mine);
    if (s == PAWL_OK) s = pawl_course_resume(t, k);
    pawl_checkpoint_close(k);
    return s;
}

pawl_status pawl_trainer_continue(pawl_trainer *t, const char *path)
{
    pawl_checkpoint *k = NULL;
    pawl_status mine = pawl_checkpoint_open(path, &k);
    pawl_status s = pawl_agree(t->p->comm, mine);
    if (s == PAWL_OK) snprintf(t->last, sizeof t->last, "%s", pawl_checkpoint_path(k));
    if (s == PAWL_OK) s = pawl_course_continue(t, k);
    if (s == PAWL_OK) s = pawl_course_saver(t);
    pawl_checkpoint_close(k);
    return s;
}

/* ---- one step ---- */

static pawl_status skip(pawl_trainer *t, const pawl_step_report *r)
{
    enum { IN_A_ROW = 10 };
    pawl_status s = pawl_record_skip(t, r);
    if (s == PAWL_OK && ++t->skips >= IN_A_ROW)
        s = PAWL_FAIL(PAWL_EDATA, "%d steps in a row were not finite: the run has diverged; lower learning_rate, or look at the rows named above",
                      t->skips);
    return pawl_agree(t->p->comm, s);
}

/* The first dataset of a step's row's domain; -1 when no dataset of this run is of it. */
static int counted_at(const pawl_trainer *t, const pawl_step_row *r)
{
    const pawl_data *d = t->p->data;
    const pawl_memory *m = t->course->memory;
    if (r->item < 0) return first_of_name(d, r->row.domain);
    const char *name = pawl_memory_domain(m, (int)pawl_memory_kept(m, r->item)->domain);
    for (int i = 0; i < pawl_data_domains(d, PAWL_TRAIN); i++)
        if (strcmp(pawl_data_domain(d, PAWL_TRAIN, i), name) == 0) return i;
    return -1;
}

static void count_tokens(pawl_trainer *t, const pawl_step_report *r)
{
    const pawl_step_row *rows = pawl_step_rows(t->stepper);
    const pawl_row_result *results = pawl_step_results(t->stepper);
    t->tokens_total += r->tokens;
    for (int64_t g = 0; g < pawl_step_count(t->stepper); g++) {
        const int at = counted_at(t, &rows[g]);
        if (at >= 0) t->tokens[at] += results[g].length;
    }
}

/* Every rank's ballot to all. Norms are of one gathered gradient: ranks that differ in them do not hold the same numbers. */
static pawl_status vote(pawl_trainer *t, const pawl_step_report *r)
{
    pawl_comm *c = t->p->comm;
    const double minutes = t->p->save->save_minutes;
    pawl_ballot mine = {.save = pawl_save_vote_now(t->saver),
                        .stop = pawl_stop_asked != 0,
                        .save_now = c->rank == 0 && minutes > 0 && pawl_seconds() - t->last_save >= 60 * minutes,
                        .tokens = r->my_tokens,
                        .bytes_sent = c->bytes_sent - t->bytes_sent_before,
                        .grad_norm = r->grad_norm};
    t->bytes_sent_before = c->bytes_sent;
    PAWL_TRY(pawl_allgather(c, &mine, sizeof mine, t->ballots));
    for (int i = 1; i < c->size; i++)
        PAWL_CHECK(memcmp(&t->ballots[i].grad_norm, &t->ballots[0].grad_norm, sizeof(double)) == 0, PAWL_EBUG,
                   "ranks 0 and %d hold different gradients after step %lld (norms %.17g and %.17g)", i, (long long)t->step,
                   t->ballots[0].grad_norm, t->ballots[i].grad_norm);
    return PAWL_OK;
}

static int any_stop(const pawl_trainer *t)
{
    int stop = 0;
    for (int i = 0; i < t->p->comm->size; i++) stop |= t->ballots[i].stop;
    return stop;
}

/* Computes, sums and updates: nothing of pawl's own is allocated in here (a test counts). */
static pawl_status compute_and_update(pawl_trainer *t, pawl_step_report *r)
{
    const long before = pawl_alloc_count_here();
    pawl_step_order o;
    const int span = pawl_span_begin("rows");
    pawl_status mine = pawl_course_order(t, &o);
    pawl_span_end(span);
    if (mine == PAWL_OK) mine = pawl_step_begin(t->stepper, &o);
    if (mine == PAWL_OK) mine = pawl_step_compute(t->stepper);
    PAWL_TRY(pawl_step_update(t->stepper, mine, r));
    pawl_course_count(t, &o);
    if (t->profiler) t->profiler->allocations += pawl_alloc_count_here() - before;
    return PAWL_OK;
}

static pawl_status one_step(pawl_trainer *t)
{
    const pawl_parts *p = t->p;
    const double began = pawl_seconds();
    pawl_step_report r;
    pawl_watch("a training step", pawl_pace_limit(&t->pace, t->p->reduce, t->p->comm->size));
    const int span = pawl_profiler_step(t->profiler, t->step + 1);
    PAWL_TRY(compute_and_update(t, &r));
    t->step++;
    count_tokens(t, &r);
    PAWL_TRY(vote(t, &r));
    const double ended = pawl_seconds(), seconds = ended - began;
    pawl_profiler_step_done(t->profiler, span, t->step, seconds);
    pawl_pace_step(&t->pace, began, ended, r.tokens);
    PAWL_TRY(pawl_agree(p->comm, pawl_record_step(t, &r, seconds)));
    if (r.skipped) return skip(t, &r);
    t->skips = 0;
    pawl_screen_step(p, &r, t->step, t->plan.steps, &t->pace);
    return PAWL_OK;
}

/* ---- evaluation ---- */

static pawl_status evaluate(pawl_trainer *t, const char *at, int *stopped)
{
    *stopped = 0;
    if (t->evaluated == t->step || pawl_data_domains(t->p->data, PAWL_HELD_OUT) == 0) return PAWL_OK;
    pawl_screen_evaluating(t->p);
    pawl_pass of;
    PAWL_TRY(pawl_stepper_pass(t->stepper, &of));
    PAWL_SPAN_TRY("evaluation", pawl_evaluate(t->evaluator, &of, t->scores, stopped));
    if (!*stopped)
        PAWL_SPAN_TRY("parent_kl", pawl_drift_measure(t->course->drift, t->evaluator, &of, t->scores, stopped));
    if (*stopped) return PAWL_OK;
    t->evaluated = t->step;
    pawl_data_let_go(t->p->data);
    t->saved = -1; /* a checkpoint of this step, made on a stop, lacks these scores */
    pawl_screen_scores(t->p, t->step, t->scores);
    return pawl_agree(t->p->comm, pawl_record_scores(t, at));
}

/* ---- the boundary between steps ---- */

static int due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

/* A save under way is waited for first, so that it is in the profile. */
static pawl_status profile(pawl_trainer *t)
{
    if (!t->profiler) return PAWL_OK;
    PAWL_TRY(pawl_saving_finish(t));
    return pawl_profiler_report(t->profiler, &t->plan);
}

static pawl_status boundary(pawl_trainer *t, int *stopped)
{
    pawl_data_let_go(t->p->data);
    PAWL_TRY(pawl_saving_poll(t));
    *stopped = any_stop(t);
    if (*stopped || t->step == pawl_course_stage(t)->end_step) return PAWL_OK; /* the end of the stage does what is left */
    if (due(t->step, t->p->train->eval_steps)) PAWL_TRY(evaluate(t, "step", stopped));
    PAWL_TRY(pawl_probe(t, stopped));
    if (!*stopped && (due(t->step, t->p->save->save_steps) || t->ballots[0].save_now)) PAWL_TRY(pawl_saving_begin(t));
    return pawl_profiler_due(t->profiler, t->step) ? profile(t) : PAWL_OK;
}

/* ---- the run ---- */

static pawl_status begin(pawl_trainer *t, int *stopped)
{
    const pawl_parts *p = t->p;
    PAWL_TRY(pawl_agree(p->comm, pawl_keeping_check(t)));
    PAWL_TRY(pawl_agree(p->comm, pawl_metrics_open(p->comm, p->train->output_dir, t->resumed, t->evaluated, pawl_probed(t), &t->metrics)));
    t->started = t->last_save = pawl_seconds();
    t->bytes_sent_before = p->comm->bytes_sent;
    pawl_screen_start(p, &t->plan, &t->course->stream, t->step);
    PAWL_TRY(pawl_profiler_begin(t->profiler, t->step));
    if (t->resumed < 0) return pawl_course_begin(t, stopped);
    pawl_screen_line(p, "  resumed  from step %lld", (long long)t->resumed);
    return pawl_agree(p->comm, pawl_record_event(t, "resume", json_pack("{s:i,s:s}", "ranks", p->comm->size, "from", t->from)));
}

static pawl_status stop(pawl_trainer *t)
{
    PAWL_TRY(pawl_saving_surely(t));
    PAWL_TRY(profile(t));
    PAWL_TRY(pawl_agree(t->p->comm, pawl_record_event(t, "stop", NULL)));
    PAWL_TRY(pawl_agree(t->p->comm, pawl_metrics_sync(t->metrics)));
    pawl_screen_line(t->p, "stopped at step %lld of %lld, saved; start the same command again to go on", (long long)t->step,
                     (long long)t->plan.steps);
    return pawl_barrier(t->p->comm); /* nobody leaves before LATEST names what was saved */
}

/* Digests of all state. What every rank holds is the same on all of them; what is shared out is put together. */
static pawl_status digests(pawl_trainer *t, pawl_digest digest[2])
{
    const pawl_state *state = &t->course->state;
    pawl_state common = {0};
    pawl_status s = PAWL_OK;
    for (int i = 0; i < state->count && s == PAWL_OK; i++)
        if (!state->items[i].sharded) s = pawl_state_append(&common, &state->items[i]);
    if (s == PAWL_OK) s = pawl_state_digests(&common, &digest[0], &digest[1]);
    s = pawl_agree(t->p->comm, s);
    const int all = common.count == state->count;
    pawl_state_close(&common);
    if (s == PAWL_OK) s = pawl_same(t->p->comm, digest, 2 * sizeof *digest, "the digest of weights and optimizer state");
    return s == PAWL_OK && !all ? pawl_saver_digests(t->saver, &digest[0], &digest[1]) : s;
}

/* The last word: what the ranks hold in memory is what was written. */
static pawl_status summary(pawl_trainer *t)
{
    const pawl_parts *p = t->p;
    pawl_digest digest[2];
    pawl_watch("the digest of the weights", (double)p->reduce->phase_seconds);
    PAWL_TRY(digests(t, digest));
    const pawl_save_result last = pawl_save_last(t->saver); /* none when a finished run was started again */
    PAWL_CHECK(last.step != t->step || pawl_digest_equal(last.state, digest[1]), PAWL_EBUG,
               "the checkpoint of step %lld is not what the ranks hold in memory", (long long)t->step);
    const double seconds = pawl_seconds() - t->started;
    const int whole = t->step == t->plan.steps;
    if (!whole) pawl_screen_line(p, "stage %s is done; start again to go on", pawl_course_stage(t)->name);
    pawl_screen_line(p, "%s: %lld steps, %lld tokens, %.1f s", whole ? "finished" : "so far", (long long)t->step, (long long)t->tokens_total, seconds);
    pawl_screen_line(p, "checkpoint %s/checkpoints/step-%09lld", p->train->output_dir, (long long)t->step);
    pawl_screen_line(p, "state_sha256 %s", pawl_digest_hex(digest[1]).text);
    pawl_screen_line(p, "weights_sha256 %s", pawl_digest_hex(digest[0]).text);
    return PAWL_OK;
}

/* Measured on every domain, then methods and memory, then the checkpoint. What is done of it already, as a run says that is resumed
 * here, is not done again. */
static pawl_status end_stage(pawl_trainer *t, int *stopped)
{
    PAWL_TRY(pawl_course_seal(t));
    PAWL_TRY(evaluate(t, "stage_end", stopped));
    PAWL_TRY(pawl_probe(t, stopped));
    if (*stopped) return PAWL_OK;
    PAWL_TRY(pawl_course_end(t));
    PAWL_TRY(pawl_agree(t->p->comm, pawl_gate_record(t)));
    return pawl_saving_surely(t);
}

/* Of a run that went back to a checkpoint, the last word is that one's. */
static pawl_status finish(pawl_trainer *t)
{
    int gone_back = 0;
    PAWL_TRY(pawl_saving_surely(t));
    PAWL_TRY(pawl_record_memory(t));
    PAWL_TRY(pawl_agree(t->p->comm, pawl_metrics_sync(t->metrics)));
    PAWL_TRY(profile(t));
    if (pawl_gate_stops(t)) PAWL_TRY(pawl_gate_act(t, &gone_back));
    return gone_back ? PAWL_OK : summary(t);
}

/* Stage after stage, to the last one of this process. */
static pawl_status walk(pawl_trainer *t, int *stopped)
{
    pawl_course *c = t->course;
    if (t->step < pawl_course_stage(t)->end_step && (t->step == 0 || due(t->step, t->p->train->eval_steps)))
        PAWL_TRY(evaluate(t, t->step == 0 ? "start" : "step", stopped));
    if (t->step < pawl_course_stage(t)->end_step) PAWL_TRY(pawl_probe(t, stopped));
    while (!*stopped) {
        if (t->step == pawl_course_stage(t)->end_step && c->phase != PAWL_PHASE_ENDED) PAWL_TRY(end_stage(t, stopped));
        if (c->phase == PAWL_PHASE_ENDED && !*stopped) PAWL_TRY(pawl_agree(t->p->comm, pawl_gate_record(t))); /* its budget may be another now */
        if (*stopped || pawl_gate_stops(t) || (c->phase == PAWL_PHASE_ENDED && c->stage >= c->until)) break;
        if (c->phase == PAWL_PHASE_ENDED) {
            PAWL_TRY(pawl_course_advance(t));
            continue;
        }
        PAWL_TRY(one_step(t));
        PAWL_TRY(boundary(t, stopped));
    }
    return PAWL_OK;
}

static pawl_status run(pawl_trainer *t, pawl_outcome *outcome)
{
    int stopped = 0;
    PAWL_TRY(begin(t, &stopped));
    if (stopped) {
        pawl_screen_line(t->p, "stopped while rows for the memory were written: nothing is saved yet; start the same command again");
        *outcome = PAWL_STOPPED;
        return PAWL_OK;
    }
    PAWL_TRY(walk(t, &stopped));
    if (!stopped) PAWL_TRY(finish(t));
    if (stopped) PAWL_TRY(stop(t));
    *outcome = stopped ? PAWL_STOPPED : pawl_gate_stops(t) ? PAWL_EXCEEDED : PAWL_FINISHED;
    return PAWL_OK;
}

/* A run that ends on the way may leave messages between GPUs that nobody will answer. */
pawl_status pawl_trainer_run(pawl_trainer *t, pawl_outcome *outcome)
{
    const pawl_status s = run(t, outcome);
    if (s != PAWL_OK) pawl_comm_disconnect(t->p->comm);
    return s;
}
