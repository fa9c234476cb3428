/* The methods of a run, called in the order of the table. */
#include <stdio.h>
#include <string.h>

#include "trainer/continual/slices.h"

/* Gradients: what is frozen is 0 first, then the loss' own is projected, then SI keeps it, then penalties are added. */
const pawl_method *const pawl_method_table[] = {&pawl_method_der, &pawl_method_lwf, &pawl_freeze, &pawl_agem,    &pawl_si,   &pawl_ewc, &pawl_mas,
                                                &pawl_l2sp,       &pawl_olora,      &pawl_sfa,    &pawl_reptile, &pawl_wise, NULL};

static int is_on(const pawl_method *m, const pawl_parts *p)
{
    if (!p->continual) return 0;
    const int32_t value = *(const int32_t *)((const char *)p->continual + m->present);
    return m->when ? value == m->when : value != 0;
}

static int runs_of(const pawl_method *m)
{
    int runs = m->more;
    for (int i = 0; m->kept[i]; i++) runs++;
    return runs;
}

pawl_room pawl_methods_bytes(const pawl_parts *p, int64_t first, int64_t end)
{
    pawl_room room = {0}, while_it_lasts = {0}; /* stages' ends are one method's after the other's */
    for (const pawl_method *const *m = pawl_method_table; *m; m++) {
        if (!is_on(*m, p)) continue;
        if ((*m)->kept) room = pawl_room_add(room, pawl_slices_bytes(p, first, end, runs_of(*m)));
        if ((*m)->bytes) room = pawl_room_add(room, (*m)->bytes(p, first, end));
        if ((*m)->bytes_for_a_while) while_it_lasts = pawl_room_most(while_it_lasts, (*m)->bytes_for_a_while(p));
    }
    return pawl_room_add(room, while_it_lasts);
}

int64_t pawl_methods_rows(const pawl_parts *p)
{
    int64_t rows = 0;
    for (const pawl_method *const *m = pawl_method_table; *m; m++)
        if (is_on(*m, p) && (*m)->rows) rows += (*m)->rows(p);
    return rows;
}

int pawl_methods_columns(const pawl_parts *p, pawl_memory_column out[PAWL_MEMORY_COLUMNS_MAX])
{
    int count = 0;
    for (const pawl_method *const *m = pawl_method_table; *m; m++)
        if (is_on(*m, p) && (*m)->columns) count += (*m)->columns(p, out + count);
    PAWL_ASSERT(count <= PAWL_MEMORY_COLUMNS_MAX);
    return count;
}

static pawl_status open_one(const pawl_method *x, const pawl_moment *now, void **self)
{
    if (x->kept) {
        PAWL_TRY(pawl_alloc(self, sizeof(pawl_slices), x->name));
        PAWL_TRY(pawl_slices_open(now, runs_of(x), *self));
    }
    return x->open ? x->open(now, self) : PAWL_OK;
}

pawl_status pawl_methods_open(pawl_methods *m)
{
    for (const pawl_method *const *x = pawl_method_table; *x; x++) {
        if (!is_on(*x, m->now.p)) continue;
        PAWL_ASSERT(m->count < PAWL_METHODS_MAX);
        m->method[m->count] = *x;
        m->self[m->count++] = NULL;
        PAWL_TRY(open_one(*x, &m->now, &m->self[m->count - 1]));
    }
    return PAWL_OK;
}

void pawl_methods_close(pawl_methods *m)
{
    for (int i = 0; i < m->count; i++) {
        if (!m->self[i]) continue;
        if (m->method[i]->close) m->method[i]->close(m->self[i]);
        if (m->method[i]->kept) pawl_slices_close(m->self[i]);
        pawl_free(m->self[i]);
    }
    m->count = 0;
}

static pawl_status list(const pawl_method *m, const void *self, const pawl_parts *p, int64_t first, int64_t end,
                        const pawl_state *names, pawl_state *out)
{
    const pawl_slices *runs = self;
    for (int i = 0; m->kept && m->kept[i]; i++) {
        char prefix[PAWL_NAME_MAX];
        snprintf(prefix, sizeof prefix, "method/%s/%s/", m->name, m->kept[i]);
        PAWL_TRY(pawl_list_range(p, prefix, runs ? runs->run[i] : NULL, first, end, names, out));
    }
    return m->state ? m->state(self, p, first, end, names, out) : PAWL_OK;
}

