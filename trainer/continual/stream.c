/* The course of a run through its stages: what is drawn from the memory, what happens where a stage begins and ends. */
#include "trainer/continual/stream.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/span.h"

const pawl_stage *pawl_course_stage(const pawl_trainer *t)
{
    return &t->course->stream.stages[t->course->stage];
}

/* What methods are told: it is brought up to date before they are called. */
static void update_moment(pawl_trainer *t)
{
    pawl_course *c = t->course;
    c->methods.now = (pawl_moment){.p = t->p,
                                   .stepper = t->stepper,
                                   .memory = c->memory,
                                   .finished = c->finished,
                                   .stream = &c->stream,
                                   .stage = pawl_course_stage(t),
                                   .stage_index = c->before + c->stage,
                                   .step = t->step,
                                   .consumed = c->consumed,
                                   .carried = json_object_get(t->lineage, "carried"),
                                   .general_known = c->general_known};
}

pawl_status pawl_course_call(pawl_trainer *t, pawl_hook hook)
{
    update_moment(t);
    return pawl_methods_call(&t->course->methods, hook);
}

/* ---- opening ---- */

static int has_memory(const pawl_parts *p)
{
    return p->continual && p->continual->replay.present;
}

static pawl_memory_inputs memory_inputs(const pawl_parts *p, const pawl_memory_column *columns, int column_count)
{
    return (pawl_memory_inputs){.comm = p->comm,
                                .replay = &p->continual->replay.value,
                                .seed = (uint64_t)p->train->seed,
                                .output_dir = p->train->output_dir,
                                .longest = pawl_run_longest(p),
                                .wide = p->data ? pawl_data_wide(p->data) : 1,
                                .columns = columns,
                                .column_count = column_count};
}

size_t pawl_course_memory_bytes(const pawl_parts *p)
{
    pawl_memory_column columns[PAWL_MEMORY_COLUMNS_MAX];
    if (!has_memory(p)) return 0;
    const pawl_memory_inputs in = memory_inputs(p, columns, pawl_methods_columns(p, columns));
    return 2 * (pawl_memory_bytes(&in) + pawl_memory_list_bytes(&in)); /* while a stage ends, those of before and after */
}

static int is_written(const pawl_parts *p, const char *domain)
{
    return p->continual->synthesis.present && strcmp(p->continual->synthesis.value.domain, domain) == 0;
}

/* What a model wrote is not told apart from what was learnt where both are of one domain. */
static pawl_status require_own_domain(const pawl_parts *p)
{
    for (int d = 0; p->data && d < pawl_data_domains(p->data, PAWL_TRAIN); d++)
        PAWL_CHECK(!is_written(p, pawl_data_domain(p->data, PAWL_TRAIN, d)), PAWL_EUSAGE,
                   "synthesis.domain: '%s' is the domain of a dataset: what the model writes is a domain of its own, give it another name",
                   p->continual->synthesis.value.domain);
    return PAWL_OK;
}

/* Adds a name to a list of them, and tells whether it is the one that is wanted. */
static int add_known(pawl_text *known, const char *name, const char *wanted)
{
    pawl_text_add(known, "%s'%s'", known->bytes ? ", " : "", name);
    return strcmp(name, wanted) == 0;
}

pawl_status pawl_course_require_domains(const pawl_trainer *t)
{
    const pawl_data *data = t->p->data;
    const pawl_memory *m = t->course->memory;
    const pawl_replay_config *r = &t->p->continual->replay.value;
    for (int i = 0; i < r->domains.count; i++) {
        const char *wanted = r->domains.items[i].name;
        pawl_text known = {0};
        int found = 0;
        for (int d = 0; d < pawl_data_domains(data, PAWL_TRAIN); d++) found |= add_known(&known, pawl_data_domain(data, PAWL_TRAIN, d), wanted);
        for (int d = 0; d < pawl_memory_domains(m); d++) found |= add_known(&known, pawl_memory_domain(m, d), wanted);
        found |= is_written(t->p, wanted);
        const pawl_status s = found ? PAWL_OK
                                    : PAWL_FAIL(PAWL_EUSAGE, "replay.domains: nothing is learnt or known of a domain '%s'; there are %s",
                                                wanted, known.data ? known.data : "none");
        pawl_text_close(&known);
        PAWL_TRY(s);
    }
    return PAWL_OK;
}

static pawl_status open_memory(pawl_trainer *t)
{
    pawl_course *c = t->course;
    pawl_memory_column columns[PAWL_MEMORY_COLUMNS_MAX];
    if (!has_memory(t->p)) return PAWL_OK;
    PAWL_TRY(pawl_agree(t->p->comm, require_own_domain(t->p)));
    c->memory_in = memory_inputs(t->p, columns, pawl_methods_columns(t->p, columns));
    PAWL_TRY(pawl_memory_open(&c->memory_in, &c->memory));
    c->memory_in.columns = NULL; /* it has a list of its own */
    return t->p->parent ? PAWL_OK : pawl_agree(t->p->comm, pawl_course_require_domains(t));
}

