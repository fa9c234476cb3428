#include "launch/report/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The SVG is stretched to whatever room there is (preserveAspectRatio none; strokes do not scale), so words stand in
 * HTML above it, at percentages, and keep their size on a telephone and in print. */
enum { SIDE = 1000, POINTS = 800, TABLE_ROWS = 32, TICKS_X = 6, TICKS_Y = 5 };

void pawl_chart_add(pawl_chart *c, const pawl_series *s)
{
    if (s->count == 0) return;
    if (c->count < PAWL_CHART_SERIES)
        c->series[c->count++] = *s;
    else
        c->left_out++;
}

/* ---- ranges ---- */

static void widen(double *lo, double *hi, double x)
{
    if (!isfinite(x)) return;
    if (!(*lo <= x)) *lo = x;
    if (!(*hi >= x)) *hi = x;
}

static void reach(const pawl_chart *c, double range[4])
{
    for (int i = 0; i < c->count; i++) {
        const pawl_series *s = &c->series[i];
        const pawl_reach e = pawl_series_extent(s, 0, s->count);
        widen(&range[0], &range[1], s->x[0]);
        widen(&range[0], &range[1], s->x[s->count - 1]);
        widen(&range[2], &range[3], e.least);
        widen(&range[2], &range[3], e.greatest);
    }
}

/* Figures beyond this (a run that blew up) are drawn at the edge, so that differences stay numbers. */
static const double most = 1e300;

void pawl_charts_fit(pawl_chart *const *charts, int count)
{
    double r[4] = {NAN, NAN, NAN, NAN};
    for (int i = 0; i < count; i++) reach(charts[i], r);
    if (!isfinite(r[0])) r[0] = r[1] = 0;
    if (!isfinite(r[2])) r[2] = 0, r[3] = 1;
    if (charts[0]->zero_line) widen(&r[2], &r[3], 0);
    r[2] = fmin(fmax(r[2], -most), most);
    r[3] = fmin(fmax(r[3], -most), most);
    const int logarithmic = count > 0 && charts[0]->wide_range && r[2] > 0 && r[3] > 50 * r[2];
    if (charts[0]->from_zero && r[2] > 0 && !logarithmic) r[2] = 0;
    if (r[0] == r[1]) r[0] -= 1, r[1] += 1;
    if (logarithmic) r[2] = log10(r[2]), r[3] = log10(r[3]);
    if (r[2] == r[3]) {
        const double room = r[2] != 0 ? 0.1 * fabs(r[2]) : 1;
        r[2] -= charts[0]->from_zero && r[2] == 0 ? 0 : room, r[3] += room;
    }
    const double margin = 0.04 * (r[3] - r[2]);
    r[3] += margin;
    if (!(charts[0]->from_zero && r[2] == 0)) r[2] -= margin;
    for (int i = 0; i < count; i++) {
        charts[i]->x0 = r[0], charts[i]->x1 = r[1], charts[i]->y0 = r[2], charts[i]->y1 = r[3];
        charts[i]->logarithmic = logarithmic;
    }
}

/* Places in [0, 1], from the left and from the top. */
static double across(const pawl_chart *c, double x)
{
    return fmin(fmax((x - c->x0) / (c->x1 - c->x0), 0), 1);
}

static double down(const pawl_chart *c, double y)
{
    const double v = !c->logarithmic ? y : y > 0 ? log10(y) : c->y0;
    return fmin(fmax(1 - (v - c->y0) / (c->y1 - c->y0), 0), 1);
}

/* ---- lines ---- */

typedef struct pen {
    pawl_text *out;
    const pawl_chart *chart;
    const pawl_series *series;
    int down, alone; /* alone: one point so far, which a line would not show */
} pen;

static void lift(pen *p)
{
    if (p->alone) pawl_text_add(p->out, "h0");
    p->down = p->alone = 0;
}

static void draw(void *self, int64_t i)
{
    pen *p = self;
    const double y = p->series->y[i];
    if (!isfinite(y)) {
        lift(p);
        return;
    }
    pawl_text_add(p->out, "%c%.1f %.1f", p->down ? 'L' : 'M', SIDE * across(p->chart, p->series->x[i]),
                  SIDE * down(p->chart, y));
    p->alone = !p->down;
    p->down = 1;
}

static void dot(void *self, int64_t i)
{
    pen *p = self;
    const double y = p->series->y[i];
    if (isfinite(y))
        pawl_text_add(p->out, "M%.1f %.1fh0", SIDE * across(p->chart, p->series->x[i]), SIDE * down(p->chart, y));
}

static void gap_mark(void *self, int64_t i)
{
    pen *p = self;
    if (!isfinite(p->series->y[i]))
        pawl_text_add(p->out, "M%.1f %dV%d", SIDE * across(p->chart, p->series->x[i]), SIDE, SIDE - 60);
}

