/* Runs: cmocka
 * Every optimizer and schedule against the numbers of a reference implementation (tests/fixtures/optim/make_optim.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/arena.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "optim/optim.h"

enum { PARTS_MAX = 16 };

typedef struct run {
    const json_t *of;
    const char *name;
    pawl_optim_config config;
    pawl_extent parts[PARTS_MAX];
    int part_count;
    int64_t flat;
    pawl_state names;
    float *weights, *start, *grads;
} run;

static json_t *cases;

static void in_fixtures(const char *name, char path[1024])
{
    const char *source = getenv("PAWL_SOURCE");
    snprintf(path, 1024, "%s/tests/fixtures/optim/%s", source ? source : ".", name);
}

static int read_cases(void **state)
{
    char path[1024];
    (void)state;
    in_fixtures("cases.json", path);
    return pawl_json_read(path, 1 << 20, &cases) != PAWL_OK;
}

static int free_cases(void **state)
{
    (void)state;
    json_decref(cases);
    return 0;
}

/* The numbers that make_optim.py counts. */
static void numbers(uint32_t seed, int64_t count, float scale, float *out)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t u = (seed << 20) + (uint32_t)i;
        u = (u ^ (u >> 16)) * 0x85ebca6bu;
        u = (u ^ (u >> 13)) * 0xc2b2ae35u;
        u ^= u >> 16;
        out[i] = (float)((double)(u >> 8) / 16777216.0 - 0.5) * scale;
    }
}

static void set_keys(const json_t *keys, pawl_optim_config *c)
{
    const char *key;
    json_t *value;
    pawl_fields_default(pawl_optim_rows, c);
    json_object_foreach((json_t *)(uintptr_t)keys, key, value)
    {
        char text[64], why[256];
        const pawl_field *row = pawl_optim_rows;
        while (row->key && strcmp(row->key, key) != 0) row++;
        if (!row->key) fail_msg("no key %s", key);
        if (json_is_string(value)) snprintf(text, sizeof text, "%s", json_string_value(value));
        else if (json_is_boolean(value)) snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
        else if (json_is_integer(value)) snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
        else snprintf(text, sizeof text, "%.17g", json_real_value(value));
        if (!pawl_field_set(row, c, text, why, sizeof why)) fail_msg("%s: %s", key, why);
    }
}

static int64_t whole(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void lay_out(run *r)
{
    const json_t *tensors = json_object_get(r->of, "tensors");
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *t = json_array_get(tensors, i);
        const int64_t rows = whole(t, "rows"), cols = whole(t, "cols");
        pawl_extent *e = &r->parts[r->part_count++];
        r->flat = (r->flat + 15) / 16 * 16;
        *e = cols ? pawl_extent_matrix(r->flat, rows, cols) : pawl_extent_vector(r->flat, rows);
        if (strcmp(json_string_value(json_object_get(t, "role")), "embedding") == 0) e->role = PAWL_ROLE_EMBEDDING;
        r->flat += e->count;
        const pawl_tensor shape = {.dtype = PAWL_F32, .ndim = cols ? 2 : 1, .dim = {rows, cols}};
        assert_int_equal(pawl_state_add(&r->names, "", json_string_value(json_object_get(t, "name")), shape), PAWL_OK);
    }
    float **all[] = {&r->weights, &r->start, &r->grads};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pawl_alloc((void **)all[i], (size_t)r->flat * sizeof(float), "a test"), PAWL_OK);
}

static void fill(const run *r, uint32_t seed, float scale, float *out)
{
    for (int i = 0; i < r->part_count; i++) numbers(seed + (uint32_t)i, r->parts[i].count, scale, out + r->parts[i].first);
}

static double distance(const float *x, const float *y, int64_t count)
{
    double apart = 0;
    for (int64_t i = 0; i < count; i++) apart += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    return sqrt(apart);
}

static const pawl_named *find(const run *r, const pawl_safetensors *s, const char *prefix, const char *name)
{
    char path[PAWL_NAME_MAX + 16];
    snprintf(path, sizeof path, "%s%s", prefix, name);
    const pawl_named *n = pawl_safetensors_find(s, path);
    if (!n) fail_msg("%s: no %s", r->name, path);
    return n;
}

static void compare_weights(const run *r, const pawl_safetensors *s, double limit)
{
    for (int i = 0; i < r->part_count; i++) {
        const pawl_extent *e = &r->parts[i];
        const float *expected = find(r, s, "model/", r->names.items[i].name)->tensor.data;
        const double moved = distance(expected, r->start + e->first, e->count);
        const double d = distance(expected, r->weights + e->first, e->count) / moved;
        if (!(d <= limit)) fail_msg("%s: %s: apart by %.2e of what moved", r->name, r->names.items[i].name, d);
    }
}

