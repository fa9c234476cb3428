/* An adapter worked into the weights it stands on. */
#include <math.h>

#include "model/adapter.h"

/* w += s b A, one row; then, with a magnitude, w becomes that long. */
static void merge_row(const pawl_adapted *t, const float *a, const float *b, const float *magnitude, float *w)
{
    double squares = 0;
    for (int64_t k = 0; k < t->r; k++) {
        const float by = t->scale * b[k];
        for (int64_t i = 0; i < t->module.in; i++) w[i] += by * a[k * t->module.in + i];
    }
    if (!magnitude) return;
    for (int64_t i = 0; i < t->module.in; i++) squares += (double)w[i] * w[i];
    const float gain = *magnitude / (float)sqrt(squares);
    for (int64_t i = 0; i < t->module.in; i++) w[i] *= gain;
}

void pawl_adapter_merge(const pawl_adapter *a, const float *adapter, int tensor, float *w)
{
    for (int i = 0; i < a->count; i++) {
        const pawl_adapted *t = &a->items[i];
        if (t->module.weight != a->m->weights[tensor].first) continue;
        for (int64_t o = 0; o < t->module.out; o++)
            merge_row(t, adapter + t->a, adapter + t->b + o * t->r, a->dora ? adapter + t->magnitude + o : NULL,
                      w + o * t->module.in);
    }
}
