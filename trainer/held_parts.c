/* The parts of the model, which passes use one after another: where they lie meanwhile, how weights come and where gradients go (decision 0025).
 *
 * Between GPUs that is done aside (decision 0053). Stage 3: the next part's weights come while the present one's are used. Stages 2 and 3: a
 * part's gradients go while the one below computes. Stages 1 and 2: after an update weights come part by part, and the next pass
 * waits for each where it reads it. Two blocks are then in use at a time. */
#include "trainer/held.h"
#include "trainer/internal.h"

/* ---- where they lie ---- */

static int place_of(const pawl_parts *p, int64_t part, int twice)
{
    if (part == 0) return PAWL_HELD_BELOW;
    if (part == pawl_trained_parts(p->model) - 1) return PAWL_HELD_ABOVE;
    return twice && part % 2 == 1 ? PAWL_HELD_OTHER_BLOCK : PAWL_HELD_BLOCK;
}

int pawl_hold_place(const pawl_hold *h, int64_t part)
{
    return place_of(h->p, part, h->behind);
}

/* What lies below the blocks and above them is in use together only where the head is the embedding; else it takes turns in one place. */
static int outer_share(const pawl_parts *p)
{
    return pawl_model_settings(p->model)->tie_word_embeddings == 0;
}

/* twice: blocks have two places. */
static void lay_out_parts(const pawl_parts *p, pawl_arena *a, size_t bytes, int twice, void *to[PAWL_HELD_PLACES])
{
    int64_t most[PAWL_HELD_PLACES] = {0};
    for (int64_t part = 0; part < pawl_trained_parts(p->model); part++) {
        int64_t first, count, *at = &most[place_of(p, part, twice)];
        pawl_trained_part(p->model, p->adapter, part, &first, &count);
        if (count > *at) *at = count;
    }
    if (outer_share(p) && most[PAWL_HELD_ABOVE] > most[PAWL_HELD_BELOW]) most[PAWL_HELD_BELOW] = most[PAWL_HELD_ABOVE];
    if (outer_share(p)) most[PAWL_HELD_ABOVE] = 0;
    for (int i = 0; i < PAWL_HELD_PLACES; i++) to[i] = most[i] ? pawl_take_bytes(a, (size_t)most[i] * bytes) : NULL;
    if (outer_share(p)) to[PAWL_HELD_ABOVE] = to[PAWL_HELD_BELOW];
    if (!twice) to[PAWL_HELD_OTHER_BLOCK] = to[PAWL_HELD_BLOCK];
}

void pawl_hold_lay_out_parts(const pawl_hold *h, pawl_arena *a, float *to[PAWL_HELD_PLACES])
{
    void *at[PAWL_HELD_PLACES];
    lay_out_parts(h->p, a, sizeof(float), h->behind, at);
    for (int i = 0; i < PAWL_HELD_PLACES; i++) to[i] = at[i];
}

/* With masters a part is rounded when it is needed, so that one place is enough. */
void pawl_hold_lay_out_low(const pawl_hold *h, pawl_arena *a, uint16_t *to[PAWL_HELD_PLACES])
{
    void *at[PAWL_HELD_PLACES];
    lay_out_parts(h->p, a, sizeof(uint16_t), h->behind && !h->masters, at);
    for (int i = 0; i < PAWL_HELD_PLACES; i++) to[i] = at[i];
}

/* ---- weights on their way ---- */

/* Numbers [first, first + count) of the flat run, of which this rank's own begin at mine, as what weights are kept. */
static pawl_status gather(const pawl_hold *h, int64_t first, int64_t count, const void *mine, void *to, int mark)
{
    if (h->masters) return pawl_owners_gather_aside(h->owners, first, count, mine, to, mark);
    return pawl_owners_gather_aside(h->pairs, first / 2, count / 2, mine, to, mark);
}

static void *weights_at(const pawl_hold *h, int64_t number)
{
    return h->masters ? (void *)(h->weights + number) : (void *)(h->low + number);
}

/* ---- weights of which a rank keeps a range: stage 3 ---- */

/* A part that is this rank's alone is used where it is kept. */
static void *gathered_at(const pawl_hold *h, int64_t part)
{
    int64_t first, count;
    const int place = pawl_hold_place(h, part);
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    if (h->first <= first && first + count <= h->end) return weights_at(h, first - h->first);
    return h->masters ? (void *)h->gathered[place] : (void *)h->gathered_low[place];
}

static pawl_status fetch(void *self, int64_t part)
{
    pawl_hold *h = self;
    int64_t first, count;
    const int place = pawl_hold_place(h, part);
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    PAWL_TRY(pawl_meet(h->p->comm, PAWL_OK));
    pawl_watch_renew();
    h->coming[place] = part + 1;
    return gather(h, first, count, weights_at(h, 0), gathered_at(h, part), PAWL_MARK_WEIGHTS + place);
}

static pawl_status hand_out_low(const pawl_hold *h, int64_t part, pawl_part_place *at)
{
    const uint16_t *low = at->low = gathered_at(h, part);
    return pawl_vectors_widen(h->p->model, h->p->device, part, low, h->vectors);
}

static pawl_status hand_out(const pawl_hold *h, int64_t part, pawl_part_place *at)
{
    float *weights = gathered_at(h, part);
    uint16_t *low = h->gathered_low[pawl_hold_place(h, part)];
    int64_t first, count;
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    at->weights = weights;
    at->low = low;
    return low ? pawl_cast(h->p->device, (pawl_tensor){weights, PAWL_F32, 1, {count}}, (pawl_tensor){low, PAWL_BF16, 1, {count}}) : PAWL_OK;
}

