/* Runs: cmocka */
/* activation_recompute: the same bits of losses and gradients at every level, in every kind of block, with and without
 * adapters and gelu_fused (on a CPU); and memory as the formula of decision 0024 has it. */
#include "model/adapter.h"
#include "tests/model_setting.h"

enum { LEVELS = 3 };

static pawl_activations *room_for(const setting *s, int level, int fused)
{
    const pawl_capacity room = {
        .rows = MOST_ROWS, .tokens = T, .train = 1, .recompute = (pawl_recompute)level, .fused_gelu = fused};
    pawl_activations *a;
    assert_int_equal(pawl_activations_open(s->model, &room, &a), PAWL_OK);
    return a;
}

/* Other rows than usual_batch's, so that what is left of one slot would show in the next. */
static void other_batch(setting *s)
{
    begin_batch(s);
    add_row(s, 700, (const int[]){3, 2, 8, 0});
    add_row(s, 800, (const int[]){12, 0});
}

typedef struct answer {
    float losses[2 * MOST];
    int32_t bad[2 * MOST_ROWS];
    float *grads;
} answer;

/* Two slots whose gradients add up. */
static answer two_slots(setting *s, const pawl_over *over, const float *weights, int64_t count)
{
    answer a = {.grads = floats(count)};
    for (int slot = 0; slot < 2; slot++) {
        const pawl_pass p = {.over = over,
                             .weights = weights,
                             .grads = a.grads,
                             .put = slot ? PAWL_ADD : PAWL_SET,
                             .scale = 0.25f,
                             .losses = a.losses + slot * MOST,
                             .bad_rows = a.bad + slot * MOST_ROWS};
        if (slot)
            other_batch(s);
        else
            usual_batch(s);
        if (pawl_model_pass(s->model, s->device, s->acts, &s->batch, &p) != PAWL_OK)
            fail_msg("%s", pawl_last_error()->what);
    }
    return a;
}

static void assert_same(const answer *x, const answer *y, const pawl_extent *extents, int tensors)
{
    assert_memory_equal(x->losses, y->losses, sizeof x->losses);
    assert_memory_equal(x->bad, y->bad, sizeof x->bad);
    for (int t = 0; t < tensors; t++)
        assert_memory_equal(x->grads + extents[t].first, y->grads + extents[t].first,
                            (size_t)extents[t].count * sizeof(float));
}

static void every_level_gives_the_same_bits(void **unused)
{
    (void)unused;
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 2);
        answer plain = two_slots(&s, NULL, s.weights, s.count);
        for (int i = 1; i < 2 * LEVELS; i++) {
            pawl_activations_close(s.acts);
            s.acts = room_for(&s, i % LEVELS, i >= LEVELS);
            answer again = two_slots(&s, NULL, s.weights, s.count);
            assert_same(&again, &plain, s.model->extents, s.model->count);
            free(again.grads);
        }
        free(plain.grads);
        close_setting(&s);
    }
}

/* ---- adapters ---- */

static pawl_status base_weight(void *self, int tensor, float *to)
{
    const setting *s = self;
    const pawl_extent *e = &s->model->extents[tensor];
    memcpy(to, s->weights + e->first, (size_t)e->count * sizeof *to);
    return PAWL_OK;
}

/* Some where the lowest adapted product is not the first of the first block, and some where a block has none. */
static const char *const adapters[] = {
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": \"all-linear\", \"lora_dropout\": "
    "0.25}",
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": \"all-linear\", \"use_dora\": true, "
    "\"lora_dropout\": 0.25, \"rank_pattern\": {\"1.mlp.down_proj\": 5, \"1.mlp.c_proj\": 5}}",
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"down_proj\", \"c_proj\"]}",
    "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\", \"c_attn\"], "
    "\"lora_dropout\": 0.25, \"layers_to_transform\": [1]}",
};

static answer with_adapter(setting *s, const pawl_adapter *a, const pawl_frozen *base, const float *weights, int level)
{
    const pawl_capacity room = {.rows = MOST_ROWS, .tokens = T, .train = 1, .recompute = (pawl_recompute)level};
    pawl_adapter_work *work;
    pawl_activations_close(s->acts);
    s->acts = room_for(s, level, level == PAWL_RECOMPUTE_NORMS); /* fused: where there is an adapter, not */
    assert_int_equal(pawl_adapter_work_open(a, &room, &work), PAWL_OK);
    const pawl_over over = {.adapter = a, .base = base, .work = work, .seed = 4, .first_row = 7};
    const answer got = two_slots(s, &over, weights, pawl_trained_count(s->model, a));
    pawl_adapter_work_close(work);
    return got;
}