static void write_path(pawl_text *out, const pawl_chart *c, int series, const char *kind, pawl_point_fn point)
{
    pen p = {.out = out, .chart = c, .series = &c->series[series]};
    pawl_text_add(out, "<path class=\"%s s%d\" d=\"M0 0", kind, series);
    pawl_series_thin(p.series, POINTS, point, &p);
    lift(&p);
    pawl_text_add(out, "\"/>");
}

static void write_lines(pawl_text *out, const pawl_chart *c)
{
    for (int i = 0; i < c->count; i++) {
        const pawl_series *s = &c->series[i];
        write_path(out, c, i, "line", draw);
        if (s->dots) write_path(out, c, i, "dot", dot);
        if (pawl_series_extent(s, 0, s->count).bad) write_path(out, c, i, "gap", gap_mark);
    }
}

/* ---- axes ---- */

static pawl_ticks ticks_y(const pawl_chart *c)
{
    return pawl_ticks_of(c->y0, c->y1, TICKS_Y, c->logarithmic ? 1 : 0);
}

static double tick_at(const pawl_ticks *t, int i)
{
    const double v = t->first + i * t->step;
    return fabs(v) < 1e-9 * t->step ? 0 : v;
}

static double tick_value(const pawl_chart *c, const pawl_ticks *t, int i)
{
    return c->logarithmic ? pow(10, tick_at(t, i)) : tick_at(t, i);
}

static pawl_figure tick_text(const pawl_chart *c, const pawl_ticks *t, int i)
{
    const double v = tick_value(c, t, i);
    const double size = fmax(fabs(tick_value(c, t, 0)), fabs(tick_value(c, t, t->count - 1)));
    if (c->logarithmic || size >= 1e6 || (size > 0 && size < 1e-3)) return pawl_digits_of(v, 3);
    return t->places == 0 && size >= 1e4 ? pawl_count_of(v) : pawl_fixed_of(v, t->places);
}

static void write_grid(pawl_text *out, const pawl_chart *c)
{
    const pawl_ticks y = ticks_y(c);
    for (int i = 0; i < c->band_count; i++)
        if (i % 2 == 1)
            pawl_text_add(out, "<rect class=\"band\" x=\"%.1f\" y=\"0\" width=\"%.1f\" height=\"%d\"/>",
                          SIDE * across(c, c->bands[i].first),
                          SIDE * (across(c, c->bands[i].end) - across(c, c->bands[i].first)), SIDE);
    pawl_text_add(out, "<path class=\"grid\" d=\"M0 0");
    for (int i = 0; i < y.count; i++) pawl_text_add(out, "M0 %.1fH%d", SIDE * down(c, tick_value(c, &y, i)), SIDE);
    pawl_text_add(out, "\"/>");
    if (c->zero_line) pawl_text_add(out, "<path class=\"zero\" d=\"M0 %.1fH%d\"/>", SIDE * down(c, 0), SIDE);
}

static void write_words(pawl_text *out, const pawl_chart *c)
{
    const pawl_ticks y = ticks_y(c), x = pawl_ticks_of(c->x0, c->x1, TICKS_X, 1);
    pawl_text_add(out, "<div aria-hidden=\"true\">");
    for (int i = 0; i < c->band_count && c->band_count > 1; i++) {
        const double first = across(c, c->bands[i].first), end = across(c, c->bands[i].end);
        pawl_text_add(out, "<span class=\"stage\" style=\"left:%.2f%%;width:%.2f%%\">", 100 * first,
                      100 * (end - first));
        HTML(out, "$</span>", end - first < 0.03 ? "" : c->bands[i].name); /* no room for words */
    }
    for (int i = 0; i < y.count; i++) {
        pawl_text_add(out, "<span class=\"y\" style=\"top:%.2f%%\">", 100 * down(c, tick_value(c, &y, i)));
        HTML(out, "$</span>", tick_text(c, &y, i).text);
    }
    for (int i = 0; i < x.count; i++) {
        pawl_text_add(out, "<span class=\"x\" style=\"left:%.2f%%\">", 100 * across(c, tick_at(&x, i)));
        HTML(out, "$</span>", pawl_count_of(tick_at(&x, i)).text);
    }
    pawl_text_add(out, "</div>");
}

static void write_legend(pawl_text *out, const pawl_chart *c)
{
    if (c->count < 2 && !c->series[0].dots) return;
    pawl_text_add(out, "<ul class=\"legend\">");
    for (int i = 0; i < c->count; i++) {
        pawl_text_add(out,
                      "<li><svg class=\"key\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><path class=\"line s%d\" "
                      "d=\"M1 5H27\"/>",
                      i);
        if (c->series[i].dots) pawl_text_add(out, "<path class=\"dot s%d\" d=\"M14 5h0\"/>", i);
        HTML(out, "</svg> <bdi>$</bdi></li>", c->series[i].name);
    }
    if (c->left_out) HTML(out, "<li>and $ more</li>", pawl_count_of(c->left_out).text);
    pawl_text_add(out, "</ul>");
}

