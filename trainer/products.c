/* The products of a run's slots, timed. Slots of other shapes (of shorter rows; of rows beside a memory's) are computed
 * by the library's first answers, on every rank and whenever the run is resumed. */
#include "trainer/planning.h"

/* What is too large to be tried beside nothing else would not be computed either; it keeps the library's first answer.
 */
static pawl_status time_slot(const pawl_parts *p, int64_t rows)
{
    const int64_t tokens = pawl_run_longest(p);
    const pawl_shapes shapes = pawl_run_shapes(p, rows, tokens);
    pawl_capacity of = pawl_run_capacity(p, tokens, 1);
    of.rows = rows;
    PAWL_TRY(pawl_device_reserve(p->device, &shapes));
    const pawl_status s = pawl_model_products(p->model, p->adapter, p->base_code, &of);
    return s == PAWL_EMEM ? PAWL_OK : s;
}

pawl_status pawl_products_time(const pawl_parts *p)
{
    const pawl_cut cut = pawl_cut_of(p->train, p->reduce);
    const int64_t rest = cut.rows % cut.micro;
    if (!pawl_device_tune(p->device, 1)) return PAWL_OK;
    pawl_status s = time_slot(p, cut.micro);
    if (s == PAWL_OK && rest) s = time_slot(p, rest);
    (void)pawl_device_tune(p->device, 0);
    return s;
}
