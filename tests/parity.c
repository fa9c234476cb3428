/* parity DIR... - runs fixture directories made by a reference implementation (tests/fixtures/hf/README.md) and prints,
 * for each, the greatest relative L2 distance of logits, loss, gradients and the weights after AdamW steps; where there
 * is an adapter, also of its loss, gradients and weights after AdamW steps, and of the loss once it is merged. With
 * PAWL_PARITY_TENSORS in the environment, those of every tensor. Computes on the device of tests/on_device.h. */
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
#include "tests/on_device.h"

enum { THREADS = 2 };

typedef struct distances {
    double logits, loss, grads, adamw;
} distances;

/* docs/models.md says where those of bf16 come from. */
static const distances limits_of[] = {{1e-4, 1e-4, 1e-3, 1e-4}, {2.3e-2, 1.4e-3, 7e-2, 5e-2}};
static pawl_dtype type = PAWL_F32;

/* What one fixture needs while it runs. */
typedef struct fixture {
    const char *dir;
    pawl_device *device;
    pawl_model *model;
    pawl_activations *acts;
    pawl_safetensors *io;
    json_t *expected;
    pawl_arena there, here; /* in the memory of the device, and the host's */
    float *weights, *grads, *merged, *logits; /* the device's; merged: the model's own weights with an adapter in them */
    uint16_t *low;                            /* weights rounded; the device's */
    float *losses, *flat, *plain, *logits_here; /* the host's; flat: of weights or gradients on their way; plain: as merged */
    pawl_adapter *adapter; /* NULL: all weights are trained, which are `weights`; else `weights` are the adapter's */
    pawl_frozen *base;
    pawl_adapter_work *work;
    pawl_over over;
    pawl_batch batch;
    int64_t rows, tokens;
} fixture;

static void grow(double *most, double distance)
{
    if (!(distance <= *most)) *most = isnan(distance) ? DBL_MAX : distance;
}

/* ||x - y|| / ||y|| over the numbers whose part in `of` (NULL: all) exceeds `above`. */
static double relative_where(const float *x, const float *y, int64_t count, const float *of, double above)
{
    double apart = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        if (of && !(fabs((double)of[i]) > above)) continue;
        apart += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        size += (double)y[i] * y[i];
    }
    return sqrt(apart) / (size > 0 ? sqrt(size) : 1);
}