static void adapters_give_the_same_bits(void **unused)
{
    (void)unused;
    static const int kinds[] = {0, 3, 7}; /* plain, q/k norm, gpt2 */
    for (size_t i = 0; i < 3 * sizeof adapters / sizeof *adapters; i++) {
        setting s = open_setting(&variants[kinds[i % 3]], 2);
        json_t *settings = json_loads(adapters[i / 3], 0, NULL);
        const pawl_extent *extents;
        pawl_adapter *a;
        pawl_frozen *base;
        if (pawl_adapter_open(s.model, settings, "here", &a) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
        assert_int_equal(pawl_frozen_open(s.model, s.device, PAWL_CODE_INT8, PAWL_F32, &base), PAWL_OK);
        assert_int_equal(pawl_frozen_fill(base, base_weight, &s), PAWL_OK);
        const int tensors = pawl_trained_extents(s.model, a, &extents);
        const int64_t count = pawl_trained_count(s.model, a);
        float *weights = floats(count);
        pawl_adapter_init(a, 3, 0, weights);
        for (int64_t k = 0; k < count; k++) weights[k] += 0.01f * (float)(k % 7);
        answer plain = with_adapter(&s, a, base, weights, 0);
        for (int level = 1; level < LEVELS; level++) {
            answer again = with_adapter(&s, a, base, weights, level);
            assert_same(&again, &plain, extents, tensors);
            free(again.grads);
        }
        free(plain.grads);
        free(weights);
        pawl_frozen_close(base);
        pawl_adapter_close(a);
        json_decref(settings);
        close_setting(&s);
    }
}

/* ---- memory ---- */

/* Numbers per position: of each layer, and once (decision 0024). */
static void widths_of(const pawl_model *m, int level, int fused, int64_t *layer, int64_t *once)
{
    const pawl_model_config *c = &m->config;
    const int64_t H = c->num_attention_heads, G = c->num_key_value_heads, K = c->head_dim, Q = H * K,
                  W = (H + 2 * G) * K, U = m->has & PAWL_UNGATED ? F : 2 * F,
                  moments = m->has & PAWL_LAYER_NORM ? 4 : 2, heads = m->has & PAWL_QK_NORM ? W + H + G : 0;
    const int64_t all = 4 * D + W + heads + Q + H + U + F + moments;
    const int64_t again[LEVELS] = {0, 2 * D + (fused ? 0 : F) + (heads ? W : 0), all - D};
    const int64_t shared[LEVELS] = {0, again[1] - D, all - D}; /* norms: one normed input at a time */
    const int64_t gradients = 2 * D + (U > W ? U : W) + (F > Q ? F : Q);
    *layer = all - again[level];
    *once = shared[level] + D + (2 * D + moments / 2) + gradients;
}

/* 16 tokens a row, so that no buffer needs padding. */
static void memory_is_that_of_the_formula(void **unused)
{
    (void)unused;
    enum { TOKENS = 16, ROWS = 3, N = ROWS * TOKENS };
    pawl_arena probe = {.name = "probe"};
    pawl_take_bytes(&probe, PAWL_ALIGN);
    if (probe.used != PAWL_ALIGN) skip(); /* sanitizers keep a gap behind each piece */
    for (int v = 0; v < VARIANTS; v++) {
        setting s = open_setting(&variants[v], 1);
        const pawl_model_config *c = &s.model->config;
        const int longrope = strstr(variants[v].name, "longrope") != NULL;
        const int64_t tables = s.model->has & PAWL_POSITION_TABLE ? 0 : (longrope ? 2 : 1) * TOKENS * c->head_dim;
        for (int i = 0; i < 2 * LEVELS; i++) {
            const int level = i % LEVELS;
            const pawl_capacity room = {.rows = ROWS,
                                        .tokens = TOKENS,
                                        .train = 1,
                                        .recompute = (pawl_recompute)level,
                                        .fused_gelu = i >= LEVELS};
            int64_t layer, once;
            widths_of(s.model, level, pawl_fuses(s.model, &room), &layer, &once);
            const int64_t numbers = N * (L * layer + once + longrope) + tables;
            assert_int_equal(pawl_room_sum(pawl_activations_bytes(s.model, &room)), numbers * 4);
        }
        close_setting(&s);
    }
}

/* An adapter's low-rank products are kept for every layer, or for one at a time. */
static void adapters_take_less_where_blocks_are_computed_again(void **unused)
{
    (void)unused;
    setting s = open_setting(&variants[0], 1);
    json_t *settings = json_loads(adapters[0], 0, NULL);
    pawl_adapter *a;
    assert_int_equal(pawl_adapter_open(s.model, settings, "here", &a), PAWL_OK);
    pawl_capacity room = {.rows = 1, .tokens = 16, .train = 1};
    const size_t whole = pawl_room_sum(pawl_adapter_work_bytes(a, &room));
    room.recompute = PAWL_RECOMPUTE_BLOCK;
    assert_int_equal(whole - pawl_room_sum(pawl_adapter_work_bytes(a, &room)), (L - 1) * 7 * 3 * 16 * sizeof(float));
    pawl_adapter_close(a);
    json_decref(settings);
    close_setting(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_gives_the_same_bits),
        cmocka_unit_test(adapters_give_the_same_bits),
        cmocka_unit_test(memory_is_that_of_the_formula),
        cmocka_unit_test(adapters_take_less_where_blocks_are_computed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
