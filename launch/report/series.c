/* What of a long series is looked at: no peak is lost, however many steps a run had. */
#include <math.h>

#include "launch/report/chart.h"

pawl_reach pawl_series_extent(const pawl_series *s, int64_t first, int64_t end)
{
    pawl_reach e = {NAN, NAN, -1, -1, 0, 0};
    for (int64_t i = first; i < end; i++) {
        const double y = s->y[i];
        if (!isfinite(y)) {
            e.bad++;
            continue;
        }
        if (e.good++ == 0 || y < e.least) e.least = y, e.least_at = i;
        if (e.greatest_at < 0 || y > e.greatest) e.greatest = y, e.greatest_at = i;
    }
    return e;
}

/* First, least, greatest and last of [first, end), each once and in order; one gap stands for all gaps behind the last
 * of them. */
static void thin_stretch(const pawl_series *s, int64_t first, int64_t end, pawl_point_fn point, void *self)
{
    const pawl_reach e = pawl_series_extent(s, first, end);
    int64_t gap = -1;
    for (int64_t i = first; i < end; i++) {
        const int finite = isfinite(s->y[i]);
        if (!finite && gap < 0) gap = i;
        if (!finite || (i != first && i != end - 1 && i != e.least_at && i != e.greatest_at)) continue;
        if (gap >= 0) point(self, gap);
        gap = -1;
        point(self, i);
    }
    if (gap >= 0) point(self, gap);
}

void pawl_series_thin(const pawl_series *s, int64_t most, pawl_point_fn point, void *self)
{
    const int64_t stretches = s->count <= most ? s->count : (most + 3) / 4;
    for (int64_t k = 0; k < stretches; k++)
        thin_stretch(s, (int64_t)((double)s->count * (double)k / (double)stretches),
                     k + 1 == stretches ? s->count : (int64_t)((double)s->count * (double)(k + 1) / (double)stretches),
                     point, self);
}

pawl_ticks pawl_ticks_of(double lo, double hi, int most, double least_step)
{
    static const double nice[] = {1, 2, 5, 10};
    pawl_ticks t = {lo, 1, 0, 0};
    const double rough = (hi - lo) / most;
    if (!(hi >= lo) || !isfinite(rough)) return t;
    const double power = pow(10, floor(log10(rough > 0 ? rough : 1)));
    for (int i = 0; i < 4; i++) {
        t.step = nice[i] * power;
        if (t.step >= rough * (1 - 1e-9)) break;
    }
    if (t.step < least_step) t.step = least_step;
    t.first = ceil(lo / t.step - 1e-9) * t.step;
    t.count = (int)floor((hi - t.first) / t.step + 1e-9) + 1;
    t.places = t.step >= 1 ? 0 : (int)ceil(-log10(t.step) - 1e-9);
    return t;
}
