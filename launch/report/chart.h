/* launch/report/chart.h - a chart: lines over steps, as SVG with its words beside it in HTML, and its figures behind it
 * in a table. */
#ifndef PAWL_LAUNCH_REPORT_CHART_H
#define PAWL_LAUNCH_REPORT_CHART_H

#include "launch/report/html.h"

enum { PAWL_CHART_SERIES = 12, PAWL_CHART_BANDS = 64 };

/* y[i] at x[i], x rising; a y that is not finite is a gap. Series that share x share a table. */
typedef struct pawl_series {
    const char *name;
    const double *x, *y;
    int64_t count;
    int dots; /* 1: each value is a measurement of its own, and marked */
} pawl_series;

/* A stretch of x with a name: a stage. */
typedef struct pawl_band {
    const char *name;
    double first, end;
} pawl_band;

typedef struct pawl_chart {
    const char *title, *unit, *across; /* "Loss", "nats per token", "step" */
    int from_zero;                     /* y begins at 0 */
    int zero_line;                     /* y = 0 is in the range, and drawn */
    int wide_range;                    /* logarithmic where values lie far apart */
    pawl_series series[PAWL_CHART_SERIES];
    int count, left_out; /* left_out: series that there was no room for */
    pawl_band bands[PAWL_CHART_BANDS];
    int band_count;
    double x0, x1, y0, y1; /* what it shows: pawl_chart_fit */
    int logarithmic;
} pawl_chart;

void pawl_chart_add(pawl_chart *c, const pawl_series *s);
/* The range of every chart becomes that of all of them together, so that eyes can compare. */
void pawl_charts_fit(pawl_chart *const *charts, int count);
/* id: a word of ours, unique in the page. */
void pawl_chart_write(pawl_text *out, const pawl_chart *c, const char *id);

/* ---- series.c ---- */
/* Which values of a series a line needs that is `most` points wide or so: of each stretch the first, the least, the
 * greatest and the last, in order, and a value that is not finite where the line has a gap. Calls point(i) for each. */
typedef void (*pawl_point_fn)(void *self, int64_t i);
void pawl_series_thin(const pawl_series *s, int64_t most, pawl_point_fn point, void *self);
/* Over values [first, end): least and greatest; count of those that are not finite. NAN where there is none. */
typedef struct pawl_reach {
    double least, greatest;
    int64_t least_at, greatest_at, bad, good;
} pawl_reach;
pawl_reach pawl_series_extent(const pawl_series *s, int64_t first, int64_t end);
/* Steps of 1, 2 or 5 times a power of ten between lo and hi; at most `most` of them, and the first at or above lo. */
typedef struct pawl_ticks {
    double first, step;
    int count, places; /* digits behind the point that tell them apart */
} pawl_ticks;
pawl_ticks pawl_ticks_of(double lo, double hi, int most, double least_step);

#endif
