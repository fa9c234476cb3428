/* parity DIR... - runs fixture directories made by a reference implementation (tests/fixtures/hf/README.md) and prints,
 * for each, the greatest relative L2 distance of logits, loss, gradients and the weights after AdamW steps. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "model/model.h"
#include "optim/optim.h"

enum { THREADS = 2 };

static const struct {
    double logits, loss, grads, adamw;
} limits = {1e-4, 1e-4, 1e-3, 1e-4};

typedef struct distances {
    double logits, loss, grads, adamw;
} distances;

/* What one fixture needs while it runs. */
typedef struct fixture {
    const char *dir;
    pawl_device *device;
    pawl_model *model;
    pawl_activations *acts;
    pawl_safetensors *io;
    json_t *expected;
    pawl_arena arena;
    float *weights, *grads, *losses, *logits;
    pawl_batch batch;
    int64_t rows, tokens;
} fixture;

static void grow(double *most, double distance)
{
    if (!(distance <= *most)) *most = isnan(distance) ? DBL_MAX : distance;
}

/* ||x - y|| / ||y|| */
static double relative(const float *x, const float *y, int64_t count)
{
    double apart = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        apart += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        size += (double)y[i] * y[i];
    }
    return sqrt(apart) / (size > 0 ? sqrt(size) : 1);
}

static double relative_number(double x, double y)
{
    return fabs(x - y) / fabs(y);
}

static pawl_status find(const fixture *f, const pawl_safetensors *s, const char *name, pawl_dtype dtype,
                        pawl_tensor *out)
{
    const pawl_named *n = pawl_safetensors_find(s, name);
    PAWL_CHECK(n && n->tensor.dtype == dtype, PAWL_EDATA, "%s: expected a tensor %s of %s", f->dir, name,
               pawl_dtype_name(dtype));
    *out = n->tensor;
    return PAWL_OK;
}

static pawl_status number(const fixture *f, const json_t *object, const char *key, double *out)
{
    const json_t *v = json_object_get(object, key);
    PAWL_CHECK(json_is_number(v), PAWL_EDATA, "%s: expected.json: expected a number %s", f->dir, key);
    *out = json_number_value(v);
    return PAWL_OK;
}

/* Position n predicts the label of n + 1; a row is one document. Returns the number of trained positions. */
static int64_t fill_batch(fixture *f, const int64_t *ids, const int64_t *labels)
{
    int64_t trained = 0;
    for (int64_t n = 0; n < f->rows * f->tokens; n++) {
        const int64_t at = n % f->tokens;
        f->batch.ids[n] = (int32_t)ids[n];
        f->batch.targets[n] = at + 1 < f->tokens ? (int32_t)labels[n + 1] : PAWL_NOT_TRAINED;
        f->batch.positions[n] = (int32_t)at;
        f->batch.starts[n] = (int32_t)(n - at);
        trained += f->batch.targets[n] != PAWL_NOT_TRAINED;
    }
    return trained;
}

/* Mean loss of the batch, and its gradients. */
static pawl_status compute(fixture *f, int64_t trained, double *loss)
{
    const pawl_pass pass = {.weights = f->weights,
                            .grads = f->grads,
                            .put = PAWL_SET,
                            .scale = (float)(1.0 / (double)trained),
                            .losses = f->losses};
    PAWL_TRY(pawl_model_pass(f->model, f->device, f->acts, &f->batch, &pass));
    *loss = 0;
    for (int64_t n = 0; n < f->rows * f->tokens; n++) *loss += f->losses[n];
    *loss /= (double)trained;
    return PAWL_OK;
}

/* The greatest distance between the tensors of a flat run and those of a file. */
static pawl_status compare_flat(const fixture *f, float *flat, const char *file, double *most)
{
    char path[PATH_MAX];
    pawl_safetensors *s;
    pawl_state state = {.items = NULL};
    pawl_status status;
    PAWL_TRY(pawl_path_join(path, sizeof path, f->dir, file));
    PAWL_TRY(pawl_safetensors_open(path, &s));
    PAWL_TRY_OUT(pawl_model_state(f->model, flat, "", &state));
    for (int i = 0; i < state.count; i++) {
        const pawl_tensor ours = state.items[i].tensor;
        pawl_tensor theirs = {0};
        PAWL_TRY_OUT(find(f, s, state.items[i].name, PAWL_F32, &theirs));
        PAWL_TRY_OUT(pawl_tensor_bytes(ours) == pawl_tensor_bytes(theirs)
                         ? PAWL_OK
                         : PAWL_FAIL(PAWL_EDATA, "%s: tensor %s has another size", path, state.items[i].name));
        grow(most, relative(ours.data, theirs.data, pawl_tensor_count(ours)));
    }
out:
    pawl_state_close(&state);
    pawl_safetensors_close(s);
    return status;
}