static pawl_status need(void *self, int64_t part, pawl_part_place *at)
{
    pawl_hold *h = self;
    const int place = pawl_hold_place(h, part);
    if (h->coming[place] != part + 1) PAWL_TRY(fetch(h, part));
    h->coming[place] = 0;
    PAWL_TRY(pawl_aside_await(h->p->device, PAWL_MARK_WEIGHTS + place));
    return h->masters ? hand_out(h, part, at) : hand_out_low(h, part, at);
}

/* ---- weights of which a rank keeps all: stages 0 to 2 ---- */

/* Neighbours may have one mark. */
static int mark_of(const pawl_hold *h, int64_t part)
{
    return PAWL_MARK_WEIGHTS + (int)(part * PAWL_WEIGHT_MARKS / pawl_trained_parts(h->p->model));
}

pawl_status pawl_hold_spread(pawl_hold *h)
{
    h->fresh = 0;
    if (h->stage == 0 || h->stage == 3) return PAWL_OK;
    if (!h->behind) return gather(h, 0, h->count, pawl_hold_numbers(h), weights_at(h, 0), 0);
    for (int64_t part = 0; part < pawl_trained_parts(h->p->model); part++) {
        int64_t first, count;
        pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
        if (count) PAWL_TRY(gather(h, first, count, pawl_hold_numbers(h), weights_at(h, first), mark_of(h, part)));
    }
    return PAWL_OK;
}

/* A part of the weights is there; what is made of it is made. */
static pawl_status freshen(const pawl_hold *h, int64_t part)
{
    int64_t first, count;
    PAWL_TRY(pawl_aside_await(h->p->device, mark_of(h, part)));
    if (!h->low) return PAWL_OK;
    if (h->masters) return pawl_low_round_part(h->p->model, h->p->adapter, h->p->device, part, h->weights, h->low);
    pawl_trained_part(h->p->model, NULL, part, &first, &count);
    return pawl_vectors_widen(h->p->model, h->p->device, part, h->low + first, h->vectors);
}

/* Forward, parts rise. */
static pawl_status need_fresh(void *self, int64_t part, pawl_part_place *at)
{
    pawl_hold *h = self;
    (void)at; /* in the flat runs */
    for (; h->fresh <= part; h->fresh++) PAWL_TRY(freshen(h, h->fresh));
    return PAWL_OK;
}

pawl_status pawl_hold_refresh(pawl_hold *h)
{
    return h->stage == 3 ? PAWL_OK : need_fresh(h, pawl_trained_parts(h->p->model) - 1, NULL);
}

pawl_status pawl_hold_begin(pawl_hold *h)
{
    return h->behind && h->stage > 0 ? PAWL_OK : pawl_hold_refresh(h);
}

/* ---- gradients ---- */

int pawl_hold_mark(const pawl_hold *h, int64_t part)
{
    const int place = pawl_hold_place(h, part);
    return PAWL_MARK_GRADS + (place == PAWL_HELD_ABOVE ? PAWL_HELD_BELOW : place); /* which may be one */
}

/* Stages 2 and 3: what was there before has gone. */
static pawl_status want(void *self, int64_t part, pawl_part_place *at)
{
    pawl_hold *h = self;
    at->grads = h->grads[pawl_hold_place(h, part)];
    at->put = PAWL_SET; /* slots are added up as they are summed over ranks */
    return pawl_aside_await(h->p->device, pawl_hold_mark(h, part));
}

static pawl_status ready(void *self, int64_t part)
{
    pawl_hold *h = self;
    int64_t first, count;
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    PAWL_TRY(pawl_meet(h->p->comm, PAWL_OK));
    pawl_watch_renew();
    return pawl_rounds_add(h->rounds, first, count, h->idle ? NULL : h->grads[pawl_hold_place(h, part)], pawl_hold_mark(h, part));
}

/* Stages 0 and 1. */
static pawl_status ready_at_last(void *self, int64_t part)
{
    pawl_hold *h = self;
    int64_t first, count;
    pawl_trained_part(h->p->model, h->p->adapter, part, &first, &count);
    return pawl_reduction_ready(h->reduction, first, count);
}

/* ---- the hooks of a pass ---- */

void pawl_hold_hooks(pawl_hold *h)
{
    const int shares = h->stage == 3;
    h->reading = (pawl_pass_hooks){.self = h, .need = shares ? need : need_fresh, .soon = shares && h->behind ? fetch : NULL};
    h->learning = h->reading;
    h->learning.want = want;
    h->learning.ready = ready;
    h->ending = h->reading;
    h->ending.ready = ready_at_last;
}

void pawl_hold_last(pawl_hold *h, pawl_pass *pass)
{
    if (pawl_reduction_overlaps(h->reduction)) pass->hooks = &h->ending;
}

void pawl_hold_pass(pawl_hold *h, int learns, pawl_pass *pass)
{
    pass->weights = h->stage == 3 ? NULL : h->weights;
    pass->low = h->stage == 3 ? NULL : h->low;
    pass->vectors = h->vectors;
    if (h->stage >= 2 && learns) pass->hooks = &h->learning;
    else if (h->stage == 3 || h->fresh < pawl_trained_parts(h->p->model)) pass->hooks = &h->reading;
}
