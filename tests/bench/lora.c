/* tests/bench/lora.c - what an adapter costs beside the products of its base, by how those are cut (decision 0054).
 *
 *   lora --width D --ff F --heads H --kv-heads G --head-dim K --positions N [--ungated] [--rank 8,16,...] [--runs N]
 *
 * A JSON object a line for each rank and linear layer of a block: microseconds of each form, the median of the runs, in which all
 * forms take turns; null where there is no such form. In bf16, with the types of results that a pass has; algorithms are chosen as a
 * run chooses them. An input has m modules of rank r, R = m r columns of theirs in all; W [O,I], A [R,I], B [O,R] with zeros between modules:
 *
 *   base           y = x W^T
 *   separate       ... and for each module u = x A^T, y += u B^T: what passes do
 *   stacked        ... and for all modules u = x A^T, y += u B^T
 *   columns        [y u] = x [W;A]^T, y += u B^T; where y is of u's type
 *   inner          u = x A^T beside x, y = [x u] [W B]^T
 *   back_base      dx = dy W
 *   back_separate  ... and for each module du = dy B, dx += du A: what passes do
 *   back_stacked   ... and for all modules
 *   back_inner     [dx du] = dy [W B], dx += du A; where dx is of du's type
 *
 * What takes u out of the middle of an array adds to another array than y, and what would write into the middle writes to another: as
 * much traffic, and no result. Computes on the device of tests/on_device.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/log.h"
#include "core/rng.h"
#include "core/text.h"
#include "tests/on_device.h"

enum { MODULES = 3, ARRAYS = 7, RANKS_MOST = 8, RUNS_MOST = 100, PIECE = 1 << 20 };
static const double SECONDS_A_RUN = 2e-3; /* at least, or one call */

typedef struct group { /* the modules of one input */
    const char *name;
    int64_t in, out[MODULES];
    int modules, y_low, dx_low; /* whether result and gradient are of bf16, or f32 */
} group;

typedef struct bench {
    pawl_device *d;
    int64_t N, r;
    const group *g;
    pawl_arena arena;
    void *x, *y, *dx, *w, *a, *b, *u; /* x, y and dx with R columns beside, w with rows, or columns */
    size_t bytes[ARRAYS];             /* of each */
    int runs;
} bench;

static const pawl_tensor nothing = {.dtype = PAWL_F32};

static int64_t out_of(const bench *b)
{
    int64_t O = 0;
    for (int i = 0; i < b->g->modules; i++) O += b->g->out[i];
    return O;
}

static int64_t ranks_of(const bench *b)
{
    return b->r * b->g->modules;
}

static pawl_tensor matrix(pawl_dtype type, void *data, int64_t rows, int64_t cols)
{
    return (pawl_tensor){data, type, 2, {rows, cols}};
}

static pawl_tensor low(void *data, int64_t rows, int64_t cols)
{
    return matrix(PAWL_BF16, data, rows, cols);
}

static pawl_tensor y_of(const bench *b, int64_t cols)
{
    return matrix(b->g->y_low ? PAWL_BF16 : PAWL_F32, b->y, b->N, cols);
}

static pawl_tensor dx_of(const bench *b, int64_t cols)
{
    return matrix(b->g->dx_low ? PAWL_BF16 : PAWL_F32, b->dx, b->N, cols);
}

/* ---- forms; dy is what lies in y's place ---- */

static pawl_status base(const bench *b)
{
    const int64_t O = out_of(b), I = b->g->in;
    return pawl_linear(b->d, low(b->x, b->N, I), low(b->w, O, I), nothing, PAWL_SET, y_of(b, O));
}

static pawl_status separate(const bench *b)
{
    const int64_t O = out_of(b), I = b->g->in, r = b->r;
    int64_t first = 0;
    PAWL_TRY(base(b));
    for (int i = 0; i < b->g->modules; first += b->g->out[i++]) {
        PAWL_TRY(pawl_linear(b->d, low(b->x, b->N, I), low(b->a, r, I), nothing, PAWL_SET, low(b->u, b->N, r)));
        PAWL_TRY(pawl_linear_part(b->d, low(b->u, b->N, r), low(b->b, b->g->out[i], r), nothing, PAWL_ADD, first, y_of(b, O)));
    }
    return PAWL_OK;
}

