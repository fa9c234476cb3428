/* Runs: cmocka
 * What a head computes beside plain cross-entropy: weights of rows, soft targets, squares and records against PyTorch's
 * numbers (tests/fixtures/continual/make_heads.py); against finite differences; drawn labels against their
 * distribution; equal weights against one scale, bit by bit; bf16 against f32; any number of threads. */
#include "core/batch.h"
#include "core/json.h"
#include "ops/bf16_rule.h"
#include "tests/ops_check.h"

typedef struct soft_case {
    int64_t N, T, D, V, k;
    float *hidden, *w, *logp, *loss, *soft_loss, *dhidden, *dw, *top_logp, ce[8], soft[8], temperature;
    int32_t *targets, *ids, *top_ids, *drawn;
    int64_t row_k[8];
    float row_T[8];
    int squares, by_rows; /* by_rows: row_k and row_T are used */
} soft_case;

static float *floats_of(const json_t *from, const char *key)
{
    const json_t *list = json_object_get(from, key);
    float *x = malloc(json_array_size(list) * sizeof *x);
    for (size_t i = 0; i < json_array_size(list); i++) x[i] = (float)json_number_value(json_array_get(list, i));
    return x;
}

static double *doubles_of(const json_t *from, const char *key)
{
    const json_t *list = json_object_get(from, key);
    double *x = malloc(json_array_size(list) * sizeof *x);
    for (size_t i = 0; i < json_array_size(list); i++) x[i] = json_number_value(json_array_get(list, i));
    return x;
}

static int32_t *ints_of(const json_t *from, const char *key)
{
    const json_t *list = json_object_get(from, key);
    int32_t *x = malloc(json_array_size(list) * sizeof *x);
    for (size_t i = 0; i < json_array_size(list); i++) x[i] = (int32_t)json_number_value(json_array_get(list, i));
    return x;
}

static int64_t int_of(const json_t *from, const char *key)
{
    return (int64_t)json_number_value(json_object_get(from, key));
}

static void take_outputs(soft_case *c)
{
    c->loss = numbers(c->N, 3, 1), c->soft_loss = numbers(c->N, 4, 1), c->dhidden = numbers(c->N * c->D, 5, 1),
    c->dw = numbers(c->V * c->D, 6, 1), c->top_logp = numbers(c->N * c->k, 7, 1),
    c->top_ids = integers(c->N * c->k, 8, 9), c->drawn = integers(c->N, 9, 9);
}

static void give_back(soft_case *c)
{
    free(c->hidden), free(c->w), free(c->logp), free(c->loss), free(c->soft_loss), free(c->dhidden), free(c->dw),
        free(c->top_logp), free(c->targets), free(c->ids), free(c->top_ids), free(c->drawn);
}

/* Made up: rows of T positions of which every third is untrained; row b has weights that depend on b, the second no
 * soft target. */
static soft_case invent(int64_t rows, int64_t T, int64_t D, int64_t V, int64_t k, float temperature)
{
    soft_case c = {.N = rows * T, .T = T, .D = D, .V = V, .k = k, .temperature = temperature};
    c.hidden = numbers(c.N * D, 1, 1), c.w = numbers(V * D, 2, 0.5f), c.targets = integers(c.N, 9, (int32_t)V);
    c.ids = malloc((size_t)(c.N * k) * sizeof *c.ids), c.logp = malloc((size_t)(c.N * k) * sizeof *c.logp);
    for (int64_t n = 0; n < c.N; n++) {
        if (n % 3 == 0) c.targets[n] = PAWL_NOT_TRAINED;
        for (int64_t j = 0; j < k; j++) {
            c.ids[n * k + j] = (int32_t)((j * (V > 7 && V % 7 ? 7 : 1) + n) % V);
            c.logp[n * k + j] = k == V ? -logf((float)V) : -1.0f - logf((float)k) - 0.1f * (float)(j % 5);
        }
    }
    for (int b = 0; b < 8; b++) c.ce[b] = 0.1f * (float)((b + 2) % 4), c.soft[b] = b == 1 ? 0 : 0.3f + 0.1f * (float)b;
    take_outputs(&c);
    return c;
}