static pawl_status one_batch(fixture *f, distances *out)
{
    pawl_tensor ids = {0}, labels = {0}, logits = {0};
    double loss = 0, expected = 0;
    PAWL_TRY(find(f, f->io, "input_ids", PAWL_I64, &ids));
    PAWL_TRY(find(f, f->io, "labels", PAWL_I64, &labels));
    PAWL_TRY(find(f, f->io, "logits", PAWL_F32, &logits));
    const int64_t trained = fill_batch(f, ids.data, labels.data);
    PAWL_TRY(pawl_model_logits(f->model, f->device, f->acts, &f->batch, f->weights, f->logits));
    grow(&out->logits, relative(f->logits, logits.data, pawl_tensor_count(logits)));
    PAWL_TRY(compute(f, trained, &loss));
    PAWL_TRY(number(f, f->expected, "loss", &expected));
    grow(&out->loss, relative_number(loss, expected));
    return compare_flat(f, f->grads, "grads.safetensors", &out->grads);
}

static pawl_status read_settings(const fixture *f, const json_t *settings, pawl_optim_config *c)
{
    const json_t *betas = json_object_get(settings, "betas");
    pawl_fields_default(pawl_optim_rows, c);
    PAWL_TRY(number(f, settings, "lr", &c->learning_rate));
    PAWL_TRY(number(f, settings, "eps", &c->adam_epsilon));
    PAWL_TRY(number(f, settings, "weight_decay", &c->weight_decay));
    PAWL_TRY(number(f, settings, "max_grad_norm", &c->max_grad_norm));
    PAWL_CHECK(json_array_size(betas) == 2, PAWL_EDATA, "%s: expected.json: expected two betas", f->dir);
    c->adam_beta1 = json_number_value(json_array_get(betas, 0));
    c->adam_beta2 = json_number_value(json_array_get(betas, 1));
    return PAWL_OK;
}

/* The steps of the reference: every loss and gradient norm on the way counts as much as the weights at the end. */
static pawl_status train(fixture *f, pawl_optim *o, double lr, const json_t *steps, distances *out)
{
    pawl_tensor ids = {0}, labels = {0};
    PAWL_TRY(find(f, f->io, "train_ids", PAWL_I64, &ids));
    PAWL_TRY(find(f, f->io, "train_labels", PAWL_I64, &labels));
    for (size_t s = 0; s < json_array_size(steps); s++) {
        const int64_t first = (int64_t)s % ids.dim[0] * f->rows * f->tokens;
        const int64_t trained = fill_batch(f, (const int64_t *)ids.data + first, (const int64_t *)labels.data + first);
        double loss = 0, norm = 0, expected_loss = 0, expected_norm = 0;
        PAWL_TRY(number(f, json_array_get(steps, s), "loss", &expected_loss));
        PAWL_TRY(number(f, json_array_get(steps, s), "grad_norm", &expected_norm));
        PAWL_TRY(compute(f, trained, &loss));
        PAWL_TRY(pawl_grad_norm(o, f->grads, &norm));
        PAWL_TRY(pawl_optim_step(o, f->weights, f->grads, norm, lr, (int64_t)s));
        grow(&out->adamw, relative_number(loss, expected_loss));
        grow(&out->adamw, relative_number(norm, expected_norm));
    }
    return compare_flat(f, f->weights, "adamw.safetensors", &out->adamw);
}

static pawl_status trajectory(fixture *f, distances *out)
{
    const json_t *settings = json_object_get(f->expected, "adamw"), *steps = json_object_get(settings, "trajectory");
    const pawl_extent *parts;
    const int count = pawl_model_extents(f->model, &parts);
    pawl_optim_config c;
    pawl_optim *o;
    PAWL_TRY(read_settings(f, settings, &c));
    PAWL_CHECK(json_array_size(steps) > 0, PAWL_EDATA, "%s: expected.json has no trajectory", f->dir);
    PAWL_TRY(pawl_optim_open(&c, f->device, parts, count, pawl_model_count(f->model), &o));
    const pawl_status status = train(f, o, c.learning_rate, steps, out);
    pawl_optim_close(o);
    return status;
}

