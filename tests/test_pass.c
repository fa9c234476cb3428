/* Runs: cmocka */
/* Parts: a pass whose weights and gradients stand nowhere but in buffers that hooks hand out, one part at a time,
 * against one over flat runs. Outside its use a part's buffer does not exist, and a fresh one holds numbers that would
 * show. */
#include <math.h>

#include "model/adapter.h"
#include "tests/model_setting.h"

enum { CALLS = 64 };

typedef struct recorder {
    const pawl_model *m;
    const pawl_adapter *a;
    const float *weights; /* what the parts hold */
    float *grads;         /* filled part by part, when they are ready */
    pawl_put put;
    float *open_weights[L + 2], *open_grads[L + 2];
    char calls[CALLS][16];
    int count, failing; /* failing: the number of the call that fails; -1: none */
    int finished[L + 2], announced[L + 2];
} recorder;

static int64_t extent(const recorder *r, int64_t part, int64_t *first)
{
    int64_t count;
    pawl_trained_part(r->m, r->a, part, first, &count);
    return count;
}

static pawl_status note(recorder *r, const char *what, int64_t part)
{
    assert_true(r->count < CALLS);
    snprintf(r->calls[r->count], sizeof r->calls[0], "%s %lld", what, (long long)part);
    PAWL_CHECK(r->count++ != r->failing, PAWL_EIO, "call %d fails", r->failing);
    return PAWL_OK;
}

static pawl_status need(void *self, int64_t part, pawl_part_place *at)
{
    recorder *r = self;
    int64_t first;
    const int64_t count = extent(r, part, &first);
    PAWL_TRY(note(r, "need", part));
    assert_null(at->weights);
    assert_null(r->open_weights[part]);
    assert_true(r->announced[part] || r->count == 1); /* but for the first */
    r->announced[part] = 0;
    r->open_weights[part] = floats(count);
    memcpy(r->open_weights[part], r->weights + first, (size_t)count * sizeof(float));
    at->weights = r->open_weights[part];
    return PAWL_OK;
}