static pawl_head head_of(const soft_case *c, pawl_soft *soft, pawl_top *top)
{
    *soft = (pawl_soft){.k = c->k,
                        .ids = c->ids,
                        .logp = c->logp,
                        .temperature = c->temperature,
                        .row_weights = c->soft,
                        .loss = c->soft_loss,
                        .row_k = c->by_rows ? c->row_k : NULL,
                        .row_temperatures = c->by_rows ? c->row_T : NULL};
    *top = (pawl_top){c->k, c->temperature, c->top_ids, c->top_logp};
    return (pawl_head){
        .hidden = matrix(c->hidden, c->N, c->D),
        .w = matrix(c->w, c->V, c->D),
        .targets = c->targets,
        .loss = vector(c->loss, c->N),
        .dhidden = matrix(c->dhidden, c->N, c->D),
        .dw = matrix(c->dw, c->V, c->D),
        .extra = {
            .tokens = c->T, .row_weights = c->ce, .soft = c->squares ? NULL : soft, .top = top, .squares = c->squares}};
}

/* ---- PyTorch's numbers ---- */

static void check_against(pawl_device *d, const json_t *from)
{
    soft_case c = {.T = int_of(from, "tokens"),
                   .D = int_of(from, "width"),
                   .V = int_of(from, "vocab"),
                   .k = int_of(from, "k"),
                   .squares = (int)int_of(from, "squares"),
                   .temperature = (float)json_number_value(json_object_get(from, "temperature"))};
    c.N = 3 * c.T;
    c.hidden = floats_of(from, "hidden"), c.w = floats_of(from, "w"), c.logp = floats_of(from, "logp");
    c.targets = ints_of(from, "targets"), c.ids = ints_of(from, "ids");
    float *ce = floats_of(from, "ce_weights"), *soft_weights = floats_of(from, "soft_weights");
    memcpy(c.ce, ce, 3 * sizeof *ce), memcpy(c.soft, soft_weights, 3 * sizeof *ce);
    take_outputs(&c);
    pawl_soft soft;
    pawl_top top;
    const pawl_head h = head_of(&c, &soft, &top);
    assert_done(pawl_head_loss(d, &h));
    double *loss = doubles_of(from, "loss"), *soft_loss = doubles_of(from, "soft_loss"),
           *dhidden = doubles_of(from, "dhidden"), *dw = doubles_of(from, "dw"),
           *top_logp = doubles_of(from, "top_logp");
    int32_t *top_ids = ints_of(from, "top_ids");
    assert_near(c.loss, loss, c.N, 2e-6);
    if (!c.squares) assert_near(c.soft_loss, soft_loss, c.N, 5e-6);
    assert_near(c.dhidden, dhidden, c.N * c.D, 3e-6);
    assert_near(c.dw, dw, c.V * c.D, 3e-6);
    for (int64_t n = 0; n < c.N; n++) {
        if (c.targets[n] == PAWL_NOT_TRAINED) continue;
        assert_memory_equal(c.top_ids + n * c.k, top_ids + n * c.k, (size_t)c.k * sizeof *top_ids);
        assert_near(c.top_logp + n * c.k, top_logp + n * c.k, c.k, 1e-6);
    }
    free(ce), free(soft_weights), free(loss), free(soft_loss), free(dhidden), free(dw), free(top_logp), free(top_ids);
    give_back(&c);
}

static void check_fixtures(pawl_device *d)
{
    char path[1024];
    const char *source = getenv("PAWL_SOURCE");
    json_t *all;
    snprintf(path, sizeof path, "%s/tests/fixtures/continual/heads.json", source ? source : ".");
    assert_done(pawl_json_read_real(path, 1 << 20, &all));
    const json_t *cases = json_object_get(all, "cases");
    assert_int_equal(json_array_size(cases), 5);
    for (size_t i = 0; i < 5; i++) check_against(d, json_array_get(cases, i));
    json_decref(all);
}

static void pytorch_agrees(void **state)
{
    (void)state;
    on_every_device(2, check_fixtures);
}

/* ---- Finite differences, in larger shapes ---- */

typedef struct textbook {
    const soft_case *c;
    double *hidden, *w;
} textbook;