static pawl_status stacked(const bench *b)
{
    const int64_t O = out_of(b), I = b->g->in, R = ranks_of(b);
    PAWL_TRY(base(b));
    PAWL_TRY(pawl_linear(b->d, low(b->x, b->N, I), low(b->a, R, I), nothing, PAWL_SET, low(b->u, b->N, R)));
    return pawl_linear(b->d, low(b->u, b->N, R), low(b->b, O, R), nothing, PAWL_ADD, y_of(b, O));
}

static pawl_status columns(const bench *b)
{
    const int64_t O = out_of(b), I = b->g->in, R = ranks_of(b);
    PAWL_TRY(pawl_linear(b->d, low(b->x, b->N, I), low(b->w, O + R, I), nothing, PAWL_SET, y_of(b, O + R)));
    return pawl_linear_part_dx(b->d, y_of(b, O + R), O, low(b->b, R, O), PAWL_ADD, low(b->dx, b->N, O));
}

static pawl_status inner(const bench *b)
{
    const int64_t O = out_of(b), I = b->g->in, R = ranks_of(b);
    PAWL_TRY(pawl_linear_part_dx(b->d, low(b->x, b->N, I + R), 0, low(b->a, I, R), PAWL_SET, low(b->u, b->N, R)));
    return pawl_linear(b->d, low(b->x, b->N, I + R), low(b->w, O, I + R), nothing, PAWL_SET, y_of(b, O));
}

static pawl_tensor dy_of(const bench *b)
{
    return low(b->y, b->N, out_of(b));
}

static pawl_status back_base(const bench *b)
{
    return pawl_linear_dx(b->d, dy_of(b), low(b->w, out_of(b), b->g->in), PAWL_SET, dx_of(b, b->g->in));
}

static pawl_status back_separate(const bench *b)
{
    const int64_t I = b->g->in, r = b->r;
    int64_t first = 0;
    PAWL_TRY(back_base(b));
    for (int i = 0; i < b->g->modules; first += b->g->out[i++]) {
        PAWL_TRY(pawl_linear_part_dx(b->d, dy_of(b), first, low(b->b, b->g->out[i], r), PAWL_SET, low(b->u, b->N, r)));
        PAWL_TRY(pawl_linear_dx(b->d, low(b->u, b->N, r), low(b->a, r, I), PAWL_ADD, dx_of(b, I)));
    }
    return PAWL_OK;
}

static pawl_status back_stacked(const bench *b)
{
    const int64_t I = b->g->in, R = ranks_of(b);
    PAWL_TRY(back_base(b));
    PAWL_TRY(pawl_linear_dx(b->d, dy_of(b), low(b->b, out_of(b), R), PAWL_SET, low(b->u, b->N, R)));
    return pawl_linear_dx(b->d, low(b->u, b->N, R), low(b->a, R, I), PAWL_ADD, dx_of(b, I));
}

static pawl_status back_inner(const bench *b)
{
    const int64_t I = b->g->in, R = ranks_of(b);
    PAWL_TRY(pawl_linear_dx(b->d, dy_of(b), low(b->w, out_of(b), I + R), PAWL_SET, dx_of(b, I + R)));
    return pawl_linear_part_dx(b->d, dx_of(b, I + R), I, low(b->a, R, I), PAWL_ADD, low(b->x, b->N, I));
}

enum { Y_LOW = 1, DX_LOW = 2 };

static const struct form {
    const char *name;
    pawl_status (*run)(const bench *b);
    int needs; /* results of bf16 */
} forms[] = {{"base", base, 0},           {"separate", separate, 0},           {"stacked", stacked, 0},           {"columns", columns, Y_LOW},      {"inner", inner, 0},
             {"back_base", back_base, 0}, {"back_separate", back_separate, 0}, {"back_stacked", back_stacked, 0}, {"back_inner", back_inner, DX_LOW}};
enum { FORMS = sizeof forms / sizeof *forms };