static pawl_status done(void *self, int64_t part)
{
    recorder *r = self;
    int64_t first;
    const int64_t count = extent(r, part, &first);
    assert_non_null(r->open_weights[part]);
    assert_memory_equal(r->open_weights[part], r->weights + first, (size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++) r->open_weights[part][i] = NAN;
    free(r->open_weights[part]);
    r->open_weights[part] = NULL;
    return note(r, "done", part);
}

/* Early enough for its weights to come while others are used, and not for nothing. */
static pawl_status soon(void *self, int64_t part)
{
    recorder *r = self;
    assert_false(r->announced[part]);
    r->announced[part] = 1;
    return PAWL_OK;
}

static pawl_status want(void *self, int64_t part, pawl_part_place *at)
{
    recorder *r = self;
    int64_t first;
    const int64_t count = extent(r, part, &first);
    PAWL_TRY(note(r, "want", part));
    assert_null(at->grads);
    assert_null(r->open_grads[part]);
    assert_false(r->finished[part]);
    r->open_grads[part] = floats(count);
    for (int64_t i = 0; i < count; i++) r->open_grads[part][i] = r->put == PAWL_ADD ? r->grads[first + i] : NAN;
    at->grads = r->open_grads[part];
    at->put = r->put;
    return PAWL_OK;
}

static pawl_status ready(void *self, int64_t part)
{
    recorder *r = self;
    int64_t first;
    const int64_t count = extent(r, part, &first);
    assert_non_null(r->open_grads[part]);
    memcpy(r->grads + first, r->open_grads[part], (size_t)count * sizeof(float));
    free(r->open_grads[part]);
    r->open_grads[part] = NULL;
    r->finished[part] = 1;
    return note(r, "ready", part);
}

static void assert_all_closed(const recorder *r)
{
    for (int i = 0; i < L + 2; i++) {
        assert_null(r->open_weights[i]);
        assert_null(r->open_grads[i]);
        assert_false(r->announced[i]);
    }
}

static void assert_calls(const recorder *r, const char *expected)
{
    char all[CALLS * 16] = "";
    for (int i = 0; i < r->count; i++) snprintf(all + strlen(all), sizeof all - strlen(all), "%s; ", r->calls[i]);
    assert_string_equal(all, expected);
}

/* Tensors alone: what lies between them is nobody's. */
static void assert_same_tensors(const setting *s, const pawl_adapter *a, const float *x, const float *y)
{
    const pawl_extent *e;
    const int count = pawl_trained_extents(s->model, a, &e);
    for (int t = 0; t < count; t++)
        assert_memory_equal(x + e[t].first, y + e[t].first, (size_t)e[t].count * sizeof(float));
}

static pawl_status run(setting *s, recorder *r, const pawl_over *over, int learns)
{
    const pawl_pass_hooks hooks = {r, need, done, soon, learns ? want : NULL, learns ? ready : NULL};
    const pawl_pass p = {.over = over, .hooks = &hooks, .scale = 0.25f, .losses = s->losses, .bad_rows = s->bad};
    r->count = 0;
    memset(r->finished, 0, sizeof r->finished);
    return pawl_model_pass(s->model, s->device, s->acts, &s->batch, &p);
}

/* Whoever walks through a pass that others compute calls the same hooks in the same order. */
static void assert_same_walk(setting *s, const recorder *passed, const pawl_over *over, int learns)
{
    recorder r = {.m = passed->m, .a = passed->a, .weights = passed->weights, .grads = floats(s->count), .put = PAWL_SET, .failing = -1};
    const pawl_pass_hooks hooks = {&r, need, done, soon, learns ? want : NULL, learns ? ready : NULL};
    const pawl_pass p = {.over = over, .hooks = &hooks};
    if (pawl_model_walk(s->model, &p) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    assert_int_equal(r.count, passed->count);
    for (int i = 0; i < r.count; i++) assert_string_equal(r.calls[i], passed->calls[i]);
    assert_all_closed(&r);
    free(r.grads);
}

static void plain_run(setting *s, const pawl_over *over, const float *weights, float *grads, pawl_put put)
{
    const pawl_pass p = {.over = over,
                         .weights = weights,
                         .grads = grads,
                         .put = put,
                         .scale = 0.25f,
                         .losses = s->losses,
                         .bad_rows = s->bad};
    if (pawl_model_pass(s->model, s->device, s->acts, &s->batch, &p) != PAWL_OK)
        fail_msg("%s", pawl_last_error()->what);
}

/* ---- all weights ---- */

static const char forward_order[] =
    "need 0; done 0; need 1; done 1; need 2; done 2; need 3; "; /* of two blocks, up to the final norm */
static const char backward_blocks[] = "need 2; want 2; done 2; ready 2; need 1; want 1; done 1; ready 1; ";

static void assert_order(const recorder *r, int tied, int learns)
{
    char expected[512];
    snprintf(expected, sizeof expected, "%s%s%s%s%s", forward_order, tied ? "need 0; " : "",
             !learns ? ""
             : tied  ? "want 0; "
                     : "want 3; ",
             tied ? "done 0; " : "", learns && tied ? "want 3; " : "");
    snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "done 3; ");
    if (learns)
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "ready 3; %s%sready 0; ",
                 backward_blocks, tied ? "" : "want 0; ");
    assert_calls(r, expected);
}

static void parts_may_stand_anywhere(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        float losses[MOST], *grads = floats(s.count);
        recorder r = {.m = s.model, .weights = s.weights, .grads = grads, .failing = -1};
        usual_batch(&s);
        for (int put = 0; put < 2; put++) { /* sets, then adds to what is there */
            r.put = put ? PAWL_ADD : PAWL_SET;
            plain_run(&s, NULL, s.weights, s.grads, r.put);
            memcpy(losses, s.losses, sizeof losses);
            if (run(&s, &r, NULL, 1) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
            assert_memory_equal(s.losses, losses, (size_t)(s.batch.rows * T) * sizeof(float));
            assert_same_tensors(&s, NULL, grads, s.grads);
            assert_order(&r, variants[v].tied, 1);
            assert_all_closed(&r);
            assert_same_walk(&s, &r, NULL, 1);
        }
        assert_int_equal(run(&s, &r, NULL, 0), PAWL_OK);
        assert_memory_equal(s.losses, losses, (size_t)(s.batch.rows * T) * sizeof(float));
        assert_order(&r, variants[v].tied, 0);
        assert_all_closed(&r);
        assert_same_walk(&s, &r, NULL, 0);
        free(grads);
        close_setting(&s);
    }
}