pawl_status pawl_methods_state_of(const pawl_methods *m, int i, const pawl_state *names, pawl_state *out)
{
    const pawl_hold *h = &m->now.stepper->hold;
    return list(m->method[i], m->self[i], m->now.p, h->first, h->end, names, out);
}

pawl_status pawl_methods_state(const pawl_methods *m, const pawl_state *names, pawl_state *out)
{
    for (int i = 0; i < m->count; i++) PAWL_TRY(pawl_methods_state_of(m, i, names, out));
    return PAWL_OK;
}

int pawl_is_carried(const pawl_moment *m, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)m->carried, i, one) if (strcmp(json_string_value(one), name) == 0) return 1;
    return 0;
}

pawl_status pawl_methods_state_like(const pawl_parts *p, int64_t first, int64_t end, pawl_state *out)
{
    pawl_state names = {0};
    pawl_status s = pawl_trained_state(p->model, p->adapter, NULL, "", &names);
    for (const pawl_method *const *m = pawl_method_table; *m && s == PAWL_OK; m++)
        if (is_on(*m, p)) s = list(*m, NULL, p, first, end, &names, out);
    pawl_state_close(&names);
    return s;
}

typedef pawl_status (*plain)(void *self, const pawl_moment *m);

static plain hook_of(const pawl_method *m, pawl_hook hook)
{
    const plain all[] = {[PAWL_HOOK_BEGIN] = m->begin,
                         [PAWL_HOOK_BEGIN_STAGE] = m->begin_stage,
                         [PAWL_HOOK_RESUME] = m->resume,
                         [PAWL_HOOK_END_STAGE] = m->end_stage,
                         [PAWL_HOOK_REMEMBER] = m->remember};
    return all[hook];
}

pawl_status pawl_methods_call(const pawl_methods *m, pawl_hook hook)
{
    for (int i = 0; i < m->count; i++) {
        const plain f = hook_of(m->method[i], hook);
        if (f) PAWL_TRY(f(m->self[i], &m->now));
    }
    return PAWL_OK;
}

pawl_status pawl_methods_add_rows(const pawl_methods *m, pawl_step_row *rows, int64_t *count)
{
    for (int i = 0; i < m->count; i++)
        if (m->method[i]->add_rows) PAWL_TRY(m->method[i]->add_rows(m->self[i], &m->now, rows, count));
    return PAWL_OK;
}

pawl_status pawl_methods_before_slot(const pawl_methods *m, const pawl_step_row *rows, int64_t count,
                                     const pawl_batch *b, pawl_pass *pass)
{
    for (int i = 0; i < m->count; i++)
        if (m->method[i]->before_slot) PAWL_TRY(m->method[i]->before_slot(m->self[i], &m->now, rows, count, b, pass));
    return PAWL_OK;
}

pawl_status pawl_methods_gradient(const pawl_methods *m, const float *weights, float *grads, double *penalty)
{
    *penalty = 0;
    for (int i = 0; i < m->count; i++) {
        double one = 0;
        if (m->method[i]->gradient) PAWL_TRY(m->method[i]->gradient(m->self[i], &m->now, weights, grads, &one));
        if (m->method[i]->gradient_together)
            PAWL_TRY(m->method[i]->gradient_together(m->self[i], &m->now, weights, grads));
        *penalty += one;
    }
    return PAWL_OK;
}

pawl_status pawl_methods_before_update(const pawl_methods *m, const float *weights, const float *grads, double lr)
{
    for (int i = 0; i < m->count; i++)
        if (m->method[i]->before_update) PAWL_TRY(m->method[i]->before_update(m->self[i], &m->now, weights, grads, lr));
    return PAWL_OK;
}

pawl_status pawl_methods_updated(const pawl_methods *m, float *weights)
{
    for (int i = 0; i < m->count; i++)
        if (m->method[i]->updated) PAWL_TRY(m->method[i]->updated(m->self[i], &m->now, weights));
    return PAWL_OK;
}

pawl_status pawl_methods_seal(const pawl_methods *m, float *weights, int *changed)
{
    *changed = 0;
    for (int i = 0; i < m->count; i++) {
        if (!m->method[i]->seal) continue;
        PAWL_TRY(m->method[i]->seal(m->self[i], &m->now, weights));
        *changed = 1;
    }
    return PAWL_OK;
}