/* ---- words for who does not see it ---- */

static void describe(pawl_text *out, const pawl_chart *c)
{
    for (int i = 0; i < c->count; i++) {
        const pawl_series *s = &c->series[i];
        const pawl_reach e = pawl_series_extent(s, 0, s->count);
        const int64_t last = s->count - 1;
        HTML(out, "$: ", s->name);
        if (!e.good)
            HTML(out, "no finite figure. ");
        else
            HTML(out, "$ at $ $, $ at $ $; least $ at $, greatest $ at $. ", pawl_digits_of(s->y[0], 5).text, c->across,
                 pawl_count_of(s->x[0]).text, pawl_digits_of(s->y[last], 5).text, c->across,
                 pawl_count_of(s->x[last]).text, pawl_digits_of(e.least, 5).text, pawl_count_of(s->x[e.least_at]).text,
                 pawl_digits_of(e.greatest, 5).text, pawl_count_of(s->x[e.greatest_at]).text);
        if (e.bad) HTML(out, "$ not finite. ", pawl_count_of((double)e.bad).text);
    }
    for (int i = 0; i < c->band_count && c->band_count > 1; i++)
        HTML(out, "Stage $ from $ $. ", c->bands[i].name, c->across, pawl_count_of(c->bands[i].first).text);
}

/* ---- its figures ---- */

static void write_head(pawl_text *out, const pawl_chart *c, int first, int end, int cut)
{
    HTML(out, "<thead><tr><th scope=\"col\">$</th>", c->across);
    for (int i = first; i < end; i++) {
        HTML(out, "<th scope=\"col\">$</th>", c->series[i].name);
        if (cut) HTML(out, "<th scope=\"col\">least</th><th scope=\"col\">greatest</th>");
    }
    HTML(out, "</tr></thead>");
}

static void write_rows(pawl_text *out, const pawl_chart *c, int first, int end)
{
    const int64_t count = c->series[first].count, rows = count < TABLE_ROWS ? count : TABLE_ROWS;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t from = (int64_t)((double)count * (double)r / (double)rows),
                      to = r + 1 == rows ? count : (int64_t)((double)count * (double)(r + 1) / (double)rows);
        HTML(out, "<tr><th scope=\"row\">$</th>", pawl_count_of(c->series[first].x[to - 1]).text);
        for (int i = first; i < end; i++) {
            const pawl_reach e = pawl_series_extent(&c->series[i], from, to);
            HTML(out, "<td>$</td>", pawl_digits_of(c->series[i].y[to - 1], 6).text);
            if (count > rows)
                HTML(out, "<td>$</td><td>$</td>", pawl_digits_of(e.least, 6).text, pawl_digits_of(e.greatest, 6).text);
        }
        HTML(out, "</tr>");
    }
}

static void write_tables(pawl_text *out, const pawl_chart *c)
{
    HTML(out, "<details><summary>Figures: $</summary>", c->title);
    for (int first = 0, end; first < c->count; first = end) {
        for (end = first + 1; end < c->count && c->series[end].x == c->series[first].x; end++) {
        }
        const int cut = c->series[first].count > TABLE_ROWS;
        HTML(out,
             "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figures: $\"><table "
             "class=\"figures\"><caption>$, $$</caption>",
             c->title, c->title, c->unit,
             cut ? "; a row stands for several steps: its last, and the least and greatest of them" : "");
        write_head(out, c, first, end, cut);
        HTML(out, "<tbody>");
        write_rows(out, c, first, end);
        HTML(out, "</tbody></table></div>");
    }
    HTML(out, "</details>");
}

void pawl_chart_write(pawl_text *out, const pawl_chart *c, const char *id)
{
    HTML(out, "<figure class=\"chart\"><figcaption>$ <span class=\"unit\">$$</span></figcaption>", c->title, c->unit,
         c->logarithmic ? ", logarithmic" : "");
    if (c->count == 0) {
        HTML(out, "<p class=\"none\">Nothing was recorded.</p></figure>");
        return;
    }
    write_legend(out, c);
    HTML(out,
         "<div class=\"plot$\"><svg role=\"img\" aria-labelledby=\"$-t $-d\" viewBox=\"0 0 1000 1000\" "
         "preserveAspectRatio=\"none\"><title id=\"$-t\">$</title><desc id=\"$-d\">",
         c->band_count > 1 ? " staged" : "", id, id, id, c->title, id);
    describe(out, c);
    HTML(out, "</desc>");
    write_grid(out, c);
    write_lines(out, c);
    HTML(out, "</svg>");
    write_words(out, c);
    HTML(out, "</div><p class=\"across\" aria-hidden=\"true\">$</p>", c->across);
    write_tables(out, c);
    HTML(out, "</figure>");
}