static void parts_tile_the_flat_run(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        int64_t at = 0, first, count;
        assert_int_equal(pawl_trained_parts(s.model), L + 2);
        for (int64_t part = 0; part < L + 2; part++, at += count) {
            pawl_trained_part(s.model, NULL, part, &first, &count);
            assert_int_equal(first, at);
            assert_true(count > 0);
            for (int t = 0; t < s.model->count; t++) { /* a tensor is in one part, and by its name in the right one */
                const pawl_extent *e = &s.model->extents[t];
                int64_t layer = -1;
                const char *name = strstr(s.model->weights[t].name, variants[v].family[0] == 'g' ? "h." : "layers.");
                if (name) layer = strtoll(strchr(name, '.') + 1, NULL, 10);
                const int inside = e->first >= first && e->first + e->count <= first + count,
                          outside = e->first >= first + count || e->first + e->count <= first;
                assert_true(inside || outside);
                assert_int_equal(inside && layer >= 0, layer == part - 1 && layer >= 0);
            }
        }
        assert_int_equal(at, s.count);
        close_setting(&s);
    }
}

static void an_error_of_a_hook_ends_the_pass(void **unused)
{
    (void)unused;
    setting s = open_setting(&variants[1], 1);
    recorder all = {.m = s.model, .weights = s.weights, .grads = s.grads, .failing = -1};
    usual_batch(&s);
    assert_int_equal(run(&s, &all, NULL, 1), PAWL_OK);
    for (int fails = 0; fails < all.count; fails++) {
        recorder r = {.m = s.model, .weights = s.weights, .grads = s.grads, .failing = fails};
        assert_int_equal(run(&s, &r, NULL, 1), PAWL_EIO);
        assert_int_equal(r.count, fails + 1);
        for (int i = 0; i < L + 2; i++) {
            free(r.open_weights[i]);
            free(r.open_grads[i]);
        }
    }
    close_setting(&s);
}

/* ---- an adapter's ---- */

static pawl_status base_weight(void *self, int tensor, float *to)
{
    const setting *s = self;
    const pawl_extent *e = &s->model->extents[tensor];
    memcpy(to, s->weights + e->first, (size_t)e->count * sizeof *to);
    return PAWL_OK;
}

/* One block of two has modules; then both, but in the lower the input of the lowest is not followed down. */
static void adapters_have_parts_too(void **unused)
{
    (void)unused;
    static const struct {
        const char *settings, *calls;
    } kinds[] = {
        {"{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\", \"down_proj\"], "
         "\"layers_to_transform\": [1], \"use_dora\": true}",
         "need 2; done 2; need 2; want 2; done 2; ready 2; "},
        {"{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"v_proj\", \"up_proj\"], "
         "\"lora_dropout\": 0.25}",
         "need 1; done 1; need 2; done 2; need 2; want 2; done 2; ready 2; need 1; want 1; done 1; ready 1; "},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        setting s = open_setting(&variants[3], 1);
        json_t *settings = json_loads(kinds[k].settings, 0, NULL);
        pawl_adapter *a;
        pawl_frozen *base;
        pawl_adapter_work *work;
        assert_int_equal(pawl_adapter_open(s.model, settings, "here", &a), PAWL_OK);
        assert_int_equal(pawl_frozen_open(s.model, s.device, PAWL_CODE_NONE, PAWL_F32, &base), PAWL_OK);
        assert_int_equal(pawl_frozen_fill(base, base_weight, &s), PAWL_OK);
        assert_int_equal(pawl_adapter_work_open(a, &(pawl_capacity){.rows = MOST_ROWS, .tokens = T}, &work), PAWL_OK);
        const pawl_over over = {.adapter = a, .base = base, .work = work, .seed = 4, .first_row = 7};
        const int64_t count = pawl_trained_count(s.model, a);
        float *weights = floats(count), *plain = floats(count), *grads = floats(count), losses[MOST];
        pawl_adapter_init(a, 3, 0, weights);
        for (int64_t i = 0; i < count; i++) weights[i] += 0.01f * (float)(i % 7);
        recorder r = {.m = s.model, .a = a, .weights = weights, .grads = grads, .failing = -1};
        usual_batch(&s);
        plain_run(&s, &over, weights, plain, PAWL_SET);
        memcpy(losses, s.losses, sizeof losses);
        if (run(&s, &r, &over, 1) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
        assert_memory_equal(s.losses, losses, (size_t)(s.batch.rows * T) * sizeof(float));
        assert_same_tensors(&s, a, grads, plain);
        assert_calls(&r, kinds[k].calls);
        assert_all_closed(&r);
        assert_same_walk(&s, &r, &over, 1);
        free(weights);
        free(plain);
        free(grads);
        pawl_adapter_work_close(work);
        pawl_frozen_close(base);
        pawl_adapter_close(a);
        json_decref(settings);
        close_setting(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_tile_the_flat_run),
        cmocka_unit_test(parts_may_stand_anywhere),
        cmocka_unit_test(an_error_of_a_hook_ends_the_pass),
        cmocka_unit_test(adapters_have_parts_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
