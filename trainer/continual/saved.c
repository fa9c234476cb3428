/* What a checkpoint says of a run's course, and what a run takes over from one: its own, or a finished run's. */
#include "trainer/continual/stream.h"

#include <string.h>

#include "core/log.h"

/* All but the memory, which is of another size at every stage's end. */
static pawl_status list_state(pawl_trainer *t)
{
    pawl_course *c = t->course;
    pawl_state names = {0};
    pawl_state_close(&c->state);
    const pawl_state *steps = pawl_stepper_state(t->stepper);
    for (int i = 0; i < steps->count; i++) PAWL_TRY(pawl_state_append(&c->state, &steps->items[i]));
    pawl_status s = pawl_stepper_names(t->stepper, &names);
    if (s == PAWL_OK && c->finished) s = pawl_stack_state(&c->finished->stack, &c->state);
    if (s == PAWL_OK) s = pawl_methods_state(&c->methods, &names, &c->state);
    pawl_state_close(&names);
    if (s == PAWL_OK) s = pawl_drift_state(c->drift, &c->state);
    if (s != PAWL_OK || !c->losses) return s;
    const pawl_tensor losses = {c->losses, PAWL_F32, 1, {c->first_row[pawl_data_domains(t->p->data, PAWL_TRAIN)]}};
    return pawl_state_add(&c->state, "method/replay/", "losses", losses);
}

pawl_status pawl_course_saver(pawl_trainer *t)
{
    pawl_course *c = t->course;
    pawl_checkpoint *k = NULL;
    if (t->saver) PAWL_TRY(pawl_saving_finish(t));
    pawl_saver_close(t->saver);
    t->saver = NULL;
    pawl_status s = list_state(t);
    if (s == PAWL_OK && c->memory) s = pawl_memory_state(c->memory, &c->state);
    PAWL_TRY(pawl_agree(t->p->comm, s));
    PAWL_TRY(pawl_saver_open(t->p->comm, t->p->train->output_dir, &c->state, t->p->save->save_total_limit, &t->saver));
    if (!t->last[0]) return PAWL_OK;
    s = pawl_agree(t->p->comm, pawl_checkpoint_open(t->last, &k));
    if (s == PAWL_OK) s = pawl_saver_resume(t->saver, k);
    pawl_checkpoint_close(k);
    return s;
}

pawl_status pawl_course_json(const pawl_trainer *t, json_t **out)
{
    const pawl_course *c = t->course;
    *out = json_pack("{s:I,s:s,s:i,s:i,s:i,s:I,s:I,s:f,s:I,s:I}", "step", (json_int_t)t->step, "stage",
                     pawl_course_stage(t)->name, "stage_index", c->before + c->stage, "stages_before", c->before,
                     "stage_phase", (int)c->phase, "rows_consumed", (json_int_t)c->consumed, "replay_credit",
                     (json_int_t)c->credit, "replay_ratio", c->ratio, "tokens_total", (json_int_t)t->tokens_total,
                     "evaluated", (json_int_t)t->evaluated);
    PAWL_CHECK(*out, PAWL_EMEM, "no memory for a checkpoint's record");
    return PAWL_OK;
}

/* A checkpoint from before there were stages says nothing of them: it is in the first. */
static int64_t number_or(const json_t *run, const char *key, int64_t dflt)
{
    const json_t *x = json_object_get(run, key);
    return json_is_integer(x) ? json_integer_value(x) : dflt;
}

pawl_status pawl_course_place(pawl_trainer *t, const pawl_checkpoint *k)
{
    pawl_course *c = t->course;
    const json_t *run = json_object_get(pawl_checkpoint_manifest(k), "run");
    const int64_t step = pawl_checkpoint_step(k), before = number_or(run, "stages_before", 0),
                  index = number_or(run, "stage_index", 0) - before;
    const int64_t phase = number_or(run, "stage_phase", PAWL_PHASE_STEPS);
    PAWL_CHECK(index >= 0 && index < c->stream.count && before >= 0 && before < INT32_MAX && phase >= 0 &&
                   phase <= PAWL_PHASE_ENDED,
               PAWL_EDATA, "%s: /run names stage %lld of a run that has %d", pawl_checkpoint_path(k), (long long)index,
               c->stream.count);
    c->stage = (int)index;
    c->before = (int)before;
    c->phase = (pawl_phase)phase;
    const pawl_stage *s = pawl_course_stage(t);
    c->consumed = number_or(run, "rows_consumed", (step - s->first_step) * t->p->train->global_batch_size);
    c->credit = number_or(run, "replay_credit", PAWL_CREDIT_START);
    const json_t *ratio = json_object_get(run, "replay_ratio");
    c->ratio = json_is_number(ratio) ? json_number_value(ratio) : pawl_stream_first_ratio(s);
    PAWL_CHECK(step >= s->first_step && step <= s->end_step && c->consumed >= 0, PAWL_EDATA,
               "%s: step %lld is not one of stage '%s', which has steps %lld to %lld", pawl_checkpoint_path(k),
               (long long)step, s->name, (long long)s->first_step, (long long)s->end_step);
    t->evaluated = number_or(run, "evaluated", t->evaluated);
    pawl_optim_since(pawl_stepper_optim(t->stepper), s->since);
    if (c->finished) PAWL_TRY(pawl_finished_place(c->finished, k));
    PAWL_TRY(list_state(t));
    return pawl_checkpoint_read(k, &c->state);
}

pawl_status pawl_course_resume(pawl_trainer *t, const pawl_checkpoint *k)
{
    pawl_course *c = t->course;
    if (c->memory) PAWL_TRY(pawl_memory_read(c->memory, k));
    if (c->finished) PAWL_TRY(pawl_finished_lay(c->finished, t->stepper));
    PAWL_TRY(pawl_agree(t->p->comm, pawl_course_call(t, PAWL_HOOK_RESUME)));
    return pawl_course_saver(t);
}