static double soft_of(const soft_case *c, int64_t n, const double *z)
{
    double sum = 0, rest = 0, mass = 0, loss = 0;
    const int64_t k = c->by_rows ? c->row_k[n / c->T] : c->k;
    const double T = (double)(c->by_rows ? c->row_T[n / c->T] : c->temperature);
    for (int64_t v = 0; v < c->V; v++) sum += exp(z[v] / T);
    rest = sum;
    for (int64_t j = 0; j < k; j++) {
        const double q = exp((double)c->logp[n * c->k + j]), e = exp(z[c->ids[n * c->k + j]] / T);
        mass += q, rest -= e;
        loss += q * ((double)c->logp[n * c->k + j] - log(e / sum));
    }
    if (k < c->V) loss += (1 - mass) * (log(1 - mass) - log(rest / sum));
    return T * T * loss;
}

static double weighted_loss(void *self)
{
    const textbook *t = self;
    const soft_case *c = t->c;
    double all = 0, *z = zeros(c->V);
    for (int64_t n = 0; n < c->N; n++) {
        if (c->targets[n] == PAWL_NOT_TRAINED) continue;
        double sum = 0;
        for (int64_t v = 0; v < c->V; v++) {
            z[v] = inner(t->hidden + n * c->D, t->w + v * c->D, c->D);
            sum += exp(z[v]);
        }
        all += (double)c->ce[n / c->T] * (log(sum) - z[c->targets[n]]);
        if (c->soft[n / c->T] != 0) all += (double)c->soft[n / c->T] * soft_of(c, n, z);
    }
    free(z);
    return all;
}

static void check_differences(pawl_device *d, soft_case c)
{
    pawl_soft soft;
    pawl_top top;
    const pawl_head h = head_of(&c, &soft, &top);
    textbook t = {&c, widened(c.hidden, c.N * c.D), widened(c.w, c.V * c.D)};
    double *dhidden = zeros(c.N * c.D), *dw = zeros(c.V * c.D);
    assert_done(pawl_head_loss(d, &h));
    differences(weighted_loss, &t, t.hidden, c.N * c.D, dhidden);
    differences(weighted_loss, &t, t.w, c.V * c.D, dw);
    assert_near(c.dhidden, dhidden, c.N * c.D, 1e-5);
    assert_near(c.dw, dw, c.V * c.D, 1e-5);
    free(t.hidden), free(t.w), free(dhidden), free(dw);
    give_back(&c);
}

static void check_shapes(pawl_device *d)
{
    soft_case mixed = invent(3, 4, 3, 23, 6, 1);
    mixed.by_rows = 1;
    for (int b = 0; b < 3; b++) mixed.row_k[b] = 6 - 2 * b, mixed.row_T[b] = 1 + 0.5f * (float)b;
    check_differences(d, mixed);
    check_differences(d, invent(2, 3, 2, 2, 1, 1));
    check_differences(d, invent(3, 5, 4, 37, 8, 2));
    check_differences(d, invent(2, 4, 3, 16, 16, 0.7f));
}

static void differences_agree(void **state)
{
    (void)state;
    on_every_device(2, check_shapes);
}

/* ---- What is far away ---- */

/* All of the student's mass is on one token, and the teacher's elsewhere: losses and gradients stay numbers. */
static void check_far(pawl_device *d)
{
    float hidden[] = {1000, 1000}, w[] = {1, 0, -1, 0.5f}, logp[] = {-2.0f, -200.0f}, weights[] = {1}, zero[] = {0};
    float loss[2], soft_loss[2], dhidden[2];
    const int32_t targets[] = {0, 0}, ids[] = {0, 3};
    const pawl_soft soft = {
        .k = 1, .ids = ids, .logp = logp, .temperature = 1, .row_weights = weights, .loss = soft_loss};
    const pawl_head h = {.hidden = matrix(hidden, 2, 1),
                         .w = matrix(w, 4, 1),
                         .targets = targets,
                         .loss = vector(loss, 2),
                         .dhidden = matrix(dhidden, 2, 1),
                         .extra = {.tokens = 2, .row_weights = zero, .soft = &soft}};
    assert_done(pawl_head_loss(d, &h));
    /* token 0 has all of it: q log q + r (log r + 500) with q = e^-2, and the gradient is r (0.5 - 1) on the way to
     * w[3] */
    const double q = exp(-2), r = 1 - q;
    assert_true(fabs((double)soft_loss[0] - (q * -2 + r * (log(r) + 500))) < 1e-3);
    assert_true(fabs((double)dhidden[0] - r * 0.5) < 1e-5);
    assert_true(fabs((double)soft_loss[1]) < 1e-5 &&
                fabs((double)dhidden[1]) < 1e-5); /* token 3 is named, but has no mass */
}