static int has_form(const group *g, const struct form *f)
{
    return !(f->needs & Y_LOW && !g->y_low) && !(f->needs & DX_LOW && !g->dx_low);
}

/* ---- arrays ---- */

static void lay_out(bench *b)
{
    const size_t O = (size_t)out_of(b), I = (size_t)b->g->in, R = (size_t)ranks_of(b), N = (size_t)b->N, wide = O > I ? O : I;
    const size_t bytes[ARRAYS] = {N * (I + R) * 2, N * (O + R) * 4, N * (wide + R) * 4, (O + R) * (I + R) * 2, R * I * 2, O * R * 2, N * R * 2};
    void **const at[ARRAYS] = {&b->x, &b->y, &b->dx, &b->w, &b->a, &b->b, &b->u};
    memcpy(b->bytes, bytes, sizeof bytes);
    for (int i = 0; i < ARRAYS; i++) *at[i] = pawl_take_bytes(&b->arena, bytes[i]);
}

/* Any numbers but zeros, of which products are faster: as bf16, and as f32 that are made of two of them. */
static pawl_status fill(const bench *b, const uint16_t *some)
{
    void *const to[ARRAYS] = {b->x, b->y, b->dx, b->w, b->a, b->b, b->u};
    for (int i = 0; i < ARRAYS; i++)
        for (size_t at = 0; at < b->bytes[i]; at += PIECE)
            PAWL_TRY(pawl_upload(b->d, (char *)to[i] + at, some, b->bytes[i] - at < PIECE ? b->bytes[i] - at : PIECE));
    return PAWL_OK;
}

static pawl_status fill_all(const bench *b)
{
    uint16_t *some;
    PAWL_TRY(pawl_alloc((void **)&some, PIECE, "numbers"));
    for (uint64_t i = 0; i < PIECE / sizeof *some; i++) {
        const float x = (float)(int32_t)pawl_random_at(1, PAWL_FOR_TEST, 2, i).word[0] * 0x1p-36f;
        pawl_convert(&x, PAWL_F32, &some[i], PAWL_BF16, 1);
    }
    const pawl_status s = fill(b, some);
    pawl_free(some);
    return s;
}

/* ---- times ---- */

/* Seconds of so many calls, and until they are done. */
static pawl_status time_of(const bench *b, const struct form *f, int calls, double *seconds)
{
    const double began = pawl_seconds();
    uint16_t one;
    for (int i = 0; i < calls; i++) PAWL_TRY(f->run(b));
    PAWL_TRY(pawl_download(b->d, &one, b->u, sizeof one));
    *seconds = pawl_seconds() - began;
    return PAWL_OK;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Algorithms are chosen by the first call; the second says how many make a run. */
static pawl_status prepare(const bench *b, int calls[FORMS])
{
    double seconds;
    for (int f = 0; f < FORMS; f++) {
        if (!has_form(b->g, &forms[f])) continue;
        (void)pawl_device_tune(b->d, 1);
        PAWL_TRY(time_of(b, &forms[f], 1, &seconds));
        (void)pawl_device_tune(b->d, 0);
        PAWL_TRY(time_of(b, &forms[f], 1, &seconds));
        calls[f] = seconds >= SECONDS_A_RUN ? 1 : 1 + (int)(SECONDS_A_RUN / seconds);
    }
    return PAWL_OK;
}

static pawl_status measure(const bench *b)
{
    static double seconds[FORMS][RUNS_MOST];
    int calls[FORMS] = {0};
    PAWL_TRY(prepare(b, calls));
    for (int run = 0; run < b->runs; run++)
        for (int f = 0; f < FORMS; f++)
            if (calls[f]) PAWL_TRY(time_of(b, &forms[f], calls[f], &seconds[f][run]));
    printf("{\"group\": \"%s\", \"rank\": %lld", b->g->name, (long long)b->r);
    for (int f = 0; f < FORMS; f++) {
        qsort(seconds[f], (size_t)b->runs, sizeof **seconds, compare);
        if (calls[f]) printf(", \"%s\": %.2f", forms[f].name, 1e6 * seconds[f][b->runs / 2] / calls[f]);
        else printf(", \"%s\": null", forms[f].name);
    }
    printf("}\n");
    fflush(stdout);
    return PAWL_OK;
}

static pawl_status measure_group(bench *b, const group *g, int64_t r)
{
    b->g = g, b->r = r;
    b->arena = (pawl_arena){.name = "products"};
    lay_out(b);
    PAWL_TRY(pawl_arena_open_on(b->d, PAWL_ON_DEVICE, &b->arena));
    lay_out(b);
    pawl_status s = fill_all(b);
    if (s == PAWL_OK) s = measure(b);
    pawl_arena_close_on(b->d, PAWL_ON_DEVICE, &b->arena);
    return s;
}

/* ---- what was asked for ---- */

static const char *option(int argc, char **argv, const char *name, const char *dflt)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    return dflt;
}

