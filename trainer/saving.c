/* Saving behind the steps: begun at a boundary, polled at every one, waited for only where the run ends. */
#include <stdio.h>

#include "core/log.h"
#include "core/span.h"
#include "trainer/continual/keeping.h"
#include "trainer/continual/stream.h"

enum { FAILED_SAVES_IN_A_ROW = 2 };

/* A save that failed is a loud warning; two in a row stop the run. */
static pawl_status after_failure(pawl_trainer *t, pawl_status s)
{
    const pawl_error e = *pawl_last_error();
    t->saved = -1;
    if (s == PAWL_ECOMM || s == PAWL_EBUG || ++t->failed_saves >= FAILED_SAVES_IN_A_ROW) return s;
    if (t->p->comm->rank == 0) pawl_log(PAWL_LOG_WARN, "a checkpoint could not be written: %s", e.what);
    return pawl_agree(t->p->comm, pawl_record_event(t, "save", json_pack("{s:s}", "error", e.what)));
}

static pawl_status after_success(pawl_trainer *t)
{
    const pawl_save_result r = pawl_save_last(t->saver);
    t->failed_saves = 0;
    snprintf(t->last, sizeof t->last, "%s/checkpoints/step-%09lld", t->p->train->output_dir, (long long)r.step);
    json_t *rest = json_pack("{s:I,s:f,s:I,s:s,s:s}", "saved_step", (json_int_t)r.step, "save_seconds", r.seconds, "bytes",
                             (json_int_t)r.bytes_written, "state_sha256", pawl_digest_hex(r.state).text, "root_sha256",
                             pawl_digest_hex(r.root).text);
    return pawl_agree(t->p->comm, pawl_record_event(t, "save", rest));
}

pawl_status pawl_saving_poll(pawl_trainer *t)
{
    int published = 0;
    if (!pawl_save_busy(t->saver)) return PAWL_OK;
    for (int i = 0; i < t->p->comm->size; i++) t->votes[i] = t->ballots[i].save;
    const int span = pawl_span_begin("save: poll");
    const pawl_status s = pawl_save_poll(t->saver, t->votes, &published);
    pawl_span_end(span);
    if (s != PAWL_OK) return after_failure(t, s);
    return published ? after_success(t) : PAWL_OK;
}

pawl_status pawl_saving_finish(pawl_trainer *t)
{
    int published = 0;
    if (!pawl_save_busy(t->saver)) return PAWL_OK;
    const int span = pawl_span_begin("save: wait");
    const pawl_status s = pawl_save_finish(t->saver, (double)t->p->reduce->phase_seconds, &published);
    pawl_span_end(span);
    return s == PAWL_OK ? after_success(t) : after_failure(t, s);
}

/* Local. What the steps have said must not be less durable than the checkpoint they lead to. */
static pawl_status start(pawl_trainer *t)
{
    PAWL_TRY(pawl_stepper_settle(t->stepper));
    PAWL_TRY(pawl_metrics_sync(t->metrics));
    PAWL_TRY(pawl_lineage_tokens(t->p, t->lineage, t->tokens));
    json_t *run;
    PAWL_TRY(pawl_course_json(t, &run));
    const pawl_save what = {.step = t->step, .run = run, .lineage = t->lineage, .is_best = pawl_gate_passed(t)};
    const pawl_status s = pawl_save_begin(t->saver, &what);
    json_decref(run);
    return s;
}

pawl_status pawl_saving_begin(pawl_trainer *t)
{
    if (t->saved == t->step) return PAWL_OK;
    PAWL_TRY(pawl_saving_finish(t)); /* one at a time */
    pawl_watch("saving a checkpoint", (double)t->p->reduce->phase_seconds);
    PAWL_SPAN_TRY("save: begin", pawl_agree(t->p->comm, start(t)));
    PAWL_SPAN_TRY("save: share", pawl_save_share(t->saver));
    t->saved = t->step;
    t->last_save = pawl_seconds();
    return PAWL_OK;
}

pawl_status pawl_saving_surely(pawl_trainer *t)
{
    do { /* until after_failure gives up */
        PAWL_TRY(pawl_saving_begin(t));
        PAWL_TRY(pawl_saving_finish(t));
    } while (t->saved != t->step);
    return PAWL_OK;
}