/* What a run from before there were stages has learnt is its one stage. */
static json_t *stages_of(const json_t *lineage, int64_t step)
{
    json_t *known = json_object_get(lineage, "stages"), *domains = json_array();
    size_t i;
    json_t *dataset;
    if (json_is_array(known)) {
        json_decref(domains);
        return json_deep_copy(known);
    }
    json_array_foreach(json_object_get(lineage, "datasets"), i, dataset)
    {
        const char *use = json_string_value(json_object_get(dataset, "use"));
        if (use && strcmp(use, "learnt") == 0) json_array_append(domains, json_object_get(dataset, "domain"));
    }
    return json_pack("[{s:s,s:i,s:I,s:o}]", "name", "main", "first_step", 0, "end_step", (json_int_t)step, "domains",
                     domains);
}

/* Rows of the memory and losses a token are of a tokenizer. */
static pawl_status require_tokenizer(const pawl_trainer *t, const pawl_checkpoint *k)
{
    const json_t *lineage = json_object_get(pawl_checkpoint_manifest(k), "lineage");
    const char *was = json_string_value(json_object_get(json_object_get(lineage, "tokenizer"), "sha256"));
    const pawl_hex is = pawl_digest_hex(pawl_tokenizer_digest(t->p->tokenizer));
    PAWL_CHECK(!was || strcmp(was, is.text) == 0, PAWL_EUSAGE,
               "parent_checkpoint: %s is of another tokenizer than this run's, and neither its memory nor its losses mean the same there: leave "
               "`tokenizer` out, or begin at an export of it with base_model",
               pawl_checkpoint_path(k));
    return PAWL_OK;
}

static void warn_of_half_a_stage(const pawl_trainer *t, const pawl_checkpoint *k)
{
    const json_t *run = json_object_get(pawl_checkpoint_manifest(k), "run");
    const char *stage = json_string_value(json_object_get(run, "stage"));
    if (t->p->comm->rank == 0 && json_is_integer(json_object_get(run, "stage_phase")) && number_or(run, "stage_phase", PAWL_PHASE_ENDED) != PAWL_PHASE_ENDED)
        pawl_log(PAWL_LOG_WARN, "parent_checkpoint: %s lies inside stage '%s': what was learnt of it is in no memory, record or penalty",
                 pawl_checkpoint_path(k), stage ? stage : "");
}

static pawl_status take_over_record(pawl_trainer *t, const pawl_checkpoint *k)
{
    const json_t *lineage = json_object_get(pawl_checkpoint_manifest(k), "lineage");
    json_t *evaluations = json_deep_copy(json_object_get(lineage, "evaluations")),
           *stages = stages_of(lineage, pawl_checkpoint_step(k));
    PAWL_CHECK(stages, PAWL_EMEM, "no memory for the lineage record");
    warn_of_half_a_stage(t, k);
    t->course->before = (int)json_array_size(stages);
    json_object_set_new(t->lineage, "stages", stages);
    if (evaluations) json_object_set_new(t->lineage, "evaluations", evaluations);
    static const char *const others[] = {"gates", "synthesis", "erasures"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        json_t *record = json_deep_copy(json_object_get(lineage, others[i]));
        if (record) json_object_set_new(t->lineage, others[i], record);
    }
    return PAWL_OK;
}

/* What a model writes is not told apart from what was learnt where both are of one domain: one that the parent has learnt is refused. */
static pawl_status require_written_domain(const pawl_trainer *t)
{
    const pawl_memory *m = t->course->memory;
    const char *domain = t->p->continual->synthesis.value.domain;
    int known = 0, written = 0;
    size_t i;
    json_t *entry;
    if (!t->p->continual->synthesis.present) return PAWL_OK;
    for (int d = 0; d < pawl_memory_domains(m); d++) known |= strcmp(pawl_memory_domain(m, d), domain) == 0;
    json_array_foreach(json_object_get(t->lineage, "synthesis"), i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "domain"));
        written |= name && strcmp(name, domain) == 0;
    }
    PAWL_CHECK(!known || written, PAWL_EUSAGE,
               "synthesis.domain: '%s' is a domain that parent_checkpoint has learnt: what the model writes is a domain of its own, give it "
               "another name",
               domain);
    return PAWL_OK;
}

/* Where the parent's adapter goes on: those that it stands on. */
static pawl_status take_over_adapters(pawl_trainer *t, const pawl_checkpoint *k)
{
    pawl_finished *f = t->course->finished;
    pawl_state state = {0};
    if (t->p->adapters_before == 0) return PAWL_OK;
    PAWL_TRY(pawl_finished_place(f, k));
    pawl_status s = pawl_stack_state(&f->stack, &state);
    if (s == PAWL_OK) s = pawl_checkpoint_read(k, &state);
    pawl_state_close(&state);
    return s;
}

pawl_status pawl_course_continue(pawl_trainer *t, const pawl_checkpoint *k)
{
    PAWL_TRY(pawl_agree(t->p->comm, require_tokenizer(t, k)));
    PAWL_TRY(pawl_agree(t->p->comm, take_over_record(t, k)));
    PAWL_TRY(pawl_agree(t->p->comm, take_over_adapters(t, k)));
    if (t->course->memory) {
        PAWL_TRY(pawl_memory_read(t->course->memory, k));
        PAWL_TRY(pawl_agree(t->p->comm, pawl_course_require_domains(t)));
        PAWL_TRY(pawl_agree(t->p->comm, require_written_domain(t)));
    }
    return pawl_agree(t->p->comm, pawl_course_carry(t, k));
}
