#include "trainer/continual/lwf.h"

#include "trainer/continual/slices.h"
#include "trainer/continual/soft.h"

#define PAWL_SECTION pawl_lwf_config
const pawl_field pawl_lwf_rows[] = {PAWL_LWF_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION

typedef struct lwf {
    const pawl_parts *p;
    const pawl_lwf_config *config;
    int64_t k, tokens, count, first; /* of the flat run: its length, where this rank's range begins */
    pawl_arena arena, here; /* the device's, and the host's */
    float *weights; /* [count], the teacher's */
    uint16_t *low;  /* of bf16 runs */
    float *losses;  /* [micro * T]; from here on the host's */
    int32_t *ids;   /* [micro * T, k] */
    float *logp;
    int teaches; /* in the present stage */
} lwf;

static void lay_out(lwf *l)
{
    const pawl_parts *p = l->p;
    const size_t N = (size_t)(p->train->micro_batch_size * l->tokens);
    int64_t low_first, low_count;
    pawl_low_stretch(p->model, p->adapter, &low_first, &low_count);
    l->weights = pawl_take_bytes(&l->arena, (size_t)l->count * sizeof *l->weights);
    l->low = p->train->bf16 ? pawl_take_bytes(&l->arena, (size_t)low_count * sizeof *l->low) : NULL;
    l->losses = pawl_take_bytes(&l->here, N * sizeof *l->losses);
    l->ids = pawl_take_bytes(&l->here, N * (size_t)l->k * sizeof *l->ids);
    l->logp = pawl_take_bytes(&l->here, N * (size_t)l->k * sizeof *l->logp);
}

static lwf lwf_of(const pawl_parts *p)
{
    lwf l = {.p = p, .config = &p->continual->lwf.value, .count = pawl_trained_count(p->model, p->adapter)};
    const int64_t V = pawl_model_settings(p->model)->vocab_size;
    l.k = l.config->top_k < V ? l.config->top_k : V;
    l.tokens = pawl_run_longest(p);
    l.arena.name = l.here.name = "methods";
    return l;
}

static pawl_room bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    (void)first, (void)end;
    lwf l = lwf_of(p);
    lay_out(&l);
    return pawl_room_of(&l.arena, &l.here);
}

static pawl_status lwf_open(const pawl_moment *m, void **self)
{
    lwf *l;
    PAWL_TRY(pawl_alloc((void **)&l, sizeof *l, "the teacher"));
    *self = l;
    *l = lwf_of(m->p);
    l->first = m->stepper->hold.first;
    lay_out(l);
    PAWL_TRY(pawl_arena_open_on(m->p->device, PAWL_ON_DEVICE, &l->arena));
    PAWL_TRY(pawl_arena_open(&l->here));
    lay_out(l);
    return PAWL_OK;
}

static void lwf_close(void *self)
{
    lwf *l = self;
    pawl_arena_close_on(l->p->device, PAWL_ON_DEVICE, &l->arena);
    pawl_arena_close(&l->here);
}

/* The teacher's weights, this rank's range of them; they do not change inside a stage. */
static pawl_status state(const void *self, const pawl_parts *p, int64_t first, int64_t end, const pawl_state *names,
                         pawl_state *out)
{
    const lwf *l = self;
    return pawl_list_range(p, "method/lwf/teacher/", l ? l->weights + first : NULL, first, end, names, out);
}

static pawl_status round_teacher(lwf *l, const pawl_moment *m)
{
    l->teaches = !pawl_knows_nothing(m);
    return l->low ? pawl_low_round(l->p->model, l->p->adapter, l->p->device, l->weights, l->low) : PAWL_OK;
}

static pawl_status begin_stage(void *self, const pawl_moment *m)
{
    lwf *l = self;
    PAWL_TRY(pawl_copy(m->p->device, l->weights, m->stepper->hold.weights, l->count));
    return round_teacher(l, m);
}

static pawl_status resume(void *self, const pawl_moment *m)
{
    lwf *l = self;
    if (l->p->reduce->zero_stage > 0)
        PAWL_TRY(pawl_owners_gather(m->stepper->hold.owners, 0, l->count, l->weights + l->first, l->weights));
    return round_teacher(l, m);
}

static int any_new(const pawl_step_row *slot, int64_t count)
{
    int any = 0;
    for (int64_t i = 0; i < count; i++) any |= slot[i].item < 0;
    return any;
}

/* The teacher reads the slot as the model will, without dropout and noise, in the same activations, and leaves before.
 */
static pawl_status before_slot(void *self, const pawl_moment *m, const pawl_step_row *slot, int64_t count,
                               const pawl_batch *b, pawl_pass *pass)
{
    lwf *l = self;
    const float T = (float)l->config->temperature;
    const pawl_top top = {.k = l->k, .temperature = T, .ids = l->ids, .logp = l->logp};
    pawl_over over;
    if (!l->teaches || !any_new(slot, count)) return PAWL_OK;
    if (pass->over) {
        over = *pass->over;
        over.first_row = -1;
    }
    const pawl_pass of = {.over = pass->over ? &over : NULL,
                          .weights = l->weights,
                          .low = l->low,
                          .losses = l->losses,
                          .extra = {.top = &top}};
    PAWL_TRY(pawl_model_pass(l->p->model, l->p->device, m->stepper->activations, b, &of));
    for (int64_t i = 0; i < count; i++) {
        if (slot[i].item >= 0) continue;
        const int64_t at = i * b->tokens * l->k;
        pawl_soft_put(&m->stepper->soft, i, b->tokens, l->k, T, (float)(l->config->lambda * (double)slot[i].ce),
                      l->ids + at, l->logp + at, b->tokens);
    }
    return PAWL_OK;
}

const pawl_method pawl_method_lwf = {.name = "lwf",
                                     .present = PAWL_METHOD_ON(lwf),
                                     .bytes = bytes,
                                     .open = lwf_open,
                                     .close = lwf_close,
                                     .state = state,
                                     .begin_stage = begin_stage,
                                     .resume = resume,
                                     .before_slot = before_slot};
