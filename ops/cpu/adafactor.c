/* Adafactor's passes: squares into the factors, the size of the update, the step. Sums over columns are of fixed panels
 * of rows, joined in their order; those of the update's squares likewise. */
#include <string.h>

#include "ops/cpu/kept.h"

typedef struct call {
    const pawl_kernels *kernels;
    void *w;
    pawl_kept_as kept;
    float *row, *col;
    const float *g;
    int64_t rows, cols, panels;
    double *sums;   /* [panels], or of blocks of a vector */
    float *panel;   /* [panels, cols] of squares */
    float *columns; /* [cols]: 1/sqrt of the column factors */
    double mean;    /* of the row factors */
    float rate;
    pawl_adafactor_numbers k;
} call;

static int64_t panel_end(const call *c, int64_t panel)
{
    return panel * PAWL_ADAFACTOR_ROWS + pawl_block_size(c->rows, PAWL_ADAFACTOR_ROWS, panel);
}

static void squares_panel(void *self, int64_t panel, int thread)
{
    (void)thread;
    const call *c = self;
    float *cols = c->panel + panel * c->cols;
    memset(cols, 0, (size_t)c->cols * sizeof *cols);
    for (int64_t i = panel * PAWL_ADAFACTOR_ROWS; i < panel_end(c, panel); i++) {
        const double sum = c->kernels->adafactor_squares(c->g + i * c->cols, c->cols, cols, c->k);
        c->row[i] = pawl_adafactor_moment_rule(c->row[i], (float)(sum / (double)c->cols), c->k);
    }
}

enum { COLUMNS = 1024 };

static void columns_block(void *self, int64_t block, int thread)
{
    (void)thread;
    const call *c = self;
    for (int64_t j = block * COLUMNS; j < block * COLUMNS + pawl_block_size(c->cols, COLUMNS, block); j++) {
        double sum = 0;
        for (int64_t p = 0; p < c->panels; p++) sum += (double)c->panel[p * c->cols + j];
        c->col[j] = pawl_adafactor_moment_rule(c->col[j], (float)(sum / (double)c->rows), c->k);
        c->columns[j] = 1.0f / sqrtf(c->col[j]);
    }
}

static float row_root(const call *c, int64_t i)
{
    return 1.0f / sqrtf((float)((double)c->row[i] / c->mean));
}

static void updates_panel(void *self, int64_t panel, int thread)
{
    (void)thread;
    const call *c = self;
    double sum = 0;
    for (int64_t i = panel * PAWL_ADAFACTOR_ROWS; i < panel_end(c, panel); i++)
        sum += c->kernels->adafactor_updates(c->g + i * c->cols, c->columns, row_root(c, i), c->cols, c->k);
    c->sums[panel] = sum;
}

static void step_row(const call *c, int64_t i)
{
    float room[PAWL_KEPT_PIECE];
    const float root = row_root(c, i);
    for (int64_t j = 0; j < c->cols; j += PAWL_KEPT_PIECE) {
        const int64_t at = i * c->cols + j, some = c->cols - j < PAWL_KEPT_PIECE ? c->cols - j : PAWL_KEPT_PIECE;
        float *w = pawl_kept_open(c->kernels, c->w, c->kept.weights, at, some, room);
        c->kernels->adafactor(w, c->g + at, c->columns + j, root, some, c->rate, c->k);
        pawl_kept_close(c->kernels, w, c->w, c->kept.weights, at, some, &c->kept, PAWL_CHANCE_WEIGHT);
    }
}

static void step_panel(void *self, int64_t panel, int thread)
{
    (void)thread;
    const call *c = self;
    for (int64_t i = panel * PAWL_ADAFACTOR_ROWS; i < panel_end(c, panel); i++) step_row(c, i);
}

static void vector_updates(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    const int64_t at = i * PAWL_SUM_BLOCK;
    c->sums[i] =
        c->kernels->adafactor_vector_updates(c->g + at, c->row + at, pawl_block_size(c->rows, PAWL_SUM_BLOCK, i), c->k);
}

static void vector_step(void *self, int64_t i, int thread)
{
    (void)thread;
    const call *c = self;
    const int64_t end = i * PAWL_SUM_BLOCK + pawl_block_size(c->rows, PAWL_SUM_BLOCK, i);
    float room[PAWL_KEPT_PIECE];
    for (int64_t at = i * PAWL_SUM_BLOCK; at < end; at += PAWL_KEPT_PIECE) {
        const int64_t some = end - at < PAWL_KEPT_PIECE ? end - at : PAWL_KEPT_PIECE;
        float *w = pawl_kept_open(c->kernels, c->w, c->kept.weights, at, some, room);
        c->kernels->adafactor_vector(w, c->g + at, c->row + at, some, c->rate, c->k);
        pawl_kept_close(c->kernels, w, c->w, c->kept.weights, at, some, &c->kept, PAWL_CHANCE_WEIGHT);
    }
}

static void mean_of_rows(call *c)
{
    double sum = 0;
    for (int64_t i = 0; i < c->rows; i++) sum += (double)c->row[i];
    c->mean = sum / (double)c->rows;
}

/* The rate of this step, from the sums of the updates' squares. */
static void clip(call *c, int64_t sums, int64_t count, const pawl_adafactor_step *k)
{
    double squares = 0;
    for (int64_t i = 0; i < sums; i++) squares += c->sums[i];
    c->rate = (float)(k->lr * pawl_adafactor_clip_rule(squares, (double)count, k->clip_threshold));
}

static void vector_passes(pawl_pool *pool, call *c, const pawl_adafactor_step *k)
{
    const int64_t blocks = pawl_blocks(c->rows, PAWL_SUM_BLOCK);
    pawl_pool_run(pool, blocks, vector_updates, c);
    clip(c, blocks, c->rows, k);
    pawl_pool_run(pool, blocks, vector_step, c);
}

static void matrix_passes(pawl_pool *pool, call *c, const pawl_adafactor_step *k)
{
    c->panel = (float *)(c->sums + c->panels);
    c->columns = c->panel + c->panels * c->cols;
    pawl_pool_run(pool, c->panels, squares_panel, c);
    pawl_pool_run(pool, pawl_blocks(c->cols, COLUMNS), columns_block, c);
    mean_of_rows(c);
    pawl_pool_run(pool, c->panels, updates_panel, c);
    clip(c, c->panels, c->rows * c->cols, k);
    pawl_pool_run(pool, c->panels, step_panel, c);
}

pawl_status adafactor_cpu(pawl_device *d, void *w, const float *g, float *row, float *col, int64_t rows, int64_t cols,
                          void *scratch, const pawl_adafactor_step *k)
{
    pawl_cpu *cpu = pawl_cpu_of(d);
    call c = {.kernels = cpu->kernels,
              .w = w,
              .kept = k->kept,
              .row = row,
              .col = col,
              .g = g,
              .rows = rows,
              .cols = cols,
              .panels = pawl_blocks(rows, PAWL_ADAFACTOR_ROWS),
              .sums = scratch,
              .k = pawl_adafactor_prepare(k)};
    (cols > 0 ? matrix_passes : vector_passes)(cpu->pool, &c, k);
    return PAWL_OK;
}
