/* launch/report/report.h - the report of a run: one page, made from what lies in its folder and nothing else. */
#ifndef PAWL_LAUNCH_REPORT_REPORT_H
#define PAWL_LAUNCH_REPORT_REPORT_H

#include "core/json.h"
#include "launch/report/chart.h"

/* Writes the page of a run (the output_dir of pawl train), or of two side by side (other NULL: one), to `to`. The run
 * may be under way, stopped, or without a checkpoint. Local. Errors: EUSAGE when there is no run; EDATA, EIO, EMEM. */
PAWL_MUST pawl_status pawl_report_write(const char *run, const char *other, const char *to);
/* The same into DIR/report.html, at the end of a run: what goes wrong is a warning. Local. */
void pawl_report_at_end(const char *output_dir);

/* ---- What is known of a run (run.c); private to launch/report/ from here on ---- */
/* Figures of a step, by their keys in metrics.jsonl. */
#define PAWL_REPORT_COLUMNS(X)                                                                                         \
    X(step)                                                                                                            \
    X(loss) X(lr) X(grad_norm) X(tokens) X(tokens_total) X(tokens_per_second) X(seconds) X(bytes_sent) X(replay_rows)  \
        X(distill_loss) X(penalty)
#define PAWL_REPORT_ENUM(name) PAWL_COLUMN_##name,
typedef enum pawl_report_column { PAWL_REPORT_COLUMNS(PAWL_REPORT_ENUM) PAWL_COLUMNS } pawl_report_column;

typedef struct pawl_report_run {
    char dir[1200];
    const char *name;             /* the last part of dir */
    double *column[PAWL_COLUMNS]; /* [steps]; NAN where a line has none */
    int64_t steps, unreadable;    /* lines of steps; lines that are no JSON */
    json_t *events;               /* array: lines with `event` */
    json_t *evals;                /* array: lines with `eval`: {step, eval: {domain: loss}} */
    json_t *domains;              /* array: names in evals, in order of appearance */
    double *eval_step;            /* [evals] */
    double **eval_loss;           /* [domains][evals] */
    json_t *checkpoint;           /* pawl_show of the newest; NULL: none */
    json_t *checkpoints;          /* pawl_log_of; NULL: none */
    json_t *memory;               /* the replay memory's statistics; NULL: none */
    json_t *stages;               /* array {name, first_step, end_step} of this run */
    char trouble[512];            /* why there is no checkpoint although there should be one; "" */
} pawl_report_run;

PAWL_MUST pawl_status pawl_report_read(const char *dir, pawl_report_run *out);
void pawl_report_close(pawl_report_run *r);
const json_t *pawl_report_lineage(const pawl_report_run *r); /* an empty object where there is none */
/* The newest event of that name, or NULL. */
const json_t *pawl_report_event(const pawl_report_run *r, const char *event);
/* Texts and numbers out of JSON that may lack them: "" and NAN. */
const char *pawl_word_of(const json_t *object, const char *key);
double pawl_number_of(const json_t *object, const char *key);
/* Of what is finite; NAN for none. */
double pawl_report_median(const double *values, int64_t count);

/* ---- Sections: each writes what a run has; `many` is 1 where another run stands beside it ---- */
typedef struct pawl_report_view {
    const pawl_report_run *run;
    int place; /* 0, 1: which of the runs; part of ids */
} pawl_report_view;
typedef void (*pawl_section_fn)(pawl_text *out, const pawl_report_view *v);
void pawl_report_summary(pawl_text *out, const pawl_report_run *const *runs, int count); /* summary.c */
/* Charts (curves.c): chart number i of a run; 0 when there are no more, -1 when this run has nothing for it. */
/* A chart's stages. */
void pawl_report_bands(const pawl_report_run *r, pawl_chart *c);
int pawl_report_chart(const pawl_report_run *r, int i, pawl_chart *c);
void pawl_report_retention(pawl_text *out, const pawl_report_view *v);     /* retention.c */
void pawl_report_memory_rows(pawl_text *out, const pawl_report_view *v);   /* replay.c */
void pawl_report_data(pawl_text *out, const pawl_report_view *v);          /* data.c */
void pawl_report_lineage_graph(pawl_text *out, const pawl_report_view *v); /* graph.c */
void pawl_report_plan(pawl_text *out, const pawl_report_view *v);          /* plan.c */
void pawl_report_events(pawl_text *out, const pawl_report_view *v);        /* events.c */
void pawl_report_settings(pawl_text *out, const pawl_report_view *v);      /* settings.c */
/* Of two runs. */
void pawl_report_differences(pawl_text *out, const pawl_report_run *a, const pawl_report_run *b);
void pawl_report_machine(pawl_text *out, const pawl_report_view *v);       /* machine.c */

/* A table of names and texts; a row whose text is "" or "–" is left out. */
void pawl_facts_begin(pawl_text *out);
void pawl_fact(pawl_text *out, const char *name, const char *text);
void pawl_facts_end(pawl_text *out);
/* Around a wide table, so that it scrolls by itself and can be reached by keys. */
void pawl_scroll_begin(pawl_text *out, const char *label);
void pawl_scroll_end(pawl_text *out);

extern const char pawl_report_style[]; /* style.c */

#endif