static void far_logits_stay_numbers(void **state)
{
    (void)state;
    on_every_device(1, check_far);
}

/* ---- Equal weights, bf16, threads ---- */

static void check_equal(pawl_device *d)
{
    soft_case c = invent(4, 50, 20, 333, 5, 1);
    pawl_soft soft;
    pawl_top top;
    for (int b = 0; b < 4; b++) c.ce[b] = 0.37f, c.soft[b] = 0;
    pawl_head h = head_of(&c, &soft, &top);
    assert_done(pawl_head_loss(d, &h));
    float *loss = copy_of(c.loss, c.N), *dhidden = copy_of(c.dhidden, c.N * c.D), *dw = copy_of(c.dw, c.V * c.D);
    h.extra = (pawl_head_extra){0}, h.scale = 0.37f;
    assert_done(pawl_head_loss(d, &h));
    assert_memory_equal(c.loss, loss, (size_t)c.N * sizeof *loss);
    assert_memory_equal(c.dhidden, dhidden, (size_t)(c.N * c.D) * sizeof *loss);
    assert_memory_equal(c.dw, dw, (size_t)(c.V * c.D) * sizeof *loss);
    free(loss), free(dhidden), free(dw);
    give_back(&c);
}

static void equal_weights_are_one_scale(void **state)
{
    (void)state;
    on_every_device(2, check_equal);
}

static void check_low(pawl_device *d)
{
    soft_case c = invent(3, 40, 24, 130, 9, 2);
    uint16_t *hidden = malloc((size_t)(c.N * c.D) * 2), *w = malloc((size_t)(c.V * c.D) * 2);
    for (int64_t i = 0; i < c.N * c.D; i++)
        hidden[i] = pawl_bf16_narrow_rule(c.hidden[i]), c.hidden[i] = pawl_bf16_widen_rule(hidden[i]);
    for (int64_t i = 0; i < c.V * c.D; i++) w[i] = pawl_bf16_narrow_rule(c.w[i]), c.w[i] = pawl_bf16_widen_rule(w[i]);
    pawl_soft soft;
    pawl_top top;
    for (c.squares = 0; c.squares < 2; c.squares++) {
        pawl_head h = head_of(&c, &soft, &top);
        assert_done(pawl_head_loss(d, &h));
        double *L = widened(c.loss, c.N), *S = widened(c.soft_loss, c.N), *H = widened(c.dhidden, c.N * c.D),
               *W = widened(c.dw, c.V * c.D);
        h.hidden = (pawl_tensor){hidden, PAWL_BF16, 2, {c.N, c.D}}, h.w = (pawl_tensor){w, PAWL_BF16, 2, {c.V, c.D}};
        assert_done(pawl_head_loss(d, &h));
        assert_near(c.loss, L, c.N, 1e-6);
        assert_near(c.soft_loss, S, c.N, 3e-6);
        assert_near(c.dhidden, H, c.N * c.D, 0x1p-8);
        assert_near(c.dw, W, c.V * c.D, 0x1p-8);
        free(L), free(S), free(H), free(W);
    }
    free(hidden), free(w);
    give_back(&c);
}

