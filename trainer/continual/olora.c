/* O-LoRA: loss + lambda sum_i |A_i A^T|_1 + lambda2 (|A|^2 + |B|^2), over each module's A and the A_i of finished
 * stages, which stay applied and do not change (finished.h). |.|_1 is the sum over all pairs of their rows: adapters
 * whose rows do not overlap read different directions of what comes in. Source: Wang et al. 2023 (arXiv 2310.14152),
 * with the absolute values of their program; there lambda2 is on norms that are not squared. */
#include "trainer/continual/finished.h"
#include "trainer/continual/slices.h"

const char *const pawl_lora_stages_names[] = {"same", "merge", "orthogonal", NULL};

#define PAWL_SECTION pawl_olora_config
const pawl_field pawl_olora_rows[] = {PAWL_OLORA_FIELDS(PAWL_ROW_F) PAWL_ROW_END};
#undef PAWL_SECTION

typedef struct olora {
    pawl_slices slices; /* no runs: it keeps nothing */
    pawl_olora_config config;
    pawl_device *device;
    int64_t rank;
    pawl_arena arena, here; /* the device's, and the host's where that is another */
    double *sums, *sums_here; /* [rank], and where the host reads them */
} olora;

static void lay_out(olora *o)
{
    o->sums = o->sums_here = pawl_take_bytes(&o->arena, (size_t)o->rank * sizeof *o->sums);
    if (!pawl_device_shares_memory(o->device)) o->sums_here = pawl_take_bytes(&o->here, (size_t)o->rank * sizeof *o->sums);
}

static olora olora_of(const pawl_parts *p)
{
    const pawl_continual_config *c = p->continual;
    olora o = {.config = c->olora.value, .rank = pawl_adapter_rank(p->adapter), .device = p->device, .arena = {.name = "methods"}, .here = {.name = "methods"}};
    if (!c->olora.present) pawl_fields_default(pawl_olora_rows, &o.config);
    return o;
}

static pawl_room bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    olora o = olora_of(p);
    lay_out(&o);
    return pawl_room_add(pawl_room_of(&o.arena, &o.here), pawl_slices_bytes(p, first, end, 0));
}

static pawl_status olora_open(const pawl_moment *m, void **self)
{
    olora *o;
    PAWL_TRY(pawl_alloc((void **)&o, sizeof *o, "olora"));
    *self = o;
    *o = olora_of(m->p);
    lay_out(o);
    PAWL_TRY(pawl_arena_open_on(o->device, PAWL_ON_DEVICE, &o->arena));
    if (o->here.used) PAWL_TRY(pawl_arena_open_on(o->device, PAWL_ON_HOST, &o->here));
    lay_out(o);
    return pawl_slices_open(m, 0, &o->slices);
}

static void olora_close(void *self)
{
    olora *o = self;
    pawl_slices_close(&o->slices);
    pawl_arena_close_on(o->device, PAWL_ON_DEVICE, &o->arena);
    pawl_arena_close_on(o->device, PAWL_ON_HOST, &o->here);
}

/* A row's products need all of it, wherever the range begins: the weights are whole on every rank under an adapter. */
static pawl_status gradient(void *self, const pawl_moment *m, const float *weights, float *grads, double *penalty)
{
    olora *o = self;
    const size_t bytes = (size_t)o->rank * sizeof *o->sums;
    for (int64_t r = 0; r < o->rank; r++) o->sums_here[r] = 0;
    PAWL_TRY(pawl_upload(o->device, o->sums, o->sums_here, bytes));
    PAWL_TRY(pawl_finished_bring(m->finished));
    PAWL_TRY(pawl_stack_overlap(&m->finished->stack, m->p->device, m->stepper->hold.weights, (float)o->config.lambda,
                                o->slices.first, o->slices.end, grads, o->sums));
    PAWL_TRY(pawl_download(o->device, o->sums_here, o->sums, bytes));
    for (int64_t r = 0; r < o->rank; r++) *penalty += o->sums_here[r];
    if (o->config.lambda2 == 0) return PAWL_OK;
    return pawl_slices_anchor(&o->slices, weights, grads, NULL, NULL, 2 * o->config.lambda2, penalty);
}

const pawl_method pawl_olora = {.name = "olora",
                                .present = offsetof(pawl_continual_config, lora_stages),
                                .when = PAWL_LORA_ORTHOGONAL,
                                .bytes = bytes,
                                .open = olora_open,
                                .close = olora_close,
                                .gradient = gradient};