static pawl_status open_losses(pawl_trainer *t)
{
    pawl_course *c = t->course;
    const pawl_data *d = t->p->data;
    const int datasets = pawl_data_domains(d, PAWL_TRAIN);
    if (!c->memory || t->p->continual->replay.value.policy != PAWL_POLICY_LOSS) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&c->first_row, (size_t)(datasets + 1) * sizeof *c->first_row, "losses of rows"));
    for (int i = 0; i < datasets; i++) c->first_row[i + 1] = c->first_row[i] + pawl_data_rows_of(d, PAWL_TRAIN, i);
    PAWL_TRY(pawl_alloc((void **)&c->losses, (size_t)c->first_row[datasets] * sizeof *c->losses, "losses of rows"));
    for (int64_t i = 0; i < c->first_row[datasets]; i++) c->losses[i] = -1;
    return PAWL_OK;
}

static pawl_status find_until(const pawl_trainer *t, int *out)
{
    const pawl_stream *s = &t->course->stream;
    pawl_text names = {0};
    *out = t->p->until ? pawl_stream_find(s, t->p->until) : s->count - 1;
    if (*out >= 0) return PAWL_OK;
    for (int i = 0; i < s->count; i++) pawl_text_add(&names, "%s%s", i ? ", " : "", s->stages[i].name);
    const pawl_status status = PAWL_FAIL(PAWL_EUSAGE, "--until: the run has no stage '%s': expected one of %s",
                                         t->p->until, names.data ? names.data : "");
    pawl_text_close(&names);
    return status;
}

static pawl_status open_rest(pawl_trainer *t)
{
    pawl_course *c = t->course;
    PAWL_TRY(pawl_finished_open(t->p, &c->finished));
    update_moment(t);
    PAWL_TRY(pawl_methods_open(&c->methods));
    PAWL_TRY(open_losses(t));
    PAWL_TRY(pawl_drift_open(t->p, &c->drift));
    return pawl_stepper_join(t->stepper, c->memory, &c->methods);
}

static pawl_status take(pawl_trainer *t)
{
    PAWL_TRY(pawl_alloc((void **)&t->course, sizeof *t->course, "the stages"));
    pawl_stream_of(t->p, &t->course->stream);
    t->course->credit = PAWL_CREDIT_START;
    t->course->ratio = pawl_stream_first_ratio(&t->course->stream.stages[0]);
    return find_until(t, &t->course->until);
}

pawl_status pawl_course_open(pawl_trainer *t)
{
    PAWL_TRY(pawl_agree(t->p->comm, take(t)));
    PAWL_TRY(open_memory(t));
    return pawl_agree(t->p->comm, open_rest(t));
}

void pawl_course_close(pawl_trainer *t)
{
    pawl_course *c = t->course;
    if (!c) return;
    pawl_methods_close(&c->methods);
    pawl_drift_close(c->drift);
    pawl_memory_close(c->memory);
    pawl_finished_close(c->finished);
    pawl_state_close(&c->state);
    pawl_text_close(&c->taken_over);
    pawl_free(c->losses);
    pawl_free(c->first_row);
    pawl_free(c);
    t->course = NULL;
}

/* ---- the memory takes rows in ---- */

typedef struct sight { /* which rows of datasets [first, end) a stage has seen */
    const pawl_course *course;
    int first, all; /* all: every one of them */
    char *seen;
    int64_t *at; /* [end - first + 1] where a dataset's begin in it */
} sight;

static int was_seen(void *self, int dataset, int64_t row, double *loss)
{
    const sight *x = self;
    const float *losses = x->course->losses;
    *loss = 1;
    if (x->all) return 1;
    if (losses) *loss = (double)losses[x->course->first_row[dataset] + row];
    return x->seen[x->at[dataset - x->first] + row];
}

static pawl_status look(const pawl_trainer *t, int first, int end, sight *x)
{
    const pawl_data *d = t->p->data;
    const pawl_course *c = t->course;
    PAWL_TRY(pawl_alloc((void **)&x->at, (size_t)(end - first + 1) * sizeof *x->at, "which rows were seen"));
    for (int i = first; i < end; i++) x->at[i - first + 1] = x->at[i - first] + pawl_data_rows_of(d, PAWL_TRAIN, i);
    PAWL_TRY(pawl_alloc((void **)&x->seen, (size_t)x->at[end - first] + 1, "which rows were seen"));
    for (int64_t at = 0; at < c->consumed; at++) {
        const pawl_row r = pawl_data_row_at(d, c->stage, at);
        x->seen[x->at[r.domain - first] + r.index] = 1;
    }
    return PAWL_OK;
}

