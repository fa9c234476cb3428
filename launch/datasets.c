/* Datasets of a run, wherever its configuration names them. */
#include "launch/launch.h"

typedef int wanted(const pawl_dataset_config *d, const char *dir, const char *const *names);

static const char *first_of(const pawl_dataset_config *items, int count, wanted *is, const char *dir, const char *const *names)
{
    for (int i = 0; i < count; i++)
        if (is(&items[i], dir, names)) return items[i].path;
    return NULL;
}

/* The path of the first one that is so; NULL: none. */
static const char *first(const pawl_run_config *c, wanted *is, const char *dir, const char *const *names)
{
    const char *path = first_of(c->data.datasets.items, c->data.datasets.count, is, dir, names);
    for (int i = 0; i < c->continual.stages.count && !path; i++) {
        const pawl_stage_config *s = &c->continual.stages.items[i];
        path = first_of(s->datasets.items, s->datasets.count, is, dir, names);
    }
    if (!path) path = first_of(c->continual.general_data.items, c->continual.general_data.count, is, dir, names);
    return path ? path : first_of(c->data.test_datasets.items, c->data.test_datasets.count, is, dir, names);
}

static int is_missing(const pawl_dataset_config *d, const char *dir, const char *const *names)
{
    (void)dir;
    (void)names;
    return !pawl_dataset_is_there(d);
}

const char *pawl_missing_dataset(const pawl_run_config *c)
{
    return first(c, is_missing, NULL, NULL);
}

const char *pawl_dataset_around(const pawl_run_config *c, const char *dir, const char *const *names)
{
    return first(c, pawl_dataset_reads_in, dir, names);
}