static void bf16_rounds_gradients_once(void **state)
{
    (void)state;
    on_every_device(2, check_low);
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    soft_case c = invent(5, 60, 16, 700, 32, 2), first = {0};
    const pawl_labels labels = {3, 40, c.drawn};
    for (int threads = 1; threads < 5; threads++) {
        pawl_device *d;
        pawl_soft soft;
        pawl_top top;
        pawl_head h = head_of(&c, &soft, &top);
        h.extra.labels = &labels;
        assert_done(pawl_device_open_cpu(threads, "auto", &d));
        assert_done(pawl_device_reserve(d, &largest));
        assert_done(pawl_head_loss(d, &h));
        pawl_device_close(d);
        if (threads == 1) {
            first = c;
            first.loss = copy_of(c.loss, c.N), first.dhidden = copy_of(c.dhidden, c.N * c.D),
            first.dw = copy_of(c.dw, c.V * c.D), first.soft_loss = copy_of(c.soft_loss, c.N),
            first.drawn = memcpy(malloc((size_t)c.N * 4), c.drawn, (size_t)c.N * 4);
        }
        assert_memory_equal(c.loss, first.loss, (size_t)c.N * 4);
        assert_memory_equal(c.soft_loss, first.soft_loss, (size_t)c.N * 4);
        assert_memory_equal(c.drawn, first.drawn, (size_t)c.N * 4);
        assert_memory_equal(c.dhidden, first.dhidden, (size_t)(c.N * c.D) * 4);
        assert_memory_equal(c.dw, first.dw, (size_t)(c.V * c.D) * 4);
    }
    free(first.loss), free(first.dhidden), free(first.dw), free(first.soft_loss), free(first.drawn);
    give_back(&c);
}

/* ---- Drawn labels ---- */

/* Every position has the same distribution: how often tokens are drawn by chi-square, and the loss is that of what was
 * drawn. */
static void check_draws(pawl_device *d)
{
    enum { N = 2000, V = 6 };
    float hidden[N], w[V] = {0, 1, -1, 0.5f, 2, -0.3f}, loss[N];
    int32_t targets[N], drawn[N], again[N / 2], seen[V] = {0};
    for (int n = 0; n < N; n++) hidden[n] = 1, targets[n] = n % 100 == 7 ? PAWL_NOT_TRAINED : 0;
    const pawl_labels labels = {5, 0, drawn}, upper = {5, N / 20, again};
    pawl_head h = {.hidden = matrix(hidden, N, 1),
                   .w = matrix(w, V, 1),
                   .targets = targets,
                   .loss = vector(loss, N),
                   .extra = {.tokens = 10, .labels = &labels}};
    assert_done(pawl_head_loss(d, &h));
    double sum = 0, chi = 0, all = 0;
    for (int v = 0; v < V; v++) sum += exp((double)w[v]);
    for (int n = 0; n < N; n++) {
        if (targets[n] == PAWL_NOT_TRAINED) {
            assert_int_equal(drawn[n], PAWL_NOT_TRAINED);
            continue;
        }
        seen[drawn[n]]++, all++;
        assert_true(fabs((double)loss[n] - (log(sum) - (double)w[drawn[n]])) < 1e-5);
    }
    for (int v = 0; v < V; v++) {
        const double expected = all * exp((double)w[v]) / sum;
        chi += (seen[v] - expected) * (seen[v] - expected) / expected;
    }
    assert_true(chi < 20.5); /* 5 degrees of freedom: one in a thousand */
    h.hidden = matrix(hidden, N / 2, 1), h.loss = vector(loss, N / 2), h.extra.labels = &upper;
    h.targets = targets + N / 2;
    assert_done(pawl_head_loss(d, &h));
    assert_memory_equal(again, drawn + N / 2, sizeof again); /* rows have their own numbers, whoever computes them */
}

static void labels_are_drawn_from_the_model(void **state)
{
    (void)state;
    on_every_device(2, check_draws);
}

static void what_is_not_whole_is_refused(void **state)
{
    (void)state;
    soft_case c = invent(2, 4, 3, 9, 3, 1);
    pawl_device *d;
    pawl_soft soft;
    pawl_top top;
    pawl_head h = head_of(&c, &soft, &top);
    assert_done(pawl_device_open_cpu(1, "auto", &d));
    assert_done(pawl_device_reserve(d, &largest));
    c.ids[1 * c.k + 2] = 9;
    assert_refused(pawl_head_loss(d, &h), PAWL_EDATA, "soft target 9 at position 1");
    h.extra.tokens = 5;
    assert_refused(pawl_head_loss(d, &h), PAWL_EBUG, "rows of 5");
    pawl_device_close(d);
    give_back(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pytorch_agrees),
        cmocka_unit_test(differences_agree),
        cmocka_unit_test(far_logits_stay_numbers),
        cmocka_unit_test(equal_weights_are_one_scale),
        cmocka_unit_test(bf16_rounds_gradients_once),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(labels_are_drawn_from_the_model),
        cmocka_unit_test(what_is_not_whole_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
