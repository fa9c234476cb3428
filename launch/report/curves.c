/* The charts of a report: what of a run each of them shows. */
#include <math.h>
#include <string.h>

#include "launch/report/report.h"

static void add_column(const pawl_report_run *r, pawl_report_column column, const char *name, pawl_chart *c)
{
    const pawl_series s = {.name = name, .x = r->column[PAWL_COLUMN_step], .y = r->column[column], .count = r->steps};
    if (r->steps && pawl_series_extent(&s, 0, s.count).good) pawl_chart_add(c, &s);
}

static void add_evals(const pawl_report_run *r, pawl_chart *c)
{
    json_t *domain;
    size_t d;
    json_array_foreach(r->domains, d, domain)
        pawl_chart_add(c, &(pawl_series){.name = json_string_value(domain),
                                         .x = r->eval_step,
                                         .y = r->eval_loss[d],
                                         .count = (int64_t)json_array_size(r->evals),
                                         .dots = 1});
}

static void loss(const pawl_report_run *r, pawl_chart *c)
{
    add_column(r, PAWL_COLUMN_loss, "training", c);
    if (r->steps && c->count == 0) /* not one finite loss: the chart says so */
        pawl_chart_add(c, &(pawl_series){.name = "training",
                                         .x = r->column[PAWL_COLUMN_step],
                                         .y = r->column[PAWL_COLUMN_loss],
                                         .count = r->steps});
    add_evals(r, c);
}

static void rate(const pawl_report_run *r, pawl_chart *c)
{
    add_column(r, PAWL_COLUMN_lr, "learning rate", c);
}
static void throughput(const pawl_report_run *r, pawl_chart *c)
{
    add_column(r, PAWL_COLUMN_tokens_per_second, "tokens/s", c);
}
static void norm(const pawl_report_run *r, pawl_chart *c)
{
    add_column(r, PAWL_COLUMN_grad_norm, "gradient norm", c);
}
static void replayed(const pawl_report_run *r, pawl_chart *c)
{
    if (pawl_series_extent(&(pawl_series){.y = r->column[PAWL_COLUMN_replay_rows]}, 0, r->steps).greatest > 0)
        add_column(r, PAWL_COLUMN_replay_rows, "replayed rows", c);
}

static void kept(const pawl_report_run *r, pawl_chart *c)
{
    add_column(r, PAWL_COLUMN_distill_loss, "distillation", c);
    add_column(r, PAWL_COLUMN_penalty, "penalty", c);
}

static const struct {
    const char *title, *unit;
    int from_zero, wide_range, always;
    void (*fill)(const pawl_report_run *r, pawl_chart *c);
} charts[] = {
    {"Loss", "nats per token; dots are held-out text", 0, 0, 1, loss},
    {"Learning rate", "peak rate of the step", 1, 0, 1, rate},
    {"Throughput", "tokens per second, all ranks", 1, 0, 1, throughput},
    {"Gradient norm", "before clipping", 1, 1, 1, norm},
    {"Replayed rows", "rows of the batch that come from the memory", 1, 0, 0, replayed},
    {"What holds the model back", "distillation loss and penalty, in the unit of the loss", 1, 1, 0, kept},
};

void pawl_report_bands(const pawl_report_run *r, pawl_chart *c)
{
    json_t *stage;
    size_t s;
    json_array_foreach(r->stages, s, stage) if (c->band_count < PAWL_CHART_BANDS) c->bands[c->band_count++] =
        (pawl_band){pawl_word_of(stage, "name"), pawl_number_of(stage, "first_step"),
                    pawl_number_of(stage, "end_step")};
}

int pawl_report_chart(const pawl_report_run *r, int i, pawl_chart *c)
{
    if (i >= (int)(sizeof charts / sizeof *charts)) return 0;
    memset(c, 0, sizeof *c);
    c->title = charts[i].title;
    c->unit = charts[i].unit;
    c->across = "step";
    c->from_zero = charts[i].from_zero;
    c->wide_range = charts[i].wide_range;
    charts[i].fill(r, c);
    pawl_report_bands(r, c);
    return c->count || charts[i].always ? 1 : -1;
}