/* Codes to one in a thousand that lie beside the reference's, the rest to the last bits. */
static void compare_state(const run *r, const pawl_optim *o, const pawl_safetensors *s)
{
    pawl_state state = {0};
    int compared = 0;
    assert_int_equal(pawl_optim_state(o, &r->names, &state), PAWL_OK);
    for (int i = 0; i < state.count; i++) {
        const pawl_named *ours = &state.items[i], *theirs = find(r, s, "", ours->name);
        const int64_t count = pawl_tensor_count(ours->tensor);
        const uint8_t *a = ours->tensor.data, *b = theirs->tensor.data;
        int64_t apart = 0;
        assert_int_equal(ours->tensor.dtype, theirs->tensor.dtype);
        assert_int_equal(count, pawl_tensor_count(theirs->tensor));
        compared++;
        if (ours->tensor.dtype == PAWL_F32) {
            float zero = 0;
            const double d = distance(ours->tensor.data, theirs->tensor.data, count);
            double size = 0;
            for (int64_t k = 0; k < count; k++) size += pow(distance(&zero, (const float *)theirs->tensor.data + k, 1), 2);
            if (!(d <= 2e-5 * sqrt(size))) fail_msg("%s: %s: apart by %.2e of %.2e", r->name, ours->name, d, sqrt(size));
            continue;
        }
        for (int64_t k = 0; k < count; k++) {
            if (abs(a[k] - b[k]) > 1) fail_msg("%s: %s: code %d, expected %d", r->name, ours->name, a[k], b[k]);
            apart += a[k] != b[k];
        }
        if (apart * 1000 > count) fail_msg("%s: %s: %lld codes of %lld", r->name, ours->name, (long long)apart, (long long)count);
    }
    assert_int_equal(compared, pawl_safetensors_count(s) - r->part_count);
    pawl_state_close(&state);
}

static void train(run *r, pawl_optim *o)
{
    const int64_t steps = whole(r->of, "steps");
    const float scale = (float)json_number_value(json_object_get(r->of, "grad_scale"));
    for (int64_t step = 0; step < steps; step++) {
        double norm;
        fill(r, 100 * (uint32_t)(step + 1), scale, r->grads);
        assert_int_equal(pawl_grad_norm(o, r->grads, &norm), PAWL_OK);
        const double lr = r->config.learning_rate * (1 - (double)step / 10);
        assert_int_equal(pawl_optim_step(o, r->weights, r->grads, norm, lr, step), PAWL_OK);
    }
}

static void try_case(const json_t *of, pawl_device *d)
{
    char path[1024], file[256];
    run r = {.of = of, .name = json_string_value(json_object_get(of, "name"))};
    pawl_safetensors *s;
    pawl_optim *o;
    snprintf(file, sizeof file, "%s.safetensors", r.name);
    in_fixtures(file, path);
    assert_int_equal(pawl_safetensors_open(path, &s), PAWL_OK);
    set_keys(json_object_get(of, "keys"), &r.config);
    lay_out(&r);
    fill(&r, 0, 1, r.start);
    memcpy(r.weights, r.start, (size_t)r.flat * sizeof(float));
    assert_int_equal(pawl_optim_open(&r.config, d, r.parts, r.part_count, 0, r.flat, &o), PAWL_OK);
    train(&r, o);
    compare_weights(&r, s, json_number_value(json_object_get(of, "limit")));
    compare_state(&r, o, s);
    pawl_optim_close(o);
    pawl_safetensors_close(s);
    pawl_state_close(&r.names);
    pawl_free(r.weights);
    pawl_free(r.start);
    pawl_free(r.grads);
}

static void steps_are_those_of_the_references(void **unused)
{
    static const char *const isa[] = {"generic", "auto"};
    (void)unused;
    for (int i = 0; i < 2; i++) {
        size_t at;
        json_t *one;
        pawl_device *d;
        assert_int_equal(pawl_device_open_cpu(2, isa[i], &d), PAWL_OK);
        json_array_foreach(json_object_get(cases, "cases"), at, one) try_case(one, d);
        pawl_device_close(d);
    }
}

/* transformers warms up from 0 at the first step, pawl from one part: a step of warm-up is theirs of the step after it. */
static void schedules_are_those_of_transformers(void **unused)
{
    size_t at;
    json_t *one;
    (void)unused;
    json_array_foreach(json_object_get(cases, "schedules"), at, one)
    {
        pawl_optim_config c;
        const json_t *factors = json_object_get(one, "factors");
        const int64_t steps = whole(one, "steps");
        set_keys(json_object_get(one, "keys"), &c);
        c.learning_rate = 1;
        /* with a floor, theirs of the last kind begins there, too */
        for (int64_t step = c.cosine_min_lr_ratio > 0 ? pawl_warmup_steps(&c, steps) : 0; step < steps; step++) {
            const int64_t theirs = step < pawl_warmup_steps(&c, steps) ? step + 1 : step;
            const double expected = json_number_value(json_array_get(factors, (size_t)theirs));
            const double found = pawl_learning_rate(&c, step, steps);
            if (!(fabs(found - expected) <= 1e-12))
                fail_msg("%s, step %lld: %.15g, expected %.15g", pawl_schedule_names[c.lr_scheduler], (long long)step, found,
                         expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_are_those_of_the_references),
                                       cmocka_unit_test(schedules_are_those_of_transformers)};
    return cmocka_run_group_tests(tests, read_cases, free_cases);
}