static pawl_status absorb(pawl_trainer *t, int first, int end, int all)
{
    sight x = {.course = t->course, .first = first, .all = all};
    const pawl_seen seen = {.data = t->p->data, .was_seen = was_seen, .self = &x, .first = first, .end = end};
    PAWL_TRY(pawl_saving_finish(t)); /* it may still be reading the rows that are there */
    pawl_watch("the memory takes rows in", (double)t->p->reduce->phase_seconds);
    pawl_status s = pawl_agree(t->p->comm, all ? PAWL_OK : look(t, first, end, &x));
    if (s == PAWL_OK) s = pawl_memory_absorb(t->course->memory, &seen);
    pawl_free(x.seen);
    pawl_free(x.at);
    pawl_data_let_go(t->p->data);
    return s;
}

/* ---- where stages begin and end ---- */

/* The saver is opened anew, since there is one finished adapter more to be saved. */
static pawl_status begin_adapter(pawl_trainer *t)
{
    PAWL_TRY(pawl_finished_push(t->course->finished, t->stepper));
    return pawl_course_saver(t);
}

static pawl_status remember(pawl_trainer *t)
{
    const pawl_memory *m = t->course->memory;
    return m && pawl_memory_count(m) > 0 ? pawl_course_call(t, PAWL_HOOK_REMEMBER) : PAWL_OK;
}

static pawl_status write_rows(pawl_trainer *t, int *stopped)
{
    const pawl_continual_config *k = t->p->continual;
    if (!k || !k->synthesis.present) return PAWL_OK;
    PAWL_TRY(pawl_synthesise(t, stopped));
    return *stopped ? PAWL_OK : remember(t);
}

static pawl_status record_parent(pawl_trainer *t)
{
    pawl_pass of;
    if (!t->course->drift) return PAWL_OK;
    pawl_watch("what the parent says is recorded", (double)t->p->reduce->phase_seconds);
    PAWL_TRY(pawl_stepper_pass(t->stepper, &of));
    return pawl_drift_record(t->course->drift, t->evaluator, &of);
}

pawl_status pawl_course_begin(pawl_trainer *t, int *stopped)
{
    pawl_course *c = t->course;
    int first, end;
    if (c->taken_over.bytes) pawl_screen_line(t->p, "%s", c->taken_over.data);
    PAWL_TRY(pawl_agree(t->p->comm, pawl_stepper_begin(t->stepper)));
    if (t->p->adapters_before > 0) PAWL_TRY(begin_adapter(t));
    PAWL_TRY(record_parent(t));
    pawl_data_general(t->p->data, &first, &end);
    if (c->memory && end > first) PAWL_TRY(absorb(t, first, end, 1));
    PAWL_TRY(pawl_course_call(t, PAWL_HOOK_BEGIN));
    PAWL_TRY(remember(t));
    PAWL_TRY(write_rows(t, stopped));
    if (*stopped) return PAWL_OK;
    if (c->memory && pawl_memory_count(c->memory) > 0) PAWL_TRY(pawl_course_saver(t));
    PAWL_TRY(pawl_course_call(t, PAWL_HOOK_BEGIN_STAGE));
    /* Writing rows takes long: they are saved at once. */
    return t->p->continual && t->p->continual->synthesis.present ? pawl_saving_begin(t) : PAWL_OK;
}

pawl_status pawl_course_seal(pawl_trainer *t)
{
    pawl_course *c = t->course;
    if (c->phase != PAWL_PHASE_STEPS) return PAWL_OK;
    update_moment(t);
    PAWL_TRY(pawl_stepper_seal(t->stepper));
    c->phase = PAWL_PHASE_SEALED;
    t->saved = -1;
    return PAWL_OK;
}

/* The domains of datasets [first, end), each once. */
static json_t *domains_of(const pawl_data *d, int first, int end)
{
    json_t *names = json_array();
    for (int i = first; i < end; i++) {
        int there = 0;
        for (int j = first; j < i; j++)
            there |= strcmp(pawl_data_domain(d, PAWL_TRAIN, j), pawl_data_domain(d, PAWL_TRAIN, i)) == 0;
        if (!there) json_array_append_new(names, json_string(pawl_data_domain(d, PAWL_TRAIN, i)));
    }
    return names;
}