static void lay_out(fixture *f)
{
    const size_t flat = (size_t)pawl_model_count(f->model) * sizeof(float), N = (size_t)(f->rows * f->tokens);
    f->weights = pawl_take_bytes(&f->arena, flat);
    f->grads = pawl_take_bytes(&f->arena, flat);
    f->losses = pawl_take_bytes(&f->arena, N * sizeof(float));
    f->logits = pawl_take_bytes(&f->arena, N * (size_t)pawl_model_settings(f->model)->vocab_size * sizeof(float));
    pawl_batch_lay_out(&f->arena, &f->batch, f->rows, f->tokens);
}

static pawl_status read_inputs(fixture *f)
{
    char path[PATH_MAX];
    pawl_tensor ids = {0};
    PAWL_TRY(pawl_path_join(path, sizeof path, f->dir, "io.safetensors"));
    PAWL_TRY(pawl_safetensors_open(path, &f->io));
    PAWL_TRY(find(f, f->io, "input_ids", PAWL_I64, &ids));
    f->rows = ids.dim[0];
    f->tokens = ids.dim[1];
    PAWL_TRY(pawl_path_join(path, sizeof path, f->dir, "expected.json"));
    return pawl_json_read(path, 1 << 24, &f->expected);
}

static pawl_status open_model(fixture *f)
{
    char path[PATH_MAX];
    pawl_model_config c;
    PAWL_TRY(pawl_path_join(path, sizeof path, f->dir, "model"));
    PAWL_TRY(pawl_hf_config(path, &c));
    PAWL_TRY(pawl_model_open(&c, &f->model));
    const pawl_shapes shapes = pawl_model_shapes(f->model, f->rows, f->tokens);
    PAWL_TRY(pawl_device_reserve(f->device, &shapes));
    PAWL_TRY(pawl_activations_open(f->model, f->rows, f->tokens, 1, &f->acts));
    f->arena.name = "a fixture";
    lay_out(f);
    PAWL_TRY(pawl_arena_open(&f->arena));
    lay_out(f);
    return pawl_hf_load(f->model, path, f->weights);
}

static void close_fixture(fixture *f)
{
    pawl_arena_close(&f->arena);
    pawl_activations_close(f->acts);
    pawl_model_close(f->model);
    pawl_safetensors_close(f->io);
    json_decref(f->expected);
    pawl_device_close(f->device);
}

static pawl_status run(const char *dir, distances *out)
{
    fixture f = {.dir = dir};
    pawl_status status;
    PAWL_TRY_OUT(pawl_device_open_cpu(THREADS, "auto", &f.device));
    PAWL_TRY_OUT(read_inputs(&f));
    PAWL_TRY_OUT(open_model(&f));
    PAWL_TRY_OUT(one_batch(&f, out));
    PAWL_TRY_OUT(trajectory(&f, out));
out:
    close_fixture(&f);
    return status;
}

static const char *name_of(char *dir)
{
    for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--) dir[n - 1] = 0;
    const char *slash = strrchr(dir, '/');
    return slash && slash[1] ? slash + 1 : dir;
}

static int report(char *dir)
{
    distances x = {0};
    const char *name = name_of(dir);
    if (run(dir, &x) != PAWL_OK) {
        printf("%s FAIL %s\n", name, pawl_last_error()->what);
        return 0;
    }
    const int ok =
        x.logits <= limits.logits && x.loss <= limits.loss && x.grads <= limits.grads && x.adamw <= limits.adamw;
    printf("%s %s logits=%.2e loss=%.2e grads=%.2e adamw=%.2e\n", name, ok ? "ok" : "FAIL", x.logits, x.loss, x.grads,
           x.adamw);
    return ok;
}

int main(int argc, char **argv)
{
    int all = argc > 1;
    if (argc < 2) fprintf(stderr, "usage: parity DIR...\n");
    for (int i = 1; i < argc; i++) all &= report(argv[i]);
    return all ? 0 : 1;
}
