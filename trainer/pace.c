#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/internal.h"

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void pawl_pace_step(pawl_pace *p, double began, double ended, int64_t tokens)
{
    if (p->steps > 0) p->between += began - p->ended;
    p->recent[p->steps++ % PAWL_RECENT_STEPS] = ended - began;
    p->ended = ended;
    p->seconds += ended - began;
    p->tokens += tokens;
}

double pawl_pace_median(const pawl_pace *p)
{
    double sorted[PAWL_RECENT_STEPS];
    const int64_t n = p->steps < PAWL_RECENT_STEPS ? p->steps : PAWL_RECENT_STEPS;
    if (n == 0) return 0;
    memcpy(sorted, p->recent, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    return sorted[n / 2];
}

double pawl_pace_limit(const pawl_pace *p, const pawl_comm_config *r, int ranks)
{
    if (r->watchdog_seconds > 0) return (double)r->watchdog_seconds;
    /* The first step also makes the kernels; and a rank without others waits for none: if it is slow the machine is busy. */
    if (p->steps == 0 || ranks == 1) return (double)r->phase_seconds;
    return fmax(30, 5 * pawl_pace_median(p));
}

double pawl_pace_left(const pawl_pace *p, int64_t steps)
{
    return p->steps ? (double)steps * (pawl_pace_median(p) + p->between / (double)p->steps) : 0;
}

double pawl_pace_rate(pawl_pace *p)
{
    const double rate = p->seconds > 0 ? (double)p->tokens / p->seconds : 0;
    p->tokens = 0;
    p->seconds = 0;
    return rate;
}