static pawl_status record_stage(pawl_trainer *t)
{
    const pawl_stage *s = pawl_course_stage(t);
    int first, end;
    pawl_data_mixture(t->p->data, s->index, &first, &end);
    json_t *entry = json_pack("{s:s,s:I,s:I,s:o}", "name", s->name, "first_step", (json_int_t)s->first_step, "end_step",
                              (json_int_t)s->end_step, "domains", domains_of(t->p->data, first, end));
    PAWL_CHECK(entry && json_array_append_new(json_object_get(t->lineage, "stages"), entry) == 0, PAWL_EMEM,
               "no memory for the lineage record");
    if (!t->p->continual || t->p->continual->stages.count == 0) return PAWL_OK;
    return pawl_record_event(t, "stage_end",
                             json_pack("{s:s,s:i}", "stage", s->name, "stage_index", t->course->before + s->index));
}

static void forget_losses(pawl_course *c, int datasets)
{
    for (int64_t i = 0; c->losses && i < c->first_row[datasets]; i++) c->losses[i] = -1;
}

pawl_status pawl_course_end(pawl_trainer *t)
{
    pawl_course *c = t->course;
    int first, end;
    PAWL_TRY(pawl_course_call(t, PAWL_HOOK_END_STAGE));
    if (c->memory) {
        pawl_data_mixture(t->p->data, c->stage, &first, &end);
        PAWL_TRY(absorb(t, first, end, 0));
        PAWL_TRY(pawl_course_call(t, PAWL_HOOK_REMEMBER));
        forget_losses(c, pawl_data_domains(t->p->data, PAWL_TRAIN));
        PAWL_TRY(pawl_course_saver(t));
    }
    c->phase = PAWL_PHASE_ENDED;
    t->saved = -1;
    return pawl_agree(t->p->comm, record_stage(t));
}

pawl_status pawl_course_advance(pawl_trainer *t)
{
    pawl_course *c = t->course;
    c->stage++;
    c->phase = PAWL_PHASE_STEPS;
    c->consumed = 0;
    c->credit = PAWL_CREDIT_START;
    const pawl_stage *s = pawl_course_stage(t);
    c->ratio = pawl_stream_first_ratio(s);
    if (s->forget) PAWL_TRY(pawl_optim_forget(pawl_stepper_optim(t->stepper)));
    pawl_optim_since(pawl_stepper_optim(t->stepper), s->since);
    if (c->finished) PAWL_TRY(begin_adapter(t));
    return pawl_course_call(t, PAWL_HOOK_BEGIN_STAGE);
}

/* ---- the rows of a step ---- */

/* Rows [0, batch): new ones, then those that were drawn. All count alike: each token of them as much as any other. */
static void order_batch(pawl_trainer *t, pawl_step_order *o)
{
    const pawl_course *c = t->course;
    pawl_step_row *rows = pawl_step_rows(t->stepper);
    const int64_t fresh = o->batch - o->replayed;
    int64_t trained = 0;
    for (int64_t g = 0; g < o->batch; g++) {
        rows[g] = (pawl_step_row){.item = -1};
        if (g < fresh)
            rows[g].row = pawl_data_row_at(t->p->data, c->stage, c->consumed + g);
        else
            rows[g].item = pawl_memory_draw(c->memory, t->step, g - fresh, PAWL_DRAW_REPLAY);
        trained += pawl_step_row_trained(t->stepper, &rows[g]);
    }
    const float weight = trained ? (float)(1.0 / (double)trained) : 0;
    for (int64_t g = 0; g < o->batch; g++) rows[g].ce = weight;
}

pawl_status pawl_course_order(pawl_trainer *t, pawl_step_order *out)
{
    pawl_course *c = t->course;
    const int64_t G = t->p->train->global_batch_size;
    const int add = c->memory && t->p->continual->replay.value.rows == PAWL_REPLAY_ADD;
    pawl_step_order o = {
        .at = t->step * pawl_most_rows(t->p), .step = t->step, .lr = pawl_stream_rate(&c->stream, c->stage, t->step)};
    if (c->memory && pawl_memory_count(c->memory) > 0 && c->ratio > 0)
        o.replayed = pawl_replay_due(&c->credit, c->ratio, G, add);
    o.batch = add ? G + o.replayed : G;
    order_batch(t, &o);
    o.rows = o.batch;
    update_moment(t);
    const pawl_status s = pawl_methods_add_rows(&c->methods, pawl_step_rows(t->stepper), &o.rows);
    *out = o;
    return s;
}

void pawl_course_count(pawl_trainer *t, const pawl_step_order *o)
{
    pawl_course *c = t->course;
    const pawl_step_row *rows = pawl_step_rows(t->stepper);
    const pawl_row_result *results = pawl_step_results(t->stepper);
    c->consumed += o->batch - o->replayed;
    for (int64_t g = 0; c->losses && g < o->batch - o->replayed; g++)
        if (results[g].trained > 0 && !results[g].bad)
            c->losses[c->first_row[rows[g].row.domain] + rows[g].row.index] =
                (float)(results[g].loss / (double)results[g].trained);
}