static pawl_status number(int argc, char **argv, const char *name, const char *dflt, int64_t *out)
{
    const char *given = option(argc, argv, name, dflt);
    PAWL_CHECK(given && pawl_parse_i64(given, out) && *out > 0, PAWL_EUSAGE, "lora: %s: expected a number above 0, found %s", name, given ? given : "none");
    return PAWL_OK;
}

typedef struct asked {
    int64_t D, F, H, G, K, N, runs, ranks[RANKS_MOST];
    int count, ungated;
} asked;

static pawl_status read_ranks(const char *words, asked *a)
{
    for (const char *at = words; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        PAWL_CHECK(a->count < RANKS_MOST && atoi(at) > 0, PAWL_EUSAGE, "lora: --rank: expected up to %d numbers above 0, found '%s'", RANKS_MOST, words);
        a->ranks[a->count++] = atoi(at);
    }
    return PAWL_OK;
}

static pawl_status read_options(int argc, char **argv, asked *a)
{
    const struct { const char *name, *dflt; int64_t *to; } numbers[] = {{"--width", NULL, &a->D},    {"--ff", NULL, &a->F},        {"--heads", NULL, &a->H}, {"--kv-heads", NULL, &a->G},
                                                                        {"--head-dim", NULL, &a->K}, {"--positions", NULL, &a->N}, {"--runs", "15", &a->runs}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) PAWL_TRY(number(argc, argv, numbers[i].name, numbers[i].dflt, numbers[i].to));
    PAWL_CHECK(a->runs <= RUNS_MOST, PAWL_EUSAGE, "lora: --runs: at most %d", RUNS_MOST);
    for (int i = 1; i < argc; i++) a->ungated |= strcmp(argv[i], "--ungated") == 0;
    return read_ranks(option(argc, argv, "--rank", "8,16,32,64"), a);
}

static pawl_status run(const asked *a)
{
    const group groups[] = {{"qkv", a->D, {a->H * a->K, a->G * a->K, a->G * a->K}, 3, 1, 0},
                            {"o", a->H * a->K, {a->D}, 1, 0, 1},
                            {"gate_up", a->D, {a->F, a->F}, a->ungated ? 1 : 2, 1, 0},
                            {"down", a->F, {a->D}, 1, 0, 1}};
    const pawl_shapes most = {.positions = a->N, .tokens = a->N, .width = a->D, .heads = a->H, .kv_heads = a->G, .head_dim = a->K, .ff = a->F, .vocab = 2 * a->F, .type = PAWL_BF16};
    bench b = {.N = a->N, .runs = (int)a->runs};
    PAWL_TRY(open_tested_device((int)sysconf(_SC_NPROCESSORS_ONLN), &b.d));
    pawl_status s = pawl_device_reserve(b.d, &most);
    for (int r = 0; r < a->count; r++)
        for (size_t g = 0; g < sizeof groups / sizeof *groups && s == PAWL_OK; g++) s = measure_group(&b, &groups[g], a->ranks[r]);
    pawl_device_close(b.d);
    return s;
}

int main(int argc, char **argv)
{
    asked a = {0};
    pawl_status s = read_options(argc, argv, &a);
    if (s == PAWL_OK) s = run(&a);
    if (s != PAWL_OK) pawl_show_error(pawl_last_error());
    return s;
}
