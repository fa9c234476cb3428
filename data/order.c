/* Which row comes when: a function of the seed and a counter, and of nothing that was read before.
 *
 * An epoch is a permutation of as many places as the datasets have rows in it. Place by place a dataset's own counter
 * runs on over the epochs; every R of it are one pass over the dataset's R rows, in an order of that pass. So weight 1
 * is every row once an epoch, and weight 2.5 every row five times in two. */
#include "data/mixture.h"

#include <math.h>

#include "core/rng.h"

/* A dataset that gives no row: why. */
static pawl_status nothing_left(const pawl_dataset *s, const char *kind, const char *advice)
{
    const pawl_tally *t = &s->prepared.tally;
    const char *cure = 2 * t->dropped > t->read  ? "; raise sequence_len, or set excess_length_strategy"
                       : 2 * t->masked > t->read ? "; roles and roles_to_train say whose messages are trained"
                                                 : "";
    PAWL_CHECK(t->read == t->empty, PAWL_EDATA,
               "%s '%s' (%s): of %lld rows read none is left: %lld without text, %lld bad, %lld longer than "
               "sequence_len and dropped, "
               "%lld without a trained token%s",
               kind, s->domain, s->config.path, (long long)t->read, (long long)t->empty, (long long)t->bad,
               (long long)t->dropped, (long long)t->masked, cure);
    return PAWL_FAIL(PAWL_EDATA, "%s '%s' (%s) holds no text that is not empty; check the path%s", kind, s->domain,
                     s->config.path, advice);
}

static pawl_status plan_dataset(pawl_dataset *s)
{
    const int64_t rows = s->prepared.part[PAWL_TRAIN].rows;
    const double weight = s->config.weight;
    s->epoch_rows = llround(weight * (double)rows);
    if (weight == 0.0) return PAWL_OK;
    PAWL_CHECK(rows > 0 || s->prepared.part[PAWL_HELD_OUT].rows == 0, PAWL_EDATA,
               "dataset '%s' (%s): all of its documents (%lld) are held out, so there is nothing to learn; lower "
               "val_set_size, or "
               "give it more documents",
               s->domain, s->config.path, (long long)s->prepared.part[PAWL_HELD_OUT].tally.documents);
    if (rows == 0) return nothing_left(s, "dataset", ", or set its weight to 0");
    PAWL_CHECK(s->epoch_rows > 0, PAWL_EDATA,
               "dataset '%s' (%s): weight %g x %lld rows rounds to no row in an epoch; raise its "
               "weight, or set it to 0",
               s->domain, s->config.path, weight, (long long)rows);
    return PAWL_OK;
}

static pawl_status plan_mixture(pawl_data *d, pawl_mixture *m)
{
    m->epoch_rows = 0;
    for (int i = m->first; i < m->end; i++) {
        pawl_dataset *s = &d->datasets[i];
        PAWL_TRY(plan_dataset(s));
        s->epoch_first = m->epoch_rows;
        m->epoch_rows += s->epoch_rows;
    }
    PAWL_CHECK(m->epoch_rows > 0 || m->first == m->end, PAWL_EDATA,
               "every dataset has weight 0, so there is nothing to learn; raise one");
    return PAWL_OK;
}

pawl_status pawl_mixture_plan(pawl_data *d)
{
    int first, end;
    for (int m = 0; m < d->mixture_count; m++) PAWL_TRY(plan_mixture(d, &d->mixtures[m]));
    pawl_data_general(d, &first, &end);
    for (int i = first; i < end; i++)
        if (d->datasets[i].prepared.part[PAWL_TRAIN].rows + d->datasets[i].prepared.part[PAWL_HELD_OUT].rows == 0)
            return nothing_left(&d->datasets[i], "general dataset", "");
    for (int i = d->learnt; i < d->count; i++)
        if (d->datasets[i].prepared.part[PAWL_HELD_OUT].rows == 0)
            return nothing_left(&d->datasets[i], "test dataset", "");
    return PAWL_OK;
}

int pawl_data_mixtures(const pawl_data *d)
{
    return d->mixture_count;
}

void pawl_data_mixture(const pawl_data *d, int stage, int *first, int *end)
{
    *first = d->mixtures[stage].first;
    *end = d->mixtures[stage].end;
}

void pawl_data_general(const pawl_data *d, int *first, int *end)
{
    *first = d->mixtures[d->mixture_count - 1].end;
    *end = d->learnt;
}

int64_t pawl_data_epoch_rows(const pawl_data *d, int stage)
{
    return d->mixtures[stage].epoch_rows;
}

/* The dataset of a mixture whose places in an epoch hold `place`. */
static int dataset_at(const pawl_data *d, const pawl_mixture *m, int64_t place)
{
    int i = m->first;
    while (place >= d->datasets[i].epoch_first + d->datasets[i].epoch_rows) i++;
    return i;
}

pawl_row pawl_data_row_at(const pawl_data *d, int stage, int64_t at)
{
    const pawl_mixture *m = &d->mixtures[stage];
    PAWL_ASSERT(at >= 0 && stage >= 0 && stage < d->mixture_count && m->epoch_rows > 0);
    const uint64_t epoch = (uint64_t)(at / m->epoch_rows), index = (uint64_t)(at % m->epoch_rows);
    const int64_t place = (int64_t)pawl_permute(index, (uint64_t)m->epoch_rows, d->seed, PAWL_FOR_EPOCH, epoch, (uint64_t)stage);
    const int i = dataset_at(d, m, place);
    const pawl_dataset *s = &d->datasets[i];
    const uint64_t rows = (uint64_t)s->prepared.part[PAWL_TRAIN].rows;
    const uint64_t counter = epoch * (uint64_t)s->epoch_rows + (uint64_t)(place - s->epoch_first);
    const uint64_t row = pawl_permute(counter % rows, rows, d->seed, PAWL_FOR_DATASET, (uint64_t)i, counter / rows);
    return (pawl_row){.domain = i, .index = (int64_t)row};
}
