#include "trainer/continual/controller.h"

#include <math.h>

double pawl_control(double share, double rise, double before, double budget)
{
    const double hold = 0.8;
    const double coming = rise > before ? rise + (rise - before) : rise;
    if (!(coming <= budget)) return fmin(PAWL_CONTROL_MOST, 1.5 * share + 0.05);
    if (coming >= hold * budget) return share;
    const double part = budget > 0 ? fmax(0, coming / (hold * budget)) : 0;
    const double less = share * (0.5 + 0.5 * part);
    return less < PAWL_CONTROL_LEAST ? 0 : less;
}