static double relative(const float *x, const float *y, int64_t count)
{
    return relative_where(x, y, count, NULL, 0);
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

/* A flat run where the host reads it. */
static pawl_status bring(const fixture *f, const float *there, float **here)
{
    *here = pawl_host_side(f->device, there, f->flat);
    return pawl_download(f->device, *here, there, (size_t)pawl_trained_count(f->model, f->adapter) * sizeof **here);
}

/* Mean loss of the batch, and its gradients. */
static pawl_status compute(fixture *f, int64_t trained, double *loss)
{
    PAWL_TRY(pawl_low_round(f->model, f->adapter, f->device, f->weights, f->low));
    const pawl_pass pass = {.over = f->adapter ? &f->over : NULL,
                            .weights = f->weights,
                            .low = f->low,
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

/* A magnitude is called lora_magnitude_vector in files of weights, and has .weight behind it among parameters. */
static const pawl_named *find_either(const pawl_safetensors *s, const char *name)
{
    char other[PAWL_NAME_MAX + 8];
    const pawl_named *found = pawl_safetensors_find(s, name);
    snprintf(other, sizeof other, "%s.weight", name);
    return found ? found : pawl_safetensors_find(s, other);
}

/* A key's bias adds nearly the same to all scores of a row, the more so the slower its pair is turned (GPT-2 turns
 * none), and the softmax takes away again what is common: such a gradient is rounding, of which Adam makes whole steps.
 * So of key biases only those numbers are followed through the steps whose gradient stands out. */
static pawl_status distance(const fixture *f, const char *name, pawl_tensor ours, pawl_tensor theirs, int stepped,
                            double *out)
{
    char path[PATH_MAX];
    pawl_safetensors *s;
    pawl_tensor g = {0};
    double most = 0;
    const int64_t count = pawl_tensor_count(ours);
    *out = relative(ours.data, theirs.data, count);
    if (!stepped || (!strstr(name, ".k_proj.bias") && !strstr(name, ".c_attn.bias"))) return PAWL_OK;
    PAWL_TRY(pawl_path_join(path, sizeof path, f->dir, "grads.safetensors"));
    PAWL_TRY(pawl_safetensors_open(path, &s));
    const pawl_status status = find(f, s, name, PAWL_F32, &g);
    for (int64_t i = 0; status == PAWL_OK && i < count; i++)
        most = fmax(most, fabs((double)((const float *)g.data)[i]));
    if (status == PAWL_OK) *out = relative_where(ours.data, theirs.data, count, g.data, 1e-2 * most);
    pawl_safetensors_close(s);
    return status;
}

/* The greatest distance between the tensors of a flat run and those of a file. */
static pawl_status compare_flat(const fixture *f, const float *there, const char *file, double *most)
{
    float *flat;
    char path[PATH_MAX];
    pawl_safetensors *s;
    pawl_hf_tensors all = {.state = {.items = NULL}};
    pawl_status status;
    PAWL_TRY(bring(f, there, &flat));
    PAWL_TRY(pawl_path_join(path, sizeof path, f->dir, file));
    PAWL_TRY(pawl_safetensors_open(path, &s));
    PAWL_TRY_OUT(f->adapter ? pawl_trained_state(f->model, f->adapter, flat, "", &all.state)
                            : pawl_hf_tensors_open(f->model, flat, &all));
    for (int i = 0; i < all.state.count; i++) {
        const char *name = all.state.items[i].name;
        const pawl_tensor ours = all.state.items[i].tensor;
        const pawl_named *found = find_either(s, name);
        pawl_tensor theirs = {0};
        PAWL_TRY_OUT(find(f, s, found ? found->name : name, PAWL_F32, &theirs));
        PAWL_TRY_OUT(pawl_tensor_bytes(ours) == pawl_tensor_bytes(theirs)
                         ? PAWL_OK
                         : PAWL_FAIL(PAWL_EDATA, "%s: tensor %s has another size", path, name));
        double d = 0;
        PAWL_TRY_OUT(distance(f, name, ours, theirs, strstr(file, "adamw") != NULL && !f->adapter, &d));
        if (getenv("PAWL_PARITY_TENSORS")) fprintf(stderr, "%s %s %.2e\n", file, name, d);
        grow(most, d);
    }
out:
    pawl_hf_tensors_close(&all);
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
    PAWL_TRY(pawl_low_round(f->model, NULL, f->device, f->weights, f->low));
    PAWL_TRY(pawl_model_logits(f->model, f->device, f->acts, &f->batch, NULL, f->weights, f->low, f->logits));
    PAWL_TRY(pawl_download(f->device, f->logits_here, f->logits, pawl_tensor_bytes(logits)));
    grow(&out->logits, relative(f->logits_here, logits.data, pawl_tensor_count(logits)));
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
    return compare_flat(f, f->weights, f->adapter ? "lora_adamw.safetensors" : "adamw.safetensors", &out->adamw);
}

static pawl_status trajectory(fixture *f, const json_t *steps, distances *out)
{
    const json_t *settings = json_object_get(f->expected, "adamw");
    const pawl_extent *parts;
    const int count = pawl_trained_extents(f->model, f->adapter, &parts);
    pawl_optim_config c;
    pawl_optim *o;
    PAWL_TRY(read_settings(f, settings, &c));
    PAWL_CHECK(json_array_size(steps) > 0, PAWL_EDATA, "%s: expected.json has no trajectory", f->dir);
    PAWL_TRY(pawl_optim_open(&c, f->device, parts, count, 0, pawl_trained_count(f->model, f->adapter), &o));
    const pawl_status status = train(f, o, c.learning_rate, steps, out);
    pawl_optim_close(o);
    return status;
}

static void lay_out(fixture *f)
{
    const size_t flat = (size_t)pawl_model_count(f->model) * sizeof(float), N = (size_t)(f->rows * f->tokens);
    const size_t logits = N * (size_t)pawl_model_settings(f->model)->vocab_size * sizeof(float);
    f->weights = pawl_take_bytes(&f->there, flat);
    f->grads = pawl_take_bytes(&f->there, flat);
    f->merged = pawl_take_bytes(&f->there, flat);
    f->low = pawl_take_bytes(&f->there, flat / 2);
    f->logits = pawl_take_bytes(&f->there, logits);
    f->flat = pawl_take_bytes(&f->here, flat);
    f->plain = pawl_take_bytes(&f->here, flat);
    f->logits_here = pawl_take_bytes(&f->here, logits);
    f->losses = pawl_take_bytes(&f->here, N * sizeof(float));
    pawl_batch_lay_out(&f->here, &f->batch, f->rows, f->tokens);
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
    pawl_shapes shapes = pawl_model_shapes(f->model, f->rows, f->tokens);
    shapes.type = type;
    const pawl_capacity room = {.rows = f->rows, .tokens = f->tokens, .train = 1, .type = type, .device = f->device};
    PAWL_TRY(pawl_device_reserve(f->device, &shapes));
    PAWL_TRY(pawl_activations_open(f->model, &room, &f->acts));
    f->there.name = f->here.name = "a fixture";
    lay_out(f);
    PAWL_TRY(pawl_arena_open_on(f->device, PAWL_ON_DEVICE, &f->there));
    PAWL_TRY(pawl_arena_open_on(f->device, PAWL_ON_HOST, &f->here));
    lay_out(f);
    PAWL_TRY(pawl_hf_load(f->model, path, f->flat));
    return pawl_upload(f->device, f->weights, f->flat, (size_t)pawl_model_count(f->model) * sizeof(float));
}

/* ---- an adapter over the same model ---- */

static pawl_status fill_base(fixture *f, const char *dir)
{
    pawl_hf_reader *r;
    PAWL_TRY(pawl_hf_open(f->model, dir, &r));
    const pawl_status status = pawl_frozen_fill(f->base, pawl_hf_read, r);
    pawl_hf_reader_close(r);
    return status;
}

static pawl_status open_adapter(fixture *f, const char *dir)
{
    char model[PATH_MAX];
    json_t *settings = NULL;
    const pawl_capacity room = {.rows = f->rows, .tokens = f->tokens, .train = 1, .type = type, .device = f->device};
    PAWL_TRY(pawl_peft_settings(dir, &settings));
    const pawl_status status = pawl_adapter_open(f->model, settings, dir, &f->adapter);
    json_decref(settings);
    if (status != PAWL_OK) return status;
    PAWL_TRY(pawl_frozen_open(f->model, f->device, PAWL_CODE_NONE, type, &f->base));
    PAWL_TRY(pawl_adapter_work_open(f->adapter, &room, &f->work));
    f->over = (pawl_over){.adapter = f->adapter, .base = f->base, .work = f->work, .first_row = -1};
    PAWL_TRY(pawl_path_join(model, sizeof model, f->dir, "model"));
    PAWL_TRY(pawl_hf_load(f->model, model, f->plain));
    PAWL_TRY(fill_base(f, model));
    PAWL_CHECK(pawl_trained_count(f->model, f->adapter) <= pawl_model_count(f->model), PAWL_EDATA,
               "%s: the adapter is larger than the model", dir);
    PAWL_TRY(pawl_peft_load(f->adapter, dir, f->flat));
    return pawl_upload(f->device, f->weights, f->flat, (size_t)pawl_trained_count(f->model, f->adapter) * sizeof(float));
}

/* The same loss from weights that the adapter has been worked into. */
static pawl_status merged(fixture *f, int64_t trained, double *loss)
{
    pawl_adapter *a = f->adapter;
    float *weights = f->weights, *grads = f->grads, *here;
    const pawl_extent *parts;
    const int count = pawl_model_extents(f->model, &parts);
    PAWL_TRY(bring(f, f->weights, &here));
    for (int i = 0; i < count; i++) pawl_adapter_merge(a, here, i, f->plain + parts[i].first);
    PAWL_TRY(pawl_upload(f->device, f->merged, f->plain, (size_t)pawl_model_count(f->model) * sizeof *here));
    f->adapter = NULL;
    f->weights = f->merged;
    f->grads = NULL;
    const pawl_status status = compute(f, trained, loss);
    f->adapter = a;
    f->weights = weights;
    f->grads = grads;
    return status;
}

static pawl_status with_adapter(fixture *f, const char *dir, distances *out, double *merged_apart)
{
    const json_t *lora = json_object_get(f->expected, "lora");
    pawl_tensor ids = {0}, labels = {0};
    double loss = 0, expected = 0;
    PAWL_TRY(open_adapter(f, dir));
    PAWL_TRY(find(f, f->io, "input_ids", PAWL_I64, &ids));
    PAWL_TRY(find(f, f->io, "labels", PAWL_I64, &labels));
    const int64_t trained = fill_batch(f, ids.data, labels.data);
    PAWL_TRY(compute(f, trained, &loss));
    PAWL_TRY(number(f, lora, "loss", &expected));
    grow(&out->loss, relative_number(loss, expected));
    PAWL_TRY(compare_flat(f, f->grads, "lora_grads.safetensors", &out->grads));
    PAWL_TRY(trajectory(f, json_object_get(lora, "trajectory"), out));
    PAWL_TRY(number(f, lora, "merged_loss_after_steps", &expected));
    fill_batch(f, ids.data, labels.data);
    PAWL_TRY(merged(f, trained, &loss));
    grow(merged_apart, relative_number(loss, expected));
    return PAWL_OK;
}

static void close_fixture(fixture *f)
{
    pawl_adapter_work_close(f->work);
    pawl_frozen_close(f->base);
    pawl_adapter_close(f->adapter);
    pawl_arena_close_on(f->device, PAWL_ON_DEVICE, &f->there);
    pawl_arena_close_on(f->device, PAWL_ON_HOST, &f->here);
    pawl_activations_close(f->acts);
    pawl_model_close(f->model);
    pawl_safetensors_close(f->io);
    json_decref(f->expected);
    pawl_device_close(f->device);
}

typedef struct result {
    distances full, lora;
    double merged;
    int has_adapter;
} result;

static pawl_status run(const char *dir, result *out)
{
    fixture f = {.dir = dir};
    char lora[PATH_MAX];
    pawl_status status;
    PAWL_TRY_OUT(open_tested_device(THREADS, &f.device));
    PAWL_TRY_OUT(read_inputs(&f));
    PAWL_TRY_OUT(open_model(&f));
    PAWL_TRY_OUT(one_batch(&f, &out->full));
    PAWL_TRY_OUT(trajectory(&f, json_object_get(json_object_get(f.expected, "adamw"), "trajectory"), &out->full));
    /* DoRA is computed in f32 only */
    out->has_adapter = json_object_get(f.expected, "lora") != NULL && !(type == PAWL_BF16 && strstr(dir, "dora"));
    PAWL_TRY_OUT(pawl_path_join(lora, sizeof lora, dir, "lora"));
    if (out->has_adapter) PAWL_TRY_OUT(with_adapter(&f, lora, &out->lora, &out->merged));
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

static int within(const distances *x)
{
    const distances limits = limits_of[type == PAWL_BF16];
    return x->logits <= limits.logits && x->loss <= limits.loss && x->grads <= limits.grads && x->adamw <= limits.adamw;
}

static int report(char *dir)
{
    result x = {.merged = 0};
    const char *name = name_of(dir);
    if (run(dir, &x) != PAWL_OK) {
        printf("%s FAIL %s\n", name, pawl_last_error()->what);
        return 0;
    }
    const int ok = within(&x.full) && within(&x.lora) && x.merged <= limits_of[type == PAWL_BF16].loss;
    printf("%s %s logits=%.2e loss=%.2e grads=%.2e adamw=%.2e", name, ok ? "ok" : "FAIL", x.full.logits, x.full.loss,
           x.full.grads, x.full.adamw);
    if (x.has_adapter)
        printf(" lora=%.2e lora_grads=%.2e lora_adamw=%.2e merged=%.2e", x.lora.loss, x.lora.grads, x.lora.adamw,
               x.merged);
    printf("\n");
    return ok;
}

int main(int argc, char **argv)
{
    int all = argc > 1, first = 1;
    if (argc < 2) fprintf(stderr, "usage: parity [--bf16] DIR...\n");
    if (argc > 1 && strcmp(argv[1], "--bf16") == 0) type = PAWL_BF16, first = 2;
    for (int i = first; i < argc; i++) all &= report(argv[i]);
    return all ? 0 : 1;
}
